"""Transparency masks: resized to the grid of a layer, and the pixels under them filled in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import PictureError

__all__ = ["fill", "mask_on_grid", "require_coverage"]


def mask_on_grid(mask: Tensor, size: tuple[int, int], radius: int = 0) -> Tensor:
    """Resize a mask (1, 1, H, W) in [0, 1] to the grid of a layer, (1, 1, h, w).

    With radius 0 the mask is averaged over areas ("simple" in Gatys et al. 2017). Otherwise only features
    whose receptive field lies within the mask count ("inside" there); if hardly any does, as with a small
    mask, the result is the area average too.

    Args:
        size: (height, width) of the layer's grid.
        radius: the layer's receptive radius in pixels, or 0.
    """
    simple = mask if mask.shape[-2:] == size else F.adaptive_avg_pool2d(mask, size)
    if not radius:
        return simple
    # Erode the mask. max_pool2d ignores positions beyond the picture's edge, so the edge erodes nothing.
    negative = -mask
    for kernel in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        negative = F.max_pool2d(negative, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    inside = -F.adaptive_max_pool2d(negative, size)
    return inside if float(inside.sum()) > 0.01 * float(simple.sum()) else simple


def require_coverage(mask: Tensor, what: str) -> None:
    """Raise ``PictureError`` when less than a thousandth of a picture is opaque.

    Args:
        mask: the picture's alpha, (1, 1, H, W) in [0, 1].
        what: which picture it is, for the message: ``content``, ``style``.
    """
    if float(mask.mean()) < 1e-3:
        raise PictureError(
            f"the {what} picture is transparent all over",
            "at least a thousandth of it must be opaque",
            "remove its alpha channel or choose another picture",
        )


def fill(pixels: Tensor, mask: Tensor) -> Tensor:
    """Replace the pixels where a mask is 0 by a smooth continuation of the others, by a pyramid (push-pull).

    The colours of fully transparent pixels are arbitrary, usually black. Masked losses leave them out, but
    the features of their neighbours would still depend on them.

    Args:
        pixels: (1, 3, H, W).
        mask: (1, 1, H, W) in [0, 1], above 0 somewhere.
    """
    if bool((mask > 0).all()):
        return pixels
    levels = [(pixels * mask, mask)]
    while max(levels[-1][1].shape[-2:]) > 1:
        levels.append((_half_size(levels[-1][0]), _half_size(levels[-1][1])))
    filled = pixels.mean((2, 3), keepdim=True)
    for colour, weight in reversed(levels):
        size = (weight.shape[-2], weight.shape[-1])
        coarser = F.interpolate(filled, size, mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, colour / weight.clamp_min(1e-30), coarser)
    return torch.where(mask > 0, pixels, filled)


def _half_size(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 2, ceil_mode=True)
