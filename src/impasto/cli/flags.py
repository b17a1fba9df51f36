"""Flags that several commands share, and the flags that are derived from ``Recipe``.

A command has a flag for each setting that applies to it, with the default that it uses: these flags are a
model derived from ``Recipe`` by :func:`recipe_flags`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from pydantic import BaseModel, create_model

from impasto.cli.lists import PATH_LIST
from impasto.errors import RecipeError
from impasto.recipe import Recipe, merged

__all__ = [
    "CONTENT_SETTINGS",
    "EMPTY",
    "MASK_SETTINGS",
    "NOT_APPLICABLE",
    "OUTPUT",
    "RECIPE",
    "STYLE_SETTINGS",
    "Device",
    "Output",
    "Paths",
    "Preset",
    "Quiet",
    "merge",
    "recipe_flags",
    "typed",
]

OUTPUT = Group("Output", sort_key=0)
RECIPE = Group("Recipe", help="Settings of the picture, as in a recipe file.", sort_key=2)

Output = Annotated[Path, Parameter(name=["--output", "-o"], group=OUTPUT)]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], group=OUTPUT)]
Device = Annotated[str, Parameter(group=OUTPUT)]
#: A preset of pictures; None: see :func:`impasto.recipe.merged`.
Preset = Annotated[
    Literal["draft", "fast", "fine", "finest", "classic", "instant", "reference"] | None,
    Parameter(group=OUTPUT),
]
Paths = Annotated[list[Path] | None, Parameter(group=OUTPUT), PATH_LIST]

#: Settings that do not apply where there is no content, no style, or no mask.
CONTENT_SETTINGS = (
    "content_weight", "content_loss", "content_layers", "content_layer_weights", "match_content", "strength",
    "colours",
)  # fmt: skip
STYLE_SETTINGS = (
    "style_weight", "style_loss", "style_loss_weights", "style_layers", "style_layer_weights", "style_blend",
    "style_scale", "style_rotation", "style_crop", "style_order", "match_content", "strength", "colours",
)  # fmt: skip
MASK_SETTINGS = ("region_weights", "feather", "mask_spread")

EMPTY: Mapping[str, Any] = MappingProxyType({})

#: Command → setting → why the command has no flag for it; filled by :func:`recipe_flags`.
NOT_APPLICABLE: dict[str, dict[str, str]] = {}


def flag(setting: str) -> str:
    """``style_blend`` → ``--style-blend``."""
    return f"--{setting.replace('_', '-')}"


def recipe_flags(
    command: str,
    *,
    defaults: Mapping[str, Any] = EMPTY,
    shown: Mapping[str, str] = EMPTY,
    names: Mapping[str, list[str]] = EMPTY,
    without: Mapping[str, str] = EMPTY,
    choices: Mapping[str, Any] = EMPTY,
) -> type[Recipe]:
    """A model with a command's flags, and a note in ``NOT_APPLICABLE`` for each setting that has none.

    Args:
        command: as it is typed, such as ``study layers``.
        defaults: setting → default, where it differs from the recipe's.
        shown: setting → its default in words for the help page, where it is not a fixed value.
        names: setting → all names of its flag, where it has more than one.
        without: setting → why the command has no flag for it.
        choices: setting → its type, where the command allows fewer values than the recipe.
    """
    NOT_APPLICABLE[command] = dict(without)
    fields: dict[str, Any] = {}
    for setting in {*defaults, *shown, *names, *without, *choices}:
        field = copy.copy(Recipe.model_fields[setting])
        field.default = defaults.get(setting, field.default)
        options: dict[str, Any] = {"parse": False} if setting in without else {}
        options |= {"name": names[setting]} if setting in names else {}
        options |= {"show_default": shown[setting]} if setting in shown else {}
        field.metadata = [*field.metadata, Parameter(**options)]
        fields[setting] = (choices.get(setting, field.annotation), field)
    return create_model("RecipeFlags", __base__=Recipe, **fields)


def typed(settings: BaseModel | None) -> dict[str, Any]:
    """Only those settings that were typed on the command line."""
    return {} if settings is None else settings.model_dump(exclude_unset=True)


def merge(preset: str | None, file: Path | None, settings: Recipe | None) -> Recipe:
    """The preset's settings, overridden by the recipe file's, overridden by those typed.

    Raises:
        RecipeError: the file cannot be read, or the settings do not fit each other.
    """
    return merged(preset, None if file is None else _read_recipe(file), typed(settings))


def _read_recipe(file: Path) -> Recipe:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"the recipe file '{file}' cannot be read: {getattr(error, 'strerror', None) or 'not text'}",
            "a JSON file as --save-run writes it",
        ) from None
    return Recipe.from_json(text)
