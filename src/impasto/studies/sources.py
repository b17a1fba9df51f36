"""The pictures of a study by name: files, the project's samples, and a motif inset in another picture."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

import torch

from impasto import pictures, samples
from impasto.errors import PictureError
from impasto.pictures import Picture
from impasto.pictures.geometry import resample
from impasto.pieces.piece import Files

__all__ = ["digest", "inset", "is_file", "picture", "reading"]

#: Long side of a painted sample in pixels: more than any study in docs/studies.md uses.
PAINTED = 512

#: Where files are read from: the disk, or what was sent with a cell.
_files: ContextVar[Files | None] = ContextVar("files", default=None)


@contextmanager
def reading(files: Files) -> Iterator[None]:
    """Read the files of pictures from ``files`` in this block."""
    token = _files.set(files)
    try:
        yield
    finally:
        _files.reset(token)


def is_file(spec: str) -> bool:
    """Whether a picture is a file, and not one that the project paints or has."""
    return spec.partition(":")[0] not in ("photograph", "painting", "inset")


def picture(spec: str) -> Picture:
    """The picture that a plan calls ``spec``.

    Args:
        spec: a path; ``photograph:chelsea``; ``painting:wave``; ``inset:mosaic:wave:0.1``, a painting in
            the middle of another, with a tenth of its area.
    """
    return _picture(spec, digest(spec))


@lru_cache(maxsize=8)
def _picture(spec: str, digest: str) -> Picture:
    """See :func:`picture`; read again when the file has changed, and with it ``digest``."""
    kind, _, name = spec.partition(":")
    if kind == "photograph":
        return Picture(samples.photograph(name))
    if kind == "painting":
        return Picture(samples.painting(name, size=PAINTED))
    if kind == "inset":
        return Picture(inset(*_inset_parts(spec)))
    files = _files.get() or Files()
    return pictures.load_bytes(files.read(Path(spec)), spec) if files.were_sent else pictures.load(spec)


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


def digest(spec: str) -> str:
    """What identifies a picture: the SHA-256 of a file, which changes with its contents; a sample's name."""
    return hashlib.sha256((_files.get() or Files()).read(Path(spec))).hexdigest() if is_file(spec) else spec
