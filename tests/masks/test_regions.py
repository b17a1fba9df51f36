"""Regions, parts of the style, turned styles, and who gets which style at which scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fakes import checks, picture, tiny_encoder
from impasto.errors import PictureError, RecipeError
from impasto.losses.build import objective_of
from impasto.losses.objective import Objective
from impasto.masks import regions
from impasto.networks.layers import geometry
from impasto.painting import engine
from impasto.pictures.alpha import mask_on_grid
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

WHITE = (1.0, 1.0, 1.0)
RED, BLUE, BLACK = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


def flags(*colours: tuple[float, float, float], height: int = 48, width: int = 64) -> Tensor:
    """Vertical bands of flat colours, (1, 3, H, W)."""
    bands = [torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, height, width // len(colours)) for c in colours]
    return torch.cat(bands, 3).contiguous()


def style(seed: int) -> Style:
    return Style(picture(48, 48, seed), position=seed - 1)


def test_labels_of_a_softened_picture_are_its_flat_colours():
    soft = torch.nn.functional.avg_pool2d(flags(RED, BLUE, BLACK, width=90), (1, 3), 1, (0, 1))
    found = regions.labels(soft)
    assert set(found) == {"#ff0000", "#0000ff"}
    assert float(found["#ff0000"].mean()) == pytest.approx(1 / 3, abs=0.03)
    with pytest.raises(PictureError, match=r"flat colours.*PNG"):
        regions.labels(torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(0)))


def test_labels_find_their_styles_by_colour():
    found = regions.regions_of(
        (48, 64),
        [style(1), style(2)],
        [flags(RED, BLUE)],
        [flags(RED, width=48), flags(BLACK, BLUE, width=48)],
    )
    assert [part.name for part in found] == ["0000ff", "ff0000"]
    blue, red = found
    assert red.styles[0].pixels is not blue.styles[0].pixels
    assert float(blue.styles[0].mask.mean()) == pytest.approx(0.5)
    assert float(red.mask[..., :30].min()) > 0.99
    assert float(red.mask[..., 40:].max()) < 0.01


def test_grey_masks_take_the_styles_in_turn_and_weights_leave_out():
    left, right = flags(WHITE, BLACK), flags(BLACK, WHITE)
    one = regions.regions_of((48, 64), [style(1), style(2)], [left, right], [], weights=(1, 0))
    assert [part.name for part in one] == ["1"]
    both = regions.regions_of((48, 64), [style(1)], [left, right], [], feather=0.1)
    total = torch.stack([part.mask for part in both]).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
    edge = both[0].mask[0, 0, 10]
    assert 0.3 < float(edge[32]) < 0.7
    assert float(edge[22]) > float(edge[30]) > float(edge[36])


@pytest.mark.parametrize(
    ("masks", "style_masks", "settings", "what"),
    [
        ([], [flags(RED)], {}, "without a mask of the content"),
        ([flags(RED, BLUE)], [], {}, "0 style masks for 1 styles"),
        ([flags(RED)], [flags(BLUE, width=48)], {}, "none of them"),
        ([flags(RED)], [flags(RED, width=48)], {"blend": (1, 2)}, "2 style weights for 1 style pictures"),
        ([flags(WHITE)] * 2, [flags(WHITE)], {}, "2 grey masks, 1 styles and 1 style masks"),
        ([flags(WHITE, height=64)], [], {}, "64×64 pixels for a content of 64×48"),
        ([flags(WHITE)], [], {"weights": (1, 2)}, "2 region weights for 1 regions"),
        ([flags(WHITE)], [flags(BLACK, width=48)], {}, "less than a thousandth"),
        ([flags(WHITE)], [], {"weights": (0,)}, "no region is painted"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, style_masks, settings, what):
    with pytest.raises((PictureError, RecipeError), match=what):
        regions.regions_of((48, 64), [style(1)], masks, style_masks, **settings)


def painted(parts, *, content: Tensor | None = None, **settings: object) -> Tensor:
    sources = Scene(picture(48, 64) if content is None else content, (style(1), style(2)), regions=parts)
    recipe = Recipe(size=64, coarsest=64, iterations=(15,), **settings)
    return list(engine.steps(sources, recipe, tiny_encoder()))[-1].picture


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["gram", "nearest", "sliced"])
@pytest.mark.parametrize("spread", ["simple", "inside"])
def test_what_no_region_covers_stays_and_the_rest_changes(loss, spread):
    parts = regions.regions_of((48, 64), [style(1)], [flags(WHITE, BLACK)], [])
    found, content = painted(parts, style_loss=loss, mask_spread=spread, content_weight=0), picture(48, 64)
    assert torch.equal(found[..., 34:], content[..., 34:])
    assert float((found - content)[..., :30].abs().mean()) > 0.01


def test_each_region_has_its_own_style():
    red, blue = (torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 48, 48) * 0.6 + 0.2 for c in (RED, BLUE))
    styles = [Style(one + 0.05 * checks(48, 48)) for one in (red, blue)]
    parts = regions.regions_of((48, 64), styles, [flags(WHITE, BLACK), flags(BLACK, WHITE)], [])
    sources = Scene(picture(48, 64), tuple(styles), regions=parts)
    recipe = Recipe(size=64, coarsest=64, iterations=(30,), content_weight=0, style_layers="relu1_1,relu2_1")
    step = list(engine.steps(sources, recipe, tiny_encoder()))[-1]
    balance = (step.picture[:, 0] - step.picture[:, 2])[0]
    assert float(balance[:, :28].mean()) > 0.15
    assert float(balance[:, 36:].mean()) < -0.15
    assert {"style/relu1_1/1", "style/relu1_1/2"} <= set(step.terms)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["gram", "nearest", "remd"])
def test_regions_are_exact_in_tiles(loss):
    parts = regions.regions_of((64, 176), [style(1), style(2)], [flags(WHITE, BLACK, height=64, width=176),
                          flags(BLACK, WHITE, height=64, width=176)], [], feather=0.05)  # fmt: skip
    scene = Scene(picture(64, 176).double(), (style(1), style(2)), regions=parts)
    recipe = Recipe(size=176, style_loss=loss, mask_spread="inside", margin=0)
    found = []
    for tile in (None, 48):
        encoder = tiny_encoder(dtype=torch.float64)
        at_scale = scene.at((64, 176), 0, torch.device("cpu"))
        start = picture(64, 176).double()
        judged = objective_of(encoder, replace(at_scale, start=start), recipe, tile=tile)
        assert isinstance(judged, Objective)
        found.append(judged.evaluate(picture(64, 176, 4).double()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-10)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=1e-10 * float(found[0][1].abs().max()))


def test_inside_counts_only_features_that_see_nothing_else():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :40] = 1.0
    shape = geometry("relu2_1")
    inside = mask_on_grid(mask, (32, 32), shape.radius)
    reach = [x * shape.stride + shape.stride - 1 + shape.radius < 40 for x in range(32)]
    assert inside[0, 0, 5].bool().tolist() == reach
    tiny = torch.zeros(1, 1, 64, 64)
    tiny[..., 20:24, 20:24] = 1.0
    torch.testing.assert_close(mask_on_grid(tiny, (32, 32), 10), mask_on_grid(tiny, (32, 32)))


# ----------------------------------------------------------------------------------------- parts of the style
