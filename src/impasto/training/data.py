"""Training pictures: random crops of the pictures in a folder, 5 % of which are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import PictureError
from impasto.pictures import load

__all__ = ["Crops"]

HELD_OUT = 0.05


def _is_held_out(name: str) -> bool:
    """Decided by the file's name, so that adding files does not change the split."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT


def _as_bytes(picture: Tensor) -> Tensor:
    return (picture[0] * 255.0).round().to(torch.uint8)


class Crops:
    """Random square crops of the pictures in one folder, kept in memory as uint8.

    Args:
        folder: with .jpg, .jpeg or .png files.
        held_out: use the 5 % that are never trained on instead of the other 95 %.
        limit: use at most this many pictures; None: all.

    Raises:
        PictureError: the folder has no such pictures, or one cannot be read.
    """

    def __init__(self, folder: Path, *, held_out: bool = False, limit: int | None = None) -> None:
        listed = folder.iterdir() if folder.is_dir() else ()
        files = sorted(p for p in listed if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
        files = [p for p in files if _is_held_out(p.name) == held_out][:limit]
        if not files:
            raise PictureError(f"no pictures in {folder}", ".jpg or .png files", "choose another --data")
        self.pictures = [_as_bytes(load(p).pixels) for p in files]

    @classmethod
    def of(cls, pictures: Sequence[Tensor]) -> Crops:
        """Crops of these pictures, (1, 3, H, W) in [0, 1]."""
        crops = cls.__new__(cls)
        crops.pictures = [_as_bytes(picture) for picture in pictures]
        return crops

    def draw(self, count: int, size: int, rng: np.random.Generator) -> Tensor:
        """Random crops (count, 3, size, size), float32 in [0, 1], half of them mirrored.

        A crop is 1 to 2 times ``size`` pixels wide in its picture, if that is large enough.
        """
        crops = torch.empty(count, 3, size, size)
        for i in range(count):
            picture = self.pictures[int(rng.integers(len(self.pictures)))]
            side = min(int(size * rng.uniform(1.0, 2.0)), picture.shape[1], picture.shape[2])
            top = int(rng.integers(picture.shape[1] - side + 1))
            left = int(rng.integers(picture.shape[2] - side + 1))
            crop = picture[:, top : top + side, left : left + side].float()[None] / 255.0
            if rng.random() < 0.5:
                crop = crop.flip(-1)
            if side != size:
                crop = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)
            crops[i] = crop[0].clamp(0, 1)
        return crops
