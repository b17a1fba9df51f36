"""Pictures made at a client's request: views of uploads for browsers, and results in other formats."""

from __future__ import annotations

import os
import time
from pathlib import Path

from impasto import pictures
from impasto.pictures import blend
from impasto.pictures.geometry import Size, fit, resample
from impasto.studio.sandbox.job_files import decode_content
from impasto.studio.settings import StudioSettings

__all__ = ["export_name", "export_result", "write_browser_view"]

_VIEW_SIZE = 1600  # long side in pixels
_MAX_EXPORTS, _EXPORT_SECONDS = 3, 60.0  # of one job; how long another one is kept at least


def write_browser_view(folder: Path, limits: StudioSettings) -> tuple[str, Size]:
    """Write ``look.jpg`` of the upload ``content``, for browsers that cannot show its format.

    Returns:
        ``image`` or ``video``, and (height, width) of the upload.
    """
    os.chdir(folder)
    header, picture, upright = decode_content(limits, lambda _, source: min(_VIEW_SIZE, max(source)))
    size = fit(*upright, min(_VIEW_SIZE, max(upright)))
    pictures.save("look.jpg", resample(picture.pixels, size), quality=90)
    return header.kind, upright


def export_name(suffix: str, strength: float) -> str:
    """The name of the file that :func:`export_result` writes; for those who should not ask the sandbox."""
    return f"export-{round(1000 * strength)}.{suffix}"


def export_result(folder: Path, recipe: str, suffix: str, strength: float) -> None:
    """Write the result in another format, or blended with the content; see :func:`export_name`.

    A file that is there already is used again. A few are kept; older ones are deleted after a minute, in
    which a response may still be reading them.

    Args:
        recipe: JSON to embed.
        suffix: ``png``, ``jpeg`` or ``webp``.
        strength: 1 is the result, 0 the content; rounded to thousandths.
    """
    os.chdir(folder)
    path = Path(export_name(suffix, strength))
    if path.exists():
        os.utime(path)  # it counts as new, so that it is not deleted before it is read
    else:
        picture = pictures.load("result.png")
        if strength < 1.0:
            picture = blend.blend("result.png", round(strength, 3), "content.png")
        pictures.save(path, picture.pixels, alpha=picture.alpha, metadata=recipe)
    _delete_old_exports(keep=path)


def _delete_old_exports(keep: Path) -> None:
    exports = sorted(Path().glob("export-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in exports[_MAX_EXPORTS:]:
        if path != keep and time.time() - path.stat().st_mtime > _EXPORT_SECONDS:
            path.unlink(missing_ok=True)
