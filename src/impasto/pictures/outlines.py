"""Where a picture has strong and dense outlines: eyes, letters, windows."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.filters import gaussian_blur, gaussian_radius
from impasto.pictures.geometry import tiles

__all__ = ["outline_strength"]

#: Outlines are the band of lightness and colour between these two blurs, in pixels.
FINE, COARSE = 0.8, 2.5
#: Blur of the band's energy, in pixels: outlines closer together than this count as one feature.
GATHER = 3.0
#: The quantile of the energy that gets the value 1, and the number of pixels that it is estimated from.
FULL_QUANTILE, QUANTILE_SAMPLES = 0.97, 100_000
#: Band energies below this, about one level of 8 bits, are noise; else a flat picture would be all detail.
MIN_ENERGY = 0.004
TILE = 1024


def outline_strength(picture: Tensor) -> Tensor:
    """How strong the fine outlines around each pixel are, relative to the strongest of the picture.

    The root of the blurred energy of a band of the picture, divided by its 97 % quantile, squared. Computed
    in tiles, so that little more memory is needed than for the result.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].

    Returns:
        (1, 1, H, W) in [0, 1], float32.
    """
    size = (int(picture.shape[-2]), int(picture.shape[-1]))
    halo = gaussian_radius(COARSE) + gaussian_radius(GATHER)
    energy = torch.empty(1, 1, *size, device=picture.device)
    for tile in tiles(size, TILE, 1, halo):
        pixels = tile.cut(picture).float()
        band = gaussian_blur(pixels, FINE) - gaussian_blur(pixels, COARSE)
        gathered = gaussian_blur(band.square().sum(1, keepdim=True), GATHER)
        energy[(..., *tile.grid(1))] = gathered[(..., *tile.inner(1))]
    energy = energy.clamp_min_(0.0).sqrt_()
    samples = energy.flatten()[:: max(1, energy.numel() // QUANTILE_SAMPLES)]
    full = max(float(torch.quantile(samples, FULL_QUANTILE)), MIN_ENERGY)
    return energy.div_(full).clamp_(0.0, 1.0).square_()
