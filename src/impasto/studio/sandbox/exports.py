"""Pictures made at a client's request: views of uploads for browsers, and results in other formats."""

from __future__ import annotations

import os
from pathlib import Path

from impasto import pictures
from impasto.pictures import blend
from impasto.pictures.geometry import Size, fit, resample
from impasto.studio.sandbox.job_files import decode_content
from impasto.studio.settings import StudioSettings

__all__ = ["export_result", "write_browser_view"]

_VIEW_SIZE = 1600  # long side in pixels


def write_browser_view(folder: Path, limits: StudioSettings) -> tuple[str, Size]:
    """Write ``look.jpg`` of the upload ``content``, for browsers that cannot show its format.

    Returns:
        ``image`` or ``video``, and (height, width) of the upload.
    """
    os.chdir(folder)
    header, picture = decode_content(limits)
    size = fit(*picture.size, min(_VIEW_SIZE, max(picture.size)))
    pictures.save("look.jpg", resample(picture.pixels, size), quality=90)
    return header.kind, picture.size


def export_result(folder: Path, recipe: str, suffix: str, strength: float) -> Path:
    """Write the result in another format, or blended with the content; returns the file's path.

    Args:
        recipe: JSON to embed.
        suffix: ``png``, ``jpeg`` or ``webp``.
        strength: 1 is the result, 0 the content.
    """
    os.chdir(folder)
    picture = pictures.load("result.png")
    if strength < 1.0:
        picture = blend.blend("result.png", strength, "content.png")
    path = Path(f"export-{os.getpid()}.{suffix}")
    pictures.save(path, picture.pixels, alpha=picture.alpha, metadata=recipe)
    return folder / path
