"""Fades a finished picture into its content, without optimising again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError, RecipeError
from impasto.pictures import DEFAULT_MAX_PIXELS, Picture
from impasto.pictures.colour import mixed
from impasto.pictures.geometry import resample

__all__ = ["blend"]


def blend(
    painted: str | os.PathLike[str] | Tensor,
    strength: float,
    content: str | os.PathLike[str] | Tensor | None = None,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Picture:
    """Mix a painted picture with the content that it was painted from.

    The pixels are mixed in OKLab. That is quick and adds no artefacts, because the strokes follow the edges
    of the content. At 0.5 the strokes are half transparent; painting with ``strength=0.5`` instead gives
    fewer and weaker strokes that are opaque.

    Args:
        painted: a picture, or the folder of a run (``--save-run``).
        strength: share of the painted picture, from 0 (the content) to 1.
        content: the picture that it was painted from; None: the one named in the record of the run.
        max_pixels: larger files are refused before they are decoded.

    Raises:
        RecipeError: the strength is out of range.
        PictureError: a picture is missing or unreadable, or their aspect ratios differ.
    """
    if not 0.0 <= strength <= 1.0:
        raise RecipeError(f"strength {strength:g}", "0 (the content) to 1 (what was painted)")
    if not isinstance(painted, Tensor) and Path(painted).is_dir():
        content = content if content is not None else _recorded_content(Path(painted))
        painted = Path(painted) / "picture.png"
    if content is None:
        raise PictureError(
            f"'{painted}' alone does not say what it was painted from", "a run's folder, or the content too"
        )
    picture, original = (pictures.load(source, max_pixels=max_pixels) for source in (painted, content))
    (height, width), (content_height, content_width) = picture.size, original.size
    if abs(content_height * width - content_width * height) > 0.02 * content_height * width:
        raise PictureError(
            f"a painted picture of {width}×{height} pixels and a content of {content_width}×{content_height}",
            "the same aspect ratio",
        )
    pixels = mixed(picture.pixels, resample(original.pixels, picture.size), strength)
    return Picture(pixels, picture.alpha, picture.source)


def _recorded_content(run: Path) -> Path:
    """The path of the content, from the record of a run."""
    record = run / "environment.json"
    try:
        inputs = json.loads(record.read_text(encoding="utf-8"))["inputs"]
        return Path(inputs[0])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        raise PictureError(
            f"the folder '{run}' is not a run with a content from a file",
            "a folder that --save-run wrote",
            "give the content with --content",
        ) from None
