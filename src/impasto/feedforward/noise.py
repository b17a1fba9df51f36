"""Fixed noise for the decoder. It depends only on the position in the picture, so that tiles fit together."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PERIOD", "noise_field"]

#: Positions after which the noise repeats, in both directions.
PERIOD = 64


# A megabyte or two each, and the studio paints each picture with its own seed.
@functools.lru_cache(maxsize=8)
def _periodic_noise(channels: int, seed: int) -> Tensor:
    """(1, C, 64, 64) of unit variance without seams at its edges, blurred by a Gaussian of σ = 1 position.

    It is blurred because the decoder turns the highest frequencies of white noise into a diagonal weave. Its
    values fit float16, so that exported files need half the space.
    """
    generator = torch.Generator().manual_seed((channels + 1_000_003 * seed) % 2**63)
    white = torch.randn(1, channels, PERIOD, PERIOD, generator=generator)
    profile = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
    kernel = (profile[:, None] * profile).expand(channels, 1, 7, 7)
    smooth = F.conv2d(F.pad(white, (3, 3, 3, 3), mode="circular"), kernel, groups=channels)
    return (smooth / smooth.std()).half().float()


def noise_field(
    channels: int, height: int, width: int, top: int = 0, left: int = 0, *, seed: int = 0
) -> Tensor:
    """Noise (1, C, H, W) of unit variance, float32: a window of an endless field.

    Args:
        top, left: first row and first column of the window.
    """
    rows = torch.arange(top, top + height) % PERIOD
    columns = torch.arange(left, left + width) % PERIOD
    return _periodic_noise(channels, seed)[:, :, rows][..., columns]
