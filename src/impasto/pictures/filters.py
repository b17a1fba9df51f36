"""Linear filters of pictures and planes, (N, C, H, W) → (N, C, H, W); edge pixels are repeated outwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["box_mean", "gaussian_blur", "gaussian_radius", "guided_filter"]


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


def guided_filter(guide: Tensor, values: Tensor, radius: int, epsilon: float) -> Tensor:
    """Smooth values (1, C, H, W) along the edges of a guide (1, 1, H, W) (He et al. 2013, eq. 5, 6 and 8).

    Args:
        radius: of the window, as in :func:`box_mean`.
        epsilon: a variance of the guide; where it varies much less within a window, there is no edge.
    """
    guide_mean, mean = box_mean(guide, radius), box_mean(values, radius)
    covariance = box_mean(guide * values, radius) - guide_mean * mean
    variance = box_mean(guide * guide, radius) - guide_mean * guide_mean
    slope = covariance / (variance + epsilon)
    offset = mean - slope * guide_mean
    return box_mean(slope, radius) * guide + box_mean(offset, radius)
