"""Reads picture files to samples; without PyTorch, so that a file can be decoded while PyTorch is loading."""

from __future__ import annotations

import os
from math import ceil
from typing import IO

from impasto.pictures import decode
from impasto.pictures.decode import Samples
from impasto.pictures.formats import open_header, open_picture_file

__all__ = ["DEFAULT_MAX_PIXELS", "decode_file", "read_samples"]

# Just under the 2 × 89.5 megapixels at which some of Pillow's plugins refuse a file themselves, so that by
# default the user always sees our message.
DEFAULT_MAX_PIXELS = 178_000_000


def read_samples(
    path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS, enough: int | None = None
) -> Samples:
    """Upright sRGB samples (H, W, 1 to 4) float32 in [0, 1] of a picture file.

    Args:
        max_pixels: largest width × height, checked before the file is decoded.
        enough: as of :func:`decode_file`.

    Raises:
        PictureError: it cannot be read, is incomplete or too large.
    """
    name = os.fspath(path)
    with open_picture_file(name) as (file, format_name):
        return decode_file(file, format_name, name, max_pixels, enough)


def decode_file(
    file: IO[bytes], format_name: str, name: str, max_pixels: int, enough: int | None = None
) -> Samples:
    """Samples, as of :func:`read_samples`, of an open file of a known format.

    Args:
        format_name: Pillow's name of it.
        name: what messages call the file.
        enough: a JPEG may be decoded at a half, a quarter or an eighth of its size, if its long side still
            has so many pixels. That takes a fraction of the time and of the memory.
    """
    samples = decode.decode_deep_tiff(file, name, max_pixels) if format_name == "TIFF" else None
    if samples is not None:
        return samples
    image = open_header(format_name, file, name)
    decode.check_size(image.size, max_pixels, f"'{name}'")
    if enough is not None and format_name == "JPEG":
        scale = enough / max(image.size)
        image.draft(None, (ceil(image.width * scale), ceil(image.height * scale)))
    return decode.decode(image, f"'{name}'")
