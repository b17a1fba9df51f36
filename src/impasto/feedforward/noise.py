"""Fixed noise for the decoder: the same at a place of the picture, whichever part of it is asked for."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PERIOD", "noise_field"]

#: Places after which the noise repeats.
PERIOD = 64


@functools.cache
def _periodic_noise(channels: int, seed: int) -> Tensor:
    """(1, C, 64, 64) of unit variance that continues over its edges, blurred by a Gaussian of σ = 1 place.

    It is blurred because a decoder makes a diagonal weave of the finest frequencies of white noise.
    """
    generator = torch.Generator().manual_seed((channels + 1_000_003 * seed) % 2**63)
    white = torch.randn(1, channels, PERIOD, PERIOD, generator=generator)
    line = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
    kernel = (line[:, None] * line).expand(channels, 1, 7, 7)
    smooth = F.conv2d(F.pad(white, (3, 3, 3, 3), mode="circular"), kernel, groups=channels)
    return smooth / smooth.std()


def noise_field(
    channels: int, height: int, width: int, top: int = 0, left: int = 0, *, seed: int = 0
) -> Tensor:
    """Noise (1, C, H, W), float32: rows from ``top`` and columns from ``left`` of an endless field."""
    rows = torch.arange(top, top + height) % PERIOD
    columns = torch.arange(left, left + width) % PERIOD
    return _periodic_noise(channels, seed)[:, :, rows][..., columns]
