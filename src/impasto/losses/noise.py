"""Noise that a canvas is seen under while it is finished, so that nothing pays that a network alone can see.

In even areas the features of a network answer to screens of dots and to weaves that hardly change a pixel,
and an optimiser paints them there. Under noise these answers vary from one evaluation to the next and cancel
out; those to strokes do not (Cohen et al. 2019, randomised smoothing; Smilkov et al. 2017, SmoothGrad).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from impasto.pictures.colour import to_oklab
from impasto.pictures.filters import gaussian_blur

__all__ = ["PERIOD", "finest_lightness", "under_noise"]

#: Pixels after which the noise repeats, in both directions. To draw noise for a whole picture would take a
#: twentieth of the time of an evaluation.
PERIOD = 256
#: Rows and columns by which it is shifted from one evaluation to the next; odd, so that all shifts differ.
SHIFT = (61, 101)
#: The finest band of lightness is what a blur by this many pixels removes.
SIGMA = 1.0


def finest_lightness(picture: Tensor, mask: Tensor | None = None) -> Tensor:
    """RMS of the finest band of OKLab's L, a scalar: how much the strokes and grain of a picture stand out.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W), how much each pixel counts; None: all equally.
    """
    lightness = to_oklab(picture)[:, :1]
    squares = (lightness - gaussian_blur(lightness, SIGMA)).square()
    mean = squares.mean() if mask is None else (squares * mask).sum() / mask.sum().clamp_min(1e-6)
    return mean.sqrt()


def under_noise(picture: Tensor, deviation: Tensor, evaluation: int) -> Tensor:
    """A picture (1, C, H, W) plus noise, another one in each evaluation and the same on every device.

    Args:
        deviation: the noise's standard deviation, (1, 1, H, W), or (1, 1, 1, 1) for all of the picture.
    """
    rows, columns = (
        (torch.arange(side, device=picture.device) + evaluation * shift) % PERIOD
        for side, shift in zip(picture.shape[-2:], SHIFT, strict=True)
    )
    field = _field(picture.shape[1], picture.device, picture.dtype)
    noise = field[:, :, rows][..., columns]
    return torch.addcmul(picture, noise, deviation.to(noise))


@functools.lru_cache(maxsize=4)
def _field(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, C, 256, 256), white noise of variance 1."""
    noise = torch.randn(1, channels, PERIOD, PERIOD, generator=torch.Generator().manual_seed(0))
    return noise.to(device=device, dtype=dtype)
