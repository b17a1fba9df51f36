"""The instant picture: a small first look at a photograph in a style, painted in one pass, kept nowhere."""

from __future__ import annotations

import os
from pathlib import Path

from impasto import api, pictures
from impasto.errors import ImpastoError
from impasto.pictures import Picture
from impasto.studio.errors import RefusedError
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.sandbox.headers import check_upload
from impasto.studio.sandbox.job_files import decode_content
from impasto.studio.sandbox.samples import render_sample
from impasto.studio.sandbox.styles import load_style
from impasto.studio.settings import StudioSettings

__all__ = ["INSTANT_FILE", "INSTANT_SIDE", "write_instant_picture"]

#: Longest side in pixels of an instant picture.
INSTANT_SIDE = 384
INSTANT_FILE = "instant.jpg"


def write_instant_picture(folder: Path, inputs: JobInputs, limits: StudioSettings) -> None:
    """Write ``instant.jpg`` from the uploads in ``folder``; of a clip its first frame is painted.

    Raises:
        RefusedError, ImpastoError: with a one-line message for the client.
    """
    os.chdir(folder)
    _, content, upright = decode_content(limits, lambda _, source: min(INSTANT_SIDE, max(source)))
    styles = [_style(number, name, limits) for number, name in enumerate(inputs.style_names)]
    masks = [_mask(f"mask-{number}", limits) for number in range(inputs.masks)]
    recipe = inputs.picture_recipe().replace(size=min(INSTANT_SIDE, max(upright)))
    result = api.run(api.prepare(content, styles, recipe, mask=masks, device="cpu"))
    pictures.save(INSTANT_FILE, result.pixels, alpha=result.alpha, quality=88)


def _style(number: int, name: str | None, limits: StudioSettings) -> Picture | api.InstantStyle:
    if name is not None:
        samples = limits.data / "samples"
        return pictures.load(samples / render_sample(samples, name))
    return load_style(f"style-{number}", "instant", limits)


def _mask(name: str, limits: StudioSettings) -> Picture:
    check_upload(Path(name), "mask", limits)
    try:
        return Picture(pictures.load(name, max_pixels=limits.pixels).pixels)
    except ImpastoError as error:
        raise RefusedError.from_error(error, "mask") from None
