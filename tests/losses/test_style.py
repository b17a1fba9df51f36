"""Style terms: every loss in the objective, several styles and regions, and statistics known beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fakes import checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto.losses.style import blend_rows, blend_statistics, region_shares
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style

NAMES = ("gram", "wasserstein", "sliced", "histogram", "remd", "nearest")


def style_total(name: str, image: Tensor, *styles: Tensor, **settings: object) -> float:
    judged = make_objective(
        tiny_encoder(dtype=torch.float64),
        Recipe(content_weight=0, style_loss=name, **settings),
        None,
        [Style(one.double()) for one in styles],
        start=image.double(),
    )
    return judged.evaluate(image.double())[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_style_itself_costs_nothing_and_another_picture_does(name):
    style = picture(48, 64, 3)
    assert style_total(name, style, style) == pytest.approx(0.0, abs=1e-6)
    assert style_total(name, checks(48, 64), style) > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_two_styles_are_blended_by_their_weights(name):
    a, b = picture(48, 64, 3), checks(48, 64)
    both = [style_total(name, a, a, b, style_blend=(w, 1 - w)) for w in (1.0, 0.75, 0.0)]
    assert both[0] == pytest.approx(style_total(name, a, a), abs=1e-6)
    assert both[2] == pytest.approx(style_total(name, a, b), rel=1e-6)
    assert both[0] <= both[1] < both[2]


@pytest.mark.slow
def test_a_picture_becomes_like_its_style_by_every_loss():
    scene = Scene(picture(40, 48), (Style(checks(48, 48)),))
    for name in NAMES:
        recipe = Recipe(size=48, iterations=(12,), coarsest=48, content_weight=0, style_loss=name)
        steps = list(engine.steps(scene, recipe, tiny_encoder()))
        assert steps[-1].best_loss < 0.85 * steps[0].loss, name


@pytest.mark.slow
def test_known_statistics_of_the_styles_change_nothing():
    recipe = Recipe(size=64, coarsest=32, iterations=(4,), style_loss=("gram", "nearest"))
    encoder, styles = tiny_encoder(), (Style(checks(48, 48)), Style(picture(40, 40, 5)))
    fresh = Scene(picture(48, 64), styles)
    known = replace(fresh, style_statistics=engine.style_statistics(fresh, recipe, encoder))
    ends = [list(engine.steps(scene, recipe, encoder))[-1] for scene in (fresh, known)]
    assert torch.equal(ends[0].picture, ends[1].picture)
    assert ends[0].loss == ends[1].loss


def test_regions_count_by_their_area_and_weight():
    left = torch.zeros(1, 1, 8, 10)
    left[..., :2] = 1.0
    regions = (Region("left", left, (), weight=3.0), Region("right", 1 - left, ()))
    shares = [share for _, share in region_shares(Scene(None, regions=regions))]
    assert shares == pytest.approx([3.0 * 0.2, 0.8])
    whole = Scene(None, regions=(Region("", None, ()),))
    assert [share for _, share in region_shares(whole)] == [1.0]


@pytest.mark.parametrize(
    ("shares", "counts"),
    [((0.5, 0.5), (8, 8)), ((0.75, 0.25), (20, 6)), ((0.0, 1.0), (0, 8)), ((0.999, 0.001), (20, 1))],
)
def test_rows_of_two_styles_are_taken_in_the_ratio_of_their_shares(shares, counts):
    rows = [torch.arange(20.0)[:, None], 100.0 + torch.arange(8.0)[:, None]]
    blended = blend_rows(rows, shares)
    expected = [*range(counts[0]), *range(100, 100 + counts[1])]
    assert blended[:, 0].tolist() == expected
    assert torch.equal(blend_statistics(rows, shares, averages=False), blended)


def test_averages_of_two_styles_are_mixed():
    first, second = torch.eye(3), torch.ones(3, 3)
    mixed = blend_statistics([first, second], (0.25, 0.75), averages=True)
    torch.testing.assert_close(mixed, 0.25 * first + 0.75 * second)
