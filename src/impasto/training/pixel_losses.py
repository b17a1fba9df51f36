"""Losses of the decoder that are computed from pixels alone, each a scalar.

Pictures are (N, 3, H, W), sRGB, [0, 1]; ``painted`` and ``content`` are of one size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.colour import luma
from impasto.pictures.filters import box_mean

__all__ = ["chroma_excess", "grid_pattern", "lost_forms", "variation"]

#: Pixels between two features at relu3_1, the finest layer with noise among the decoder's inputs.
GRID_PERIOD = 4
#: Side in pixels of the windows in which a regular pattern is looked for.
GRID_WINDOW = 32
#: Factors by which pictures are reduced before their forms are compared.
FORM_SCALES = (2, 4, 8)
#: Side of the windows in which forms are compared, in pixels of the reduced pictures.
FORM_WINDOW = 7


def lost_forms(painted: Tensor, content: Tensor) -> Tensor:
    """1 − correlation of the lightness with the content's in small windows, where the content has contrast.

    Correlation ignores brightness and contrast, which are the style's. The finest scale is left out, so that
    strokes are free; windows count by the content's contrast in them, so that even areas are free too.
    """
    a, b = luma(painted), luma(content)
    losses = []
    for scale in FORM_SCALES:
        x, y = F.avg_pool2d(a, scale), F.avg_pool2d(b, scale)
        mean_x, mean_y = box_mean(x, FORM_WINDOW // 2), box_mean(y, FORM_WINDOW // 2)
        variance_x = (box_mean(x.square(), FORM_WINDOW // 2) - mean_x.square()).clamp_min(0.0) + 1e-4
        variance_y = (box_mean(y.square(), FORM_WINDOW // 2) - mean_y.square()).clamp_min(0.0) + 1e-4
        covariance = box_mean(x * y, FORM_WINDOW // 2) - mean_x * mean_y
        weights = variance_y.sqrt()
        lost = 1.0 - covariance / (variance_x * variance_y).sqrt()
        losses.append((weights * lost).sum() / weights.sum())
    return torch.stack(losses).mean()


def chroma_excess(painted: Tensor, style: Tensor) -> Tensor:
    """How much the RMS of the finest chroma is above the style's, relative to that: coloured fringes."""
    fine, reference = _fine_chroma(painted), _fine_chroma(style)
    return F.relu(fine / (reference + 0.01) - 1.0).mean()


def _fine_chroma(pictures: Tensor) -> Tensor:
    """RMS of details of three pixels in the differences of the channels from luma: (N,)."""
    chroma = pictures - luma(pictures)
    return ((chroma - box_mean(chroma, 1)).square().mean((1, 2, 3)) + 1e-8).sqrt()


def variation(painted: Tensor, content: Tensor) -> Tensor:
    """RMS of the finest details where the content is flat, such as dots and grids: a scalar.

    Args:
        painted, content: (N, 3, H, W) in [0, 1].
    """
    fine = painted - F.avg_pool2d(F.pad(painted, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return (flatness(content) * fine.square()).mean().sqrt()


def grid_pattern(painted: Tensor, content: Tensor) -> Tensor:
    """How much a picture depends on the place within a grid of ``GRID_PERIOD`` pixels, where it is flat.

    Features that are the same everywhere lead the decoder to draw the same between any two of their
    positions, or texture that is stronger at some of these places than at others. Within windows, the mean
    and the RMS of fine details are taken at each place of the grid; the mean should be zero, the RMS equal.

    Args:
        painted, content: (N, 3, H, W) in [0, 1], at least ``GRID_WINDOW`` pixels high and wide.

    Returns:
        A scalar: the RMS of both differences over places and windows.
    """
    pad = (GRID_PERIOD,) * 4
    smooth = F.avg_pool2d(F.pad(painted, pad, mode="reflect"), 2 * GRID_PERIOD + 1, 1)
    details, weights = _in_windows(painted - smooth), _in_windows(flatness(content))
    totals = weights.sum((3, 6)).clamp_min(1e-3)
    mean = (details * weights).sum((3, 6)) / totals
    strength = ((details.square() * weights).sum((3, 6)) / totals + 1e-8).sqrt()
    uneven = strength - strength.mean((3, 5), keepdim=True)
    differences = ((mean.square() + uneven.square()) * totals).sum() / (3 * totals.sum())
    return differences.clamp_min(1e-12).sqrt()


def _in_windows(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, windows, repeats, period, windows, repeats, period).

    The first three are of the height, the others of the width; what is left at the edges is cut off.
    """
    height, width = (side // GRID_WINDOW for side in x.shape[-2:])
    x = x[..., : height * GRID_WINDOW, : width * GRID_WINDOW]
    repeats = GRID_WINDOW // GRID_PERIOD
    x = x.unflatten(3, (width, repeats, GRID_PERIOD))
    windows: Tensor = x.unflatten(2, (height, repeats, GRID_PERIOD))
    return windows


def flatness(content: Tensor) -> Tensor:
    """How flat pictures (N, 3, H, W) in [0, 1] are around each pixel: (N, 1, H, W), from 0 to 1."""
    grey = content.mean(1, keepdim=True)
    busy = F.avg_pool2d((grey - F.avg_pool2d(grey, 5, 1, 2)).square(), 9, 1, 4).sqrt()
    return torch.exp(-busy / 0.01)
