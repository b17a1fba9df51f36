"""Sizes of the coarse-to-fine schedule and resampling: pure geometry."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError

__all__ = ["Size", "fit", "resample", "resample_signed", "resample_wrapped", "schedule", "to_multiple"]

Size = tuple[int, int]


def fit(height: int, width: int, long_side: int) -> Size:
    """(height, width), each at least 1, of the same aspect ratio whose longer side is ``long_side``."""
    longest = max(height, width)
    return max(1, round(height * long_side / longest)), max(1, round(width * long_side / longest))


def schedule(height: int, width: int, coarsest: int, shortest: int) -> list[Size]:
    """Sizes from coarse to fine, ending at (height, width), each about twice the one before.

    Args:
        coarsest: the long side that the first size comes close to; the schedule starts at the size whose
            long side is at most √2 times this.
        shortest: no size's short side is smaller than this (the deepest layer needs so many pixels).

    Raises:
        RecipeError: even the final size is too small.
    """
    if min(height, width) < shortest:
        raise RecipeError(
            f"the picture would be {width}×{height} pixels",
            f"the deepest layer asked for needs at least {shortest} on the shorter side",
            "use a larger --size, a less narrow picture or shallower layers",
        )
    sizes = [(height, width)]
    longest = max(height, width)
    while True:
        long_side = longest / 2 ** len(sizes)
        coarser = fit(height, width, max(1, round(long_side)))
        if long_side < coarsest / 2**0.5 or min(coarser) < shortest:
            return sizes[::-1]
        sizes.append(coarser)


def resample(image: Tensor, size: Size) -> Tensor:
    """Resize (N, C, H, W) to ``size`` by antialiased bicubic interpolation; values stay in [0, 1].

    Antialiased, unlike a plain ``interpolate``: an aliased style picture teaches stair-steps.
    """
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)


def to_multiple(size: Size, of: int) -> Size:
    """(height, width) with each side the nearest multiple of ``of``, at least one."""
    height, width = (max(1, round(side / of)) * of for side in size)
    return height, width


def resample_wrapped(image: Tensor, size: Size) -> Tensor:
    """As :func:`resample` for a picture that repeats: what lies beyond an edge is the opposite edge."""
    if image.shape[-2:] == size:
        return image
    height, width = size
    nine = resample(image.repeat(1, 1, 3, 3), (3 * height, 3 * width))
    return nine[..., height : 2 * height, width : 2 * width].contiguous()


def resample_signed(values: Tensor, size: Size) -> Tensor:
    """Resize (N, C, H, W) of any sign, as an optimiser's moments, bilinearly (no overshoot, no clamp)."""
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
