"""``JobInputs``: everything that a job is painted from, apart from its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from impasto.api import SAVED_STYLE_SUFFIX
from impasto.pictures.geometry import Size
from impasto.recipe import DEFAULT_SIZE, Recipe
from impasto.video.settings import VideoRecipe

__all__ = ["JobInputs"]

_KEPT_RECIPES = 512  # more than a full queue has
#: Bytes on the disk for each pixel of a picture while it is painted: two saved states, result, previews.
_PICTURE_BYTES = 36
#: Kinds of frames in a clip's work folder besides those of each pass: filmed, reference, mask, result.
_FRAME_KINDS = 3


@dataclass(frozen=True)
class JobInputs:
    """Settings, styles, masks and key frames of a job.

    Attributes:
        recipe: JSON of the picture settings that were asked for, without defaults.
        video: JSON of ``VideoSettings``; None for a picture.
        style_names: for each style the name of a built-in painting, or None for the upload ``style-<n>``.
        masks, style_masks: how many files ``mask-<n>`` and ``style_mask-<n>`` there are.
        keys: for each file ``key-<n>`` the number of the frame that it is a painting of.
    """

    recipe: str
    video: str | None
    style_names: tuple[str | None, ...]
    masks: int
    style_masks: int
    keys: tuple[int, ...] = ()

    @classmethod
    def from_uploads(cls, recipe: str, video: str | None, uploads: Mapping[str, Any]) -> JobInputs:
        """From the columns of a job's row; ``uploads`` as :func:`intake.uploads.store_uploads` wrote it."""
        names = tuple(style["id"] for style in uploads["styles"])
        keys = tuple(uploads.get("keys", ()))  # rows of earlier versions have none
        return cls(recipe, video, names, uploads["masks"], uploads["style_masks"], keys)

    def key_files(self) -> dict[int, str]:
        """The key frames in the working directory, as the sandbox wrote them, by their numbers."""
        return {frame: f"key-{number}.png" for number, frame in enumerate(self.keys)}

    def files(self, folder: Path) -> list[Path]:
        """Everything in a job's folder that painting needs, as the sandbox wrote it."""
        masks = [f"mask-{number}.png" for number in range(self.masks)]
        style_masks = [f"style_mask-{number}.png" for number in range(self.style_masks)]
        names = {"content.png", *self.style_files(folder), *masks, *style_masks, *self.key_files().values()}
        return [folder / name for name in sorted(names)]

    def style_files(self, folder: Path = Path()) -> list[str]:
        """The styles in a folder, by default the working directory, as the sandbox wrote them.

        They are pictures, or learned styles.

        Without any it is the key frames whose style what they do not show is painted in.
        """
        if not self.style_names:
            return list(self.key_files().values())
        names = [f"style-{number}" for number in range(len(self.style_names))]
        learned = [f"{name}{SAVED_STYLE_SUFFIX}" for name in names]
        return [
            file if (folder / file).exists() else f"{name}.png"
            for name, file in zip(names, learned, strict=True)
        ]

    def painting_bytes(self, size: Size, frames: int | None) -> int:
        """Bytes that painting takes on the disk at most.

        Args:
            size: (height, width) of the result.
            frames: of a clip; None for a picture.
        """
        pixels = size[0] * size[1]
        needed = pixels * _PICTURE_BYTES
        if frames is not None:
            needed += frames * pixels * 3 * (_FRAME_KINDS + self.video_recipe().passes)
        return needed

    def picture_recipe(self) -> Recipe:
        """The picture settings; ``size`` is None unless it was asked for."""
        return Recipe.from_json(self.recipe)

    def video_recipe(self) -> VideoRecipe:
        """The settings of a clip, those of its frames included."""
        settings = VideoRecipe.model_validate_json(self.video) if self.video else VideoRecipe()
        return settings.replace(picture=self.picture_recipe())

    def complete_recipe(self) -> Recipe:
        """The picture settings with the default size filled in: what results and the API state."""
        return _complete(self.recipe)


@lru_cache(_KEPT_RECIPES)
def _complete(settings: str) -> Recipe:
    """The recipe of that JSON with a size.

    It is kept: event streams show each job that waits whenever another one moves.
    """
    recipe = Recipe.from_json(settings)
    return recipe if recipe.size is not None else recipe.replace(size=DEFAULT_SIZE)
