"""``Guidance``: which parts of the styles suit which places of the canvas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.geometry import Size, Tile

__all__ = ["Guidance"]

EVERYWHERE = (slice(None), slice(None))


@dataclass(frozen=True)
class Guidance:
    """How well each part of the styles suits each place of the canvas.

    Attributes:
        suitability: (1, K, h, w), on a coarse grid over the content: for each of K parts a difference of
            cosines, at most 0, which is that of the part that suits best.
        size: (height, width) of the canvas without its margin.
        margin: pixels painted beyond each edge; what suits there is what suits at the edge.
    """

    suitability: Tensor
    size: Size
    margin: int = 0

    def at(self, size: Size, margin: int, device: torch.device) -> Guidance:
        """The same for a canvas at one scale, on ``device``."""
        return replace(self, suitability=self.suitability.to(device), size=size, margin=margin)

    def membership(self, parts: Tensor) -> Tensor:
        """Indices of parts (m, 1) as rows (m, K) that are 1 for the part and else 0."""
        return F.one_hot(parts[:, 0].long(), self.suitability.shape[1])

    def in_tile(self, tile: Tile, stride: int, window: tuple[slice, slice] = EVERYWHERE) -> Tensor:
        """Suitability (n, K) at a tile's positions of a layer's grid, or at some rows and columns of them."""
        rows, columns = (
            torch.arange(span.start, span.stop, device=self.suitability.device)[chosen]
            for span, chosen in zip(tile.grid(stride), window, strict=True)
        )
        return self.on_grid(rows, columns, stride)

    def on_grid(self, rows: Tensor, columns: Tensor, stride: int) -> Tensor:
        """Suitability (n, K) at some rows and columns of a layer's grid, n = len(rows) · len(columns).

        Args:
            rows, columns: indices of positions, ``stride`` pixels apart, on the canvas with its margin.
        """
        y, x = (
            2.0 * ((indices.to(self.suitability) + 0.5) * stride - self.margin) / side - 1.0
            for indices, side in zip((rows, columns), self.size, strict=True)
        )
        points = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], 2)[None]
        sampled = F.grid_sample(self.suitability, points, padding_mode="border", align_corners=False)
        return sampled[0].flatten(1).T
