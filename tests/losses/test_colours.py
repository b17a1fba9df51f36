"""The term that holds the colours of broad areas."""

from __future__ import annotations

import pytest
import torch

from fakes import array, picture, tiny_encoder
from impasto.losses.build import terms_of
from impasto.losses.colours import ColourTerm
from impasto.losses.objective import Objective
from impasto.recipe import Recipe
from impasto.scene import ColourPlan, Scene

CONTENT, CANVAS = picture(40, 48, 1).double(), picture(40, 48, 3).double()


#: A difference of colour without one of lightness.
GREEN = torch.tensor([-1.0, 2.0, -1.0]).view(1, 3, 1, 1)


def objective(tile: int | None = None) -> Objective:
    scene = Scene(CONTENT, colour_plan=ColourPlan.of(CONTENT))
    return Objective(tiny_encoder(dtype=torch.float64), scene, [ColourTerm(weight=3.0)], tile=tile)


@pytest.mark.parametrize("tile", [None, 16])
def test_it_is_the_mean_squared_distance_of_the_areas_colours(tile):
    total, gradient, losses = objective(tile).evaluate(CANVAS)
    gap = array(ColourPlan.of(CANVAS).means - ColourPlan.of(CONTENT).means)
    gap = gap - gap.mean(0)
    assert total == losses["colours"] == pytest.approx(3.0 * (gap**2).sum(0).mean(), rel=1e-12)
    # The loss is quadratic, so a central difference is exact.
    step = 0.1 * picture(40, 48, 5).double()
    ahead, behind = (objective().evaluate(CANVAS + sign * step)[0] for sign in (1, -1))
    assert (array(gradient) * array(step)).sum() == pytest.approx((ahead - behind) / 2, rel=1e-9)


def test_strokes_finer_than_an_area_are_free_and_blots_are_not():
    grid = torch.arange(256)
    content = torch.full((1, 3, 256, 256), 0.5)
    stripes, blots = (
        0.5 + 0.3 * GREEN * (2.0 * (grid // width % 2) - 1.0).expand(1, 3, 256, 256) for width in (2, 64)
    )
    scene = Scene(content, colour_plan=ColourPlan.of(content))
    at_once = Objective(tiny_encoder(), scene, [ColourTerm()])
    assert at_once.evaluate(stripes)[0] < 1e-3
    assert at_once.evaluate(blots)[0] == pytest.approx(6 * 0.3**2, rel=0.15)


def test_lightness_is_left_to_the_style():
    lighter = CONTENT + 0.2 * picture(40, 48, 6).double().mean(1, keepdim=True)
    assert objective().evaluate(lighter)[0] == pytest.approx(0.0, abs=1e-12)


def test_the_recipe_asks_for_it():
    (term,) = (term for term in terms_of(Recipe(keep_colours=0.5)) if term.name == "colours")
    assert term.weight == 5.0
    for settings in (
        {},
        {"keep_colours": 0.5, "content_weight": 0},
        {"keep_colours": 0.5, "style_weight": 0},
    ):
        assert "colours" not in {term.name for term in terms_of(Recipe(**settings))}
    assert not ColourTerm().applies(Scene(CONTENT))
