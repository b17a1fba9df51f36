"""Flags from the recipe: each command's own defaults, and without what does not apply."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from impasto.cli.flags import (
    CONTENT_SETTINGS,
    MASK_SETTINGS,
    NOT_APPLICABLE,
    STYLE_SETTINGS,
    merge,
    recipe_flags,
    typed,
)
from impasto.errors import RecipeError
from impasto.recipe import Recipe, preset


@pytest.mark.parametrize("names", [CONTENT_SETTINGS, STYLE_SETTINGS, MASK_SETTINGS])
def test_every_name_is_a_setting(names):
    assert set(names) <= set(Recipe.model_fields)


def test_flags_of_a_command():
    Flags = recipe_flags(
        "test",
        defaults={"size": 99, "init": "noise"},
        without={"seed": "no dice here"},
        choices={"init": Literal["noise"]},
    )
    assert Flags.model_fields["size"].default == 99
    assert Recipe.model_fields["size"].default is None, "the recipe itself is left alone"
    assert NOT_APPLICABLE.pop("test") == {"seed": "no dice here"}
    assert typed(Flags(tv_weight=1.0)) == {"tv_weight": 1.0}
    with pytest.raises(RecipeError, match="setting init"):
        Flags(init="content")
    with pytest.raises(RecipeError, match="setting size = 0"):
        Flags(size=0)


def test_what_was_typed_goes_over_the_file_and_the_file_over_the_preset(tmp_path: Path):
    file = tmp_path / "r.json"
    file.write_text('{"iterations": [7], "tv_weight": 1}')
    merged = merge("draft", file, Recipe(tv_weight=2.0))
    assert (merged.iterations, merged.tv_weight, merged.seed) == ((7,), 2.0, 0)
    assert merge("draft", None, None) == preset("draft")
