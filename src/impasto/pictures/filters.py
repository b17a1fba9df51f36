"""Linear filters of pictures and planes, (N, C, H, W) → (N, C, H, W); edge pixels are repeated outwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["box_mean", "gaussian_blur", "gaussian_radius"]


def gaussian_radius(sigma: float) -> int:
    """Pixels on each side that :func:`gaussian_blur` looks at."""
    return int(3.0 * sigma + 0.5)


def gaussian_blur(values: Tensor, sigma: float) -> Tensor:
    """Blur each channel by a Gaussian of standard deviation ``sigma`` > 0, in pixels."""
    radius, channels = gaussian_radius(sigma), values.shape[1]
    distance = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
    kernel = torch.exp(-distance.square() / (2.0 * sigma * sigma))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    padded = F.pad(values, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=channels)
    return F.conv2d(rows, kernel.transpose(-2, -1), groups=channels)


def box_mean(values: Tensor, radius: int) -> Tensor:
    """Mean over the square of ``2 * radius + 1`` pixels around each pixel."""
    padded = F.pad(values, (radius, radius, radius, radius), mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, 1)
