"""A layer's grid on the picture, and how much each of its positions counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from impasto.losses.statistics import sample_positions
from impasto.networks.layers import geometry
from impasto.pictures.alpha import mask_on_grid
from impasto.pictures.geometry import Size, Tile

__all__ = ["MAX_SAMPLES", "Grid", "layer_grid"]

#: Positions that losses which need the features themselves, not a sum over them, look at most.
MAX_SAMPLES = 4096


@dataclass(frozen=True)
class Grid:
    """A layer's whole grid on a picture.

    Attributes:
        stride: pixels between two positions.
        height, width: positions.
        weights: (1, 1, height, width) ≥ 0, how much each position counts; None: all alike.
    """

    stride: int
    height: int
    width: int
    weights: Tensor | None = None

    @classmethod
    def on(cls, size: Size, stride: int, mask: Tensor | None, radius: int = 0) -> Grid:
        """The grid of a layer on a picture of ``size`` with a mask (1, 1, H, W) in [0, 1].

        Args:
            radius: see :func:`impasto.pictures.alpha.mask_on_grid`.
        """
        height, width = size[0] // stride, size[1] // stride
        weights = None if mask is None else mask_on_grid(mask, (height, width), radius)
        return cls(stride, height, width, weights)

    @cached_property
    def total_weight(self) -> float:
        """The sum of the weights; above 0."""
        if self.weights is None:
            return float(self.height * self.width)
        return max(float(self.weights.sum()), 1e-12)

    @cached_property
    def sample_indices(self) -> Tensor:
        """(n,) flat indices of positions that stand for all, drawn by weight; any first part of them does
        as well."""
        return sample_positions(MAX_SAMPLES, self.height, self.width, self.weights)

    def weights_in(self, tile: Tile) -> Tensor | None:
        """The weights of a tile's own positions, (1, 1, h, w); None: all alike."""
        return None if self.weights is None else self.weights[(..., *tile.grid(self.stride))]


def layer_grid(layer: str, size: Size, mask: Tensor | None, *, inside: bool = False) -> Grid:
    """The grid of ``layer`` on a picture of ``size``.

    Args:
        mask: (1, 1, H, W) in [0, 1]; None: every position counts.
        inside: whether a feature counts only if nothing beyond the mask reaches it.
    """
    shape = geometry(layer)
    return Grid.on(size, shape.stride, mask, shape.radius if inside and mask is not None else 0)
