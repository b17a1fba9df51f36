"""The pictures of a study by name: files, the project's samples, and a motif inset in another picture."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import torch

from impasto import pictures, samples
from impasto.errors import PictureError
from impasto.pictures import Picture
from impasto.pictures.geometry import resample

__all__ = ["digest", "inset", "picture"]

#: Long side of a painted sample in pixels: more than any study in docs/studies.md uses.
PAINTED = 512


@lru_cache(maxsize=8)
def picture(spec: str) -> Picture:
    """The picture that a plan calls ``spec``.

    Args:
        spec: a path; ``photograph:chelsea``; ``painting:wave``; ``inset:mosaic:wave:0.1``, a painting in
            the middle of another, with a tenth of its area.
    """
    kind, _, name = spec.partition(":")
    if kind == "photograph":
        return Picture(samples.photograph(name))
    if kind == "painting":
        return Picture(samples.painting(name, size=PAINTED))
    if kind == "inset":
        return Picture(inset(*_inset_parts(spec)))
    return pictures.load(spec)


def inset(motif: str, ground: str, share: float) -> torch.Tensor:
    """(1, 3, H, W): painting ``motif`` in the middle of painting ``ground``, covering ``share`` of it.

    The motif is cut, not shrunk: its strokes stay as large as they are, whatever the share.
    """
    base = samples.painting(ground, size=PAINTED).clone()
    height, width = base.shape[-2:]
    patch = resample(samples.painting(motif, size=PAINTED), (height, width))
    h, w = (round(side * math.sqrt(share)) for side in (height, width))
    top, left = (height - h) // 2, (width - w) // 2
    centre = (..., slice(top, top + h), slice(left, left + w))
    base[centre] = patch[centre]
    return base


def _inset_parts(spec: str) -> tuple[str, str, float]:
    parts = spec.split(":")[1:]
    try:
        motif, ground, share = parts[0], parts[1], float(parts[2])
    except (IndexError, ValueError):
        motif, ground, share = "", "", -1.0
    if len(parts) != 3 or not 0.0 <= share <= 1.0:
        raise PictureError(
            f"the picture {spec!r}",
            "inset:MOTIF:GROUND:SHARE with a share of 0 to 1",
            "as inset:mosaic:wave:0.1",
        )
    return motif, ground, share


@lru_cache(maxsize=256)
def digest(spec: str) -> str:
    """What identifies a picture: the SHA-256 of a file, which changes with its contents; a sample's name."""
    if spec.partition(":")[0] in ("photograph", "painting", "inset"):
        return spec
    try:
        return hashlib.sha256(Path(spec).read_bytes()).hexdigest()
    except OSError as error:
        raise PictureError(f"{spec!r} cannot be read: {error.strerror}", "a picture file") from None
