"""Writes pictures that the studio keeps: decoded copies of uploads, and thumbnails."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from impasto import pictures
from impasto.pictures import Picture
from impasto.pictures.geometry import Size, fit, resample

__all__ = ["THUMBNAIL_SIZE", "write_png", "write_thumbnail"]

THUMBNAIL_SIZE = 256  # long side in pixels


def write_png(path: Path, picture: Picture, size: Size) -> Picture:
    """Write a picture at ``size`` as PNG of 8 bits; returns it as read back from the file.

    It is compressed little, because it is read once or twice and then deleted.
    """
    image = Image.fromarray(pictures.to_uint8(resample(picture.pixels, size)))
    if picture.alpha is not None:
        alpha = (resample(picture.alpha, size)[0, 0] * 255.0).round().to(torch.uint8).numpy()
        image.putalpha(Image.fromarray(alpha))
    image.save(path, "PNG", compress_level=1)
    return pictures.load(path)


def write_thumbnail(path: Path, picture: Picture) -> None:
    """Write a picture at ``THUMBNAIL_SIZE`` pixels or less as WebP."""
    size = fit(*picture.size, min(THUMBNAIL_SIZE, max(picture.size)))
    pictures.save(path, resample(picture.pixels, size), quality=85)
