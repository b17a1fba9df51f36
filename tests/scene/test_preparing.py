"""The pictures of a scene made ready: cropped, turned, and each style with the settings of its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import oracles
from fakes import array, picture, tiny_encoder, tiny_state
from impasto.errors import RecipeError
from impasto.masks.regions import regions_of
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style
from impasto.scene.preparing import preprocess


def style(seed: int) -> Style:
    return Style(picture(48, 48, seed), position=seed - 1)


def test_a_crop_is_that_part_and_one_outside_is_refused():
    sources = Scene(picture(48, 64), (style(1), style(2)))
    found = preprocess(sources, Recipe(style_crop="4,6,20,30")).styles
    torch.testing.assert_close(found[1].pixels, sources.styles[1].pixels[..., 6:36, 4:24])
    each = preprocess(sources, Recipe(style_crop=(0, 0, 8, 8, 1, 2, 16, 16))).styles
    assert [one.pixels.shape[-1] for one in each] == [8, 16]
    with pytest.raises(RecipeError, match="style picture of 48×48"):
        preprocess(sources, Recipe(style_crop="40,0,20,20"))
    with pytest.raises(RecipeError, match="four"):
        Recipe(style_crop="1,2,3")


def test_quarter_turns_are_exact_and_others_leave_corners_out():
    sources = Scene(None, (style(1),))
    (quarter,) = preprocess(sources, Recipe(style_rotation=90)).styles
    assert torch.equal(quarter.pixels, sources.styles[0].pixels.rot90(1, (-2, -1)))
    (turned,) = preprocess(sources, Recipe(style_rotation=30)).styles
    height = turned.pixels.shape[-1]
    assert float(turned.mask[0, 0, 0, 0]) == 0.0
    assert float(turned.mask.sum()) == pytest.approx(48 * 48, rel=0.03)
    # Turned on by 60 more, the middle is what a quarter turn has there.
    (on,) = preprocess(Scene(None, (turned,)), Recipe(style_rotation=60)).styles
    middle = slice((on.pixels.shape[-1] - 16) // 2, (on.pixels.shape[-1] + 16) // 2)
    assert height > 60
    difference = on.pixels[..., middle, middle] - quarter.pixels[..., 16:32, 16:32]
    assert float(difference.abs().mean()) < 0.03


def test_one_picture_given_twice_is_two_styles_with_settings_of_their_own():
    twice = Scene(picture(48, 64), (style(1), style(1)))
    upright, turned = preprocess(twice, Recipe(style_rotation=(0, 90))).styles
    assert torch.equal(upright.pixels, style(1).pixels)
    assert torch.equal(turned.pixels, style(1).pixels.rot90(1, (-2, -1)))


def test_a_style_in_a_region_too_is_rotated_by_the_angle_of_its_position_in_each_place():
    # One picture, the same object, as the first style, as the second, and in a region as the second.
    twice = (style(1), replace(style(1), position=1))
    sky = Region("sky", torch.ones(1, 1, 48, 64), (twice[1], twice[0]))
    ready = preprocess(Scene(picture(48, 64), twice, regions=(sky,)), Recipe(style_rotation=(0, 90)))
    upright, turned = style(1).pixels, style(1).pixels.rot90(1, (-2, -1))
    assert [torch.equal(ready.styles[0].pixels, upright), torch.equal(ready.styles[1].pixels, turned)] == [
        True
    ] * 2
    in_region = ready.regions[0].styles
    assert torch.equal(in_region[0].pixels, turned)
    assert torch.equal(in_region[1].pixels, upright)


def test_one_style_for_two_masks_is_rotated_in_one_of_them_and_compared_there_as_rotated():
    left = torch.zeros(1, 3, 48, 64)
    left[..., :32] = 1.0
    twice = (Style(picture(48, 64, 1)), Style(picture(48, 64, 1)))
    scene = Scene(picture(48, 64), twice, regions=regions_of((48, 64), twice, [left, 1 - left], []))
    recipe = Recipe(
        size=64, coarsest=64, style_layers="relu1_1", content_layers="relu1_1", style_rotation=(0, 180)
    )
    statistics = engine.style_statistics(scene, recipe, tiny_encoder(dtype=torch.float64))[(48, 64)]
    state = {key: array(value) for key, value in tiny_state().items() if "conv1_1" in key}
    for name, quarters in (("1", 0), ("2", 2)):
        pixels = np.rot90(array(picture(48, 64, 1)[0]), quarters, (1, 2))
        expected = oracles.gram(oracles.encode(state, pixels, ["relu1_1"])["relu1_1"])
        np.testing.assert_allclose(array(statistics[f"relu1_1/{name}"]), expected, rtol=1e-5)
    assert float((statistics["relu1_1/1"] - statistics["relu1_1/2"]).abs().max()) > 1e-3
