"""Masks and how they travel to a layer's grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.errors import PictureError

__all__ = ["require_coverage", "to_grid"]


def to_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (1, 1, H, W) in [0, 1] on a layer's grid: the area average ('simple' in Gatys et al. 2017)."""
    return mask if mask.shape[-2:] == size else F.adaptive_avg_pool2d(mask, size)


def require_coverage(mask: Tensor, what: str) -> None:
    """Raise ``PictureError`` when a mask leaves next to nothing to look at."""
    if float(mask.mean()) < 1e-3:
        raise PictureError(
            f"the {what} picture is transparent all over",
            "at least a thousandth of it must be opaque",
            "remove its alpha channel or choose another picture",
        )
