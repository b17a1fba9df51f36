"""The pictures of a scene made ready: cropped, turned, and each style with the settings of its place."""

from __future__ import annotations

import pytest
import torch

from fakes import picture
from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.scene import Scene, Style
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
