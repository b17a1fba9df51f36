"""Where the colours come from that broad areas keep."""

from __future__ import annotations

import pytest
import torch

from fakes import picture
from impasto import samples
from impasto.networks.registry import load_encoder
from impasto.painting.colour_plan import colour_plan
from impasto.painting.engine import steps
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe
from impasto.scene import ColourPlan, Region, Scene, Style
from impasto.scene.preparing import preprocess

RECIPE = Recipe(keep_colours=0.3)
STYLE = Style(samples.painting("wave", size=96))
CONTENT = resample(samples.photograph("chelsea"), (64, 96))


def plan(scene: Scene, **settings: object) -> ColourPlan | None:
    recipe = RECIPE.replace(**settings)
    return colour_plan(preprocess(scene, recipe), recipe, load_encoder())


def test_the_plan_has_the_colours_of_the_style():
    found = plan(Scene(CONTENT, (STYLE,)))
    wanted, start = (ColourPlan.of(p).means.mean((1, 2)) for p in (STYLE.pixels, CONTENT))
    assert (found.means.mean((1, 2)) - wanted).norm() < 0.4 * (start - wanted).norm()


def test_each_region_has_the_colours_of_its_own_style():
    left = torch.zeros(1, 1, 64, 96)
    left[..., :48] = 1.0
    dark, bright = (Style(level + 0.1 * picture(64, 64, 2)) for level in (0.1, 0.8))
    found = plan(Scene(CONTENT, regions=(Region("l", left, (dark,)), Region("r", 1.0 - left, (bright,)))))
    assert found.means[..., :14].mean() < 0.3
    assert found.means[..., 18:].mean() > 0.7


@pytest.mark.parametrize("settings", [{"keep_colours": 0}, {"content_weight": 0}, {"style_weight": 0}])
def test_without_two_pictures_to_compare_there_is_no_plan(settings):
    assert plan(Scene(CONTENT, (STYLE,)), **settings) is None
    assert plan(Scene(None, (STYLE,))) is None


def test_a_painting_keeps_to_the_plan():
    scene, recipe = Scene(CONTENT, (STYLE,)), Recipe(size=96, iterations=20, content_weight=0.01)
    wanted = plan(scene).means
    gaps = []
    for firmness in (0.0, 1.0):
        *_, last = steps(scene, recipe.replace(keep_colours=firmness), load_encoder())
        gap = ColourPlan.of(last.picture).means - wanted
        gaps.append(float((gap - gap.mean(0)).square().mean()))
        assert ("colours" in last.terms) == bool(firmness)
    assert gaps[1] < 0.25 * gaps[0]
