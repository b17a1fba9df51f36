"""A recipe and the pictures of a scene that do not fit each other are refused, one line each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fakes import checks, picture
from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style
from impasto.scene.checks import check_scene

CONTENT, STYLE = picture(24, 32), Style(checks(24, 24))
#: A scene for a texture, and settings that need no content.
TEXTURE: dict[str, Any] = {"content_weight": 0.0, "init": "noise"}
REGION = Region("sky", torch.ones(1, 1, 24, 32), (STYLE,))


@pytest.mark.parametrize(
    ("scene", "settings"),
    [
        (Scene(CONTENT, (STYLE,)), {}),
        (Scene(CONTENT, (STYLE, STYLE)), {"style_blend": (1, 3), "style_rotation": (0, 90)}),
        (Scene(CONTENT, (STYLE, STYLE)), {"style_rotation": 90, "style_crop": (0, 0, 8, 8)}),
        (Scene(CONTENT, (STYLE, STYLE)), {"style_order": "coarse-to-fine"}),
        (Scene(CONTENT), {"style_weight": 0.0}),
        (Scene(CONTENT), {"strength": 0.0}),
        (Scene(None, (STYLE,), aspect=(24, 32)), TEXTURE),
        (Scene(None, (STYLE,), aspect=(24, 32)), {"strength": 1.0, "init": "style-colours"}),
        (Scene(None, (STYLE,), start=CONTENT), {"content_weight": 0.0, "init": "picture"}),
        (Scene(CONTENT, (STYLE,), regions=(REGION,)), {}),
        (Scene(CONTENT, (STYLE,)), {"colours": "match"}),
    ],
)  # fmt: skip
def test_what_fits_is_accepted(scene, settings):
    check_scene(scene, Recipe(**settings))


@pytest.mark.parametrize(
    ("scene", "settings", "match"),
    [
        (Scene(CONTENT, (STYLE,)), {"style_blend": (1, 2)}, "2 style weights for 1 style pictures.*give 1"),
        (Scene(CONTENT), {}, "no style picture.*set style_weight to 0"),
        (Scene(None, (STYLE,)), {"init": "noise"}, "no content picture.*content_weight to 0"),
        (Scene(None, (STYLE,)), {"content_weight": 0.0}, "no content picture.*init to noise"),
        (Scene(None, (STYLE,)), TEXTURE | {"colours": "match"}, "'match' without a content picture"),
        (Scene(CONTENT), {"style_weight": 0.0, "colours": "content"}, "'content' without a style picture"),
        (Scene(CONTENT, (STYLE,) * 3), {"style_rotation": (0, 90)}, "style_rotation for 2 of 3"),
        (Scene(CONTENT, (STYLE,) * 3), {"style_crop": (0, 0, 8, 8) * 2}, "style_crop for 2 of 3"),
        (Scene(CONTENT, (STYLE,)), {"style_order": "coarse-to-fine"}, "with 1 style picture; two or more"),
        (Scene(None, (STYLE,), regions=(REGION,)), TEXTURE, "masks without a content picture"),
        (Scene(CONTENT), {"style_weight": 0.0, "init": "style-colours"}, "style's colours, but no style"),
        (Scene(CONTENT, (STYLE,)), {"init": "picture"}, "one with --init-image"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(scene, settings, match):
    with pytest.raises(RecipeError, match=match) as refused:
        check_scene(scene, Recipe(**settings))
    assert "\n" not in str(refused.value)


def test_with_terms_of_the_callers_own_the_weights_require_no_pictures():
    check_scene(Scene(CONTENT), Recipe(), own_terms=True)
    check_scene(Scene(None, aspect=(24, 32)), Recipe(init="noise"), own_terms=True)
    # The start does, whatever the terms are.
    with pytest.raises(RecipeError, match="no content picture"):
        check_scene(Scene(None, (STYLE,)), Recipe(), own_terms=True)
