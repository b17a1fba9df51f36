"""Uploaded styles: pictures, or files of ``impasto learn``, which are recognised by their bytes.

A learned style is checked number by number and written anew, so that nothing but its numbers is kept.
"""

from __future__ import annotations

from pathlib import Path

from impasto import api, pictures, samples
from impasto.api import InstantStyle
from impasto.errors import ImpastoError
from impasto.pictures import Picture
from impasto.recipe import preset
from impasto.studio.errors import RefusedError
from impasto.studio.sandbox.headers import check_upload
from impasto.studio.sandbox.images import THUMBNAIL_SIZE
from impasto.studio.settings import StudioSettings

__all__ = ["load_style", "write_sample_of_style"]

_SAMPLE_PHOTOGRAPH = "chelsea"


def load_style(name: str, method: str, limits: StudioSettings) -> Picture | InstantStyle:
    """The upload ``name`` in the working directory.

    Args:
        method: of the recipe.

    Raises:
        RefusedError: it is neither a picture nor a learned style, or the recipe cannot use it.
    """
    learned = _is_learned(Path(name))
    if not learned:
        check_upload(Path(name), "style", limits)
    elif method != "instant":
        raise RefusedError("a learned style", "a picture, or the preset instant", field="style")
    try:
        return InstantStyle.load(name) if learned else pictures.load(name, max_pixels=limits.pixels)
    except ImpastoError as error:
        raise RefusedError.from_error(error, "style") from None


def _is_learned(path: Path) -> bool:
    """Whether a file begins like one of safetensors: a number of bytes, then so many of JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def write_sample_of_style(path: Path, style: InstantStyle) -> None:
    """Write a photograph painted in a learned style, which has no picture of its own, as a WebP thumbnail."""
    recipe = preset("instant").replace(size=THUMBNAIL_SIZE)
    photograph = samples.photograph(_SAMPLE_PHOTOGRAPH)
    result = api.run(api.prepare(photograph, style, recipe, device="cpu"))
    pictures.save(path, result.pixels, quality=85)
