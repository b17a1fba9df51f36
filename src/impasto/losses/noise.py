"""Noise that a canvas is seen under while it is finished, so that nothing pays that a network alone can see.

In even areas the features of a network answer to screens of dots and to weaves that hardly change a pixel,
and an optimiser paints them there. Under noise these answers vary from one evaluation to the next and cancel
out; those to strokes do not (Cohen et al. 2019, randomised smoothing; Smilkov et al. 2017, SmoothGrad).
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

__all__ = ["PERIOD", "under_noise"]

#: Pixels after which the noise repeats, in both directions. To draw noise for a whole picture would take a
#: twentieth of the time of an evaluation.
PERIOD = 256
#: Rows and columns by which it is shifted from one evaluation to the next; odd, so that all shifts differ.
SHIFT = (61, 101)


def under_noise(picture: Tensor, deviation: Tensor, evaluation: int) -> Tensor:
    """A picture (1, C, H, W) plus noise, another one in each evaluation and the same on every device.

    Args:
        deviation: the noise's standard deviation, (1, 1, H, W), or (1, 1, 1, 1) for all of the picture.
    """
    field = _field(picture.shape[1], picture.device, picture.dtype)
    field = field.roll([-evaluation * shift for shift in SHIFT], (-2, -1))
    height, width = picture.shape[-2:]
    deviation, noisy = deviation.to(picture).expand(1, 1, height, width), picture.clone()
    for top, left in itertools.product(range(0, height, PERIOD), range(0, width, PERIOD)):
        place = (..., slice(top, top + PERIOD), slice(left, left + PERIOD))
        block = noisy[place]
        block.addcmul_(field[..., : block.shape[-2], : block.shape[-1]], deviation[place])
    return noisy


@functools.lru_cache(maxsize=4)
def _field(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, C, 256, 256), white noise of variance 1."""
    noise = torch.randn(1, channels, PERIOD, PERIOD, generator=torch.Generator().manual_seed(0))
    return noise.to(device=device, dtype=dtype)
