"""A scene at a scale: sizes, margins, masks, shares of styles."""

from __future__ import annotations

import pytest
import torch

from fakes import picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.painting import engine, schedule
from impasto.recipe import Recipe
from impasto.scene import Past, Scene, Style, overlay_past


def style(seed: int) -> Style:
    return Style(picture(48, 48, seed), position=seed - 1)


def test_a_coarse_style_then_a_fine_one():
    recipe = Recipe(size=256, coarsest=64, style_order="coarse-to-fine")
    scene = Scene(picture(192, 256), (style(1), style(2)), style_order="coarse-to-fine")
    plan, device = schedule.scale_sizes(recipe, 192, 256), torch.device("cpu")
    regions = [scene.at(size, 0, device, fineness=index / 2).regions[0] for index, size in enumerate(plan)]
    assert [region.style_shares for region in regions] == [(1.0,), (0.5, 0.5), (1.0,)]
    assert [[one.position for one in region.styles] for region in regions] == [[0], [0, 1], [1]]
    with pytest.raises(RecipeError, match="two or more"):
        list(engine.steps(Scene(picture(64, 64), (style(1),)), recipe, tiny_encoder()))


def test_at_a_scale_everything_has_the_margin_and_nothing_of_the_past_is_certain_there():
    mask, past = torch.rand(1, 1, 48, 64), Past(picture(48, 64, 3), torch.ones(1, 1, 48, 64), 2.0)
    scene = Scene(picture(48, 64), (style(1),), content_mask=mask, past=(past,))
    at_scale = scene.at((24, 32), 4, torch.device("cpu"))
    assert at_scale.size == (32, 40)
    assert at_scale.content_mask.shape[-2:] == at_scale.past[0].pixels.shape[-2:] == (32, 40)
    certainty = at_scale.past[0].certainty
    assert float(certainty[..., 4:-4, 4:-4].min()) == 1.0
    assert float(certainty.sum()) == 24 * 32
    (region,) = at_scale.regions
    assert torch.equal(region.mask, at_scale.content_mask)
    assert max(region.styles[0].pixels.shape[-2:]) == 32


def test_known_statistics_spare_the_styles():
    scene = Scene(picture(48, 64), (style(1),), style_statistics={(48, 64): {"relu1_1": torch.eye(2)}})
    known = scene.at((48, 64), 4, torch.device("cpu"))
    assert list(known.known_statistics) == ["relu1_1"]
    assert known.regions[0].styles == ()
    assert known.has_styles
    assert scene.at((24, 32), 4, torch.device("cpu")).known_statistics is None


def test_a_style_too_small_for_the_deepest_layer_is_refused():
    scene = Scene(picture(48, 64), (Style(picture(12, 64)),), min_style_side=16)
    with pytest.raises(RecipeError, match="at least 16 on the shorter side"):
        scene.at((48, 64), 0, torch.device("cpu"))


def test_the_first_of_the_past_has_the_last_word():
    white, black, everywhere = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    past = (Past(white, everywhere, 1.0), Past(black, everywhere, 1.0))
    assert torch.equal(overlay_past(black, past), white)
