"""Noise that a canvas is seen under while it is finished, so that nothing pays that a network alone can see.

In even areas the features of a network answer to screens of dots and to weaves that hardly change a pixel,
and an optimiser paints them there. Under noise these answers vary from one evaluation to the next and cancel
out; those to strokes do not (Cohen et al. 2019, randomised smoothing; Smilkov et al. 2017, SmoothGrad).
"""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch import Tensor

__all__ = ["BLOCK", "under_noise"]

#: Side of a block of noise in pixels. All blocks are the same one, shifted by so many rows and columns times
#: a number that differs from evaluation to evaluation, and from block to block down a column and along a row,
#: so that nothing repeats to the eye. To draw new noise would take a twentieth of an evaluation's time.
BLOCK, SHIFT, ALONG = 256, (61, 101), (17, 131)


def under_noise(picture: Tensor, deviation: Tensor, evaluation: int) -> Tensor:
    """A picture (1, C, H, W) plus noise, another one in each evaluation and the same on every device.

    Args:
        deviation: the noise's standard deviation, (1, 1, H, W), or (1, 1, 1, 1) for all of the picture.
    """
    field = _field(picture.shape[1], picture.device, picture.dtype)
    height, width = picture.shape[-2:]
    deviation, noisy = deviation.to(picture).expand(1, 1, height, width), picture.clone()
    for i, j in itertools.product(range(math.ceil(height / BLOCK)), range(math.ceil(width / BLOCK))):
        place = (..., slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK))
        block, turns = noisy[place], evaluation + ALONG[0] * i + ALONG[1] * j
        noise = field.roll([turns * shift for shift in SHIFT], (-2, -1))
        block.addcmul_(noise[..., : block.shape[-2], : block.shape[-1]], deviation[place])
    return noisy


@functools.lru_cache(maxsize=4)
def _field(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, C, 256, 256), white noise of variance 1."""
    noise = torch.randn(1, channels, BLOCK, BLOCK, generator=torch.Generator().manual_seed(0))
    return noise.to(device=device, dtype=dtype)
