"""``ColourPlan``: the colours that broad areas of the canvas have on the mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from impasto.pictures.geometry import Size, Tile, fit, tiles

__all__ = ["AREAS", "ColourPlan"]

#: Areas along the longer side. Each is twice as wide as the distance to the next one, so they overlap.
AREAS = 32


@dataclass(frozen=True)
class ColourPlan:
    """The mean colour of each of many overlapping areas, which fall off linearly from their centres.

    Attributes:
        means: (3, rows, columns), sRGB, [0, 1]; as many areas for every size of the canvas.
        size: (height, width) of the canvas without its margin.
        margin: pixels painted beyond each edge, which belong to no area.
    """

    means: Tensor
    size: Size
    margin: int = 0

    @classmethod
    def of(cls, picture: Tensor) -> ColourPlan:
        """The colours of a picture (1, 3, H, W)."""
        size = (int(picture.shape[-2]), int(picture.shape[-1]))
        plan = cls(picture.new_zeros(3, *fit(*size, AREAS)), size)
        (whole,) = tiles(size, None, 1, 0)
        return replace(plan, means=plan.colours(picture, whole))

    def at(self, size: Size, margin: int, device: torch.device) -> ColourPlan:
        """The same for a canvas at one scale, on ``device``."""
        return ColourPlan(self.means.to(device), size, margin)

    def colours(self, pixels: Tensor, tile: Tile) -> Tensor:
        """What a tile adds to the mean colours of the areas, (3, rows, columns).

        Args:
            pixels: (1, 3, h, w), the canvas, with its margin, in the tile without its halo.
        """
        rows, columns = (
            shares[:, span].to(pixels) for shares, span in zip(self._pixel_shares, tile.grid(1), strict=True)
        )
        return rows @ pixels[0] @ columns.T

    @cached_property
    def _pixel_shares(self) -> tuple[Tensor, Tensor]:
        """:func:`_shares` of the rows and of the columns, on the device of ``means``."""
        rows, columns = (
            _shares(count, side, self.margin).to(self.means)
            for count, side in zip(self.means.shape[1:], self.size, strict=True)
        )
        return rows, columns


def _shares(count: int, side: int, margin: int) -> Tensor:
    """The share of each row of pixels in the mean of each row of areas, (count, side + 2 * margin)."""
    pixels = (torch.arange(-margin, side + margin, dtype=torch.float64) + 0.5) / side
    centres = (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) / count
    reach = max(1.0 / count, 1.0 / side)  # so that in a tiny picture too each area has a pixel
    shares = (1.0 - (pixels - centres).abs() / reach).clamp_min(0.0) * ((pixels > 0.0) & (pixels < 1.0))
    return shares / shares.sum(1, keepdim=True)
