"""Terms from a recipe, and the strength that balances them on their own scales."""

from __future__ import annotations

import math

import pytest
import torch

from fakes import checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto.losses.build import BALANCE
from impasto.losses.objective import Objective
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


def judged(strength: float, *, tile: int | None = None, **settings: object) -> Objective:
    one_layer = {"style_layers": ("relu2_1",), "content_layers": ("relu3_2",)}
    return make_objective(
        tiny_encoder(dtype=torch.float64),
        Recipe(strength=strength, **(one_layer | settings)),
        picture(48, 64, 1).double(),
        [Style(checks(48, 48).double())],
        tile=tile,
    )


def test_each_side_is_measured_on_its_own_scale():
    content = picture(48, 64, 1).double()
    for strength in (0.2, 0.5, 0.9):
        at_content = judged(strength).evaluate(content)[2]
        elsewhere = judged(strength).evaluate(content.flip((-2, -1)))[2]
        assert at_content["style/relu2_1"] == pytest.approx(1.0)
        assert elsewhere["content/relu3_2"] == pytest.approx(BALANCE * ((1 - strength) / strength) ** 3)


def test_one_layer_far_off_does_not_hide_the_others():
    content = picture(48, 64, 1).double()
    layers = {"style_layers": ("relu1_1", "relu2_1", "relu3_1")}
    terms = judged(0.5, **layers).evaluate(content)[2]
    style = [value for name, value in terms.items() if name.startswith("style/")]
    assert len(style) * math.prod(style) ** (1 / 3) == pytest.approx(1.0)
    # A thousand times the weight on one layer is as if the others were a thousand times nearer.
    heavy = judged(0.5, style_layer_weights=(1000, 1, 1), **layers).evaluate(content)[2]
    style = [value for name, value in heavy.items() if name.startswith("style/")]
    assert len(style) * math.prod(style) ** (1 / 3) == pytest.approx(1.0)


@pytest.mark.parametrize("normalisation", ["gatys", "neural-style"])
def test_units_do_not_matter(normalisation):
    image = picture(48, 64, 5).double()
    plain, other = (judged(0.4, normalisation=n).evaluate(image)[0] for n in ("relative", normalisation))
    assert other == pytest.approx(plain, rel=1e-4)


def test_tiles_agree_about_the_calibration():
    image = picture(48, 64, 5).double()
    whole, tiled = judged(0.5).losses(image), judged(0.5, tile=32).losses(image)
    assert tiled == pytest.approx(whole, rel=1e-10)


@pytest.mark.slow
def test_the_ends_are_content_and_style_and_between_them_it_rises():
    sources = Scene(picture(48, 64), (Style(checks(48, 48)),))

    def moved(strength: float) -> float:
        recipe = Recipe(size=64, coarsest=64, iterations=(20,), strength=strength)
        step = list(engine.steps(sources, recipe, tiny_encoder()))[-1]
        assert ("content/relu3_2" in step.terms) == (strength < 1)
        assert ("style/relu1_1" in step.terms) == (strength > 0)
        return float((step.picture - picture(48, 64)).abs().mean())

    found = [moved(s) for s in (0.0, 0.15, 0.6, 1.0)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[3] > 2 * found[1]


@pytest.mark.slow
def test_a_low_strength_keeps_the_content_at_every_scale():
    def last(strength: float) -> set[str]:
        recipe = Recipe(
            size=96, coarsest=48, content_until=48, iterations=(8, 12), tolerance=0.0,
            style_loss=("nearest", "gram"), strength=strength,
        )  # fmt: skip
        scene = Scene(picture(72, 96), (Style(checks(64, 64)),))
        step = list(engine.steps(scene, recipe, tiny_encoder()))[-1]
        return {name.partition("/")[0] for name in step.terms}

    assert last(0.3) == {"content", "style"}
    assert last(0.6) == {"style"}
