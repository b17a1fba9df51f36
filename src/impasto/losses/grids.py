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

#: The largest number of positions at which losses compare features themselves instead of sums over them.
MAX_SAMPLES = 4096


@dataclass(frozen=True)
class Grid:
    """The grid of a layer's positions on a whole picture.

    Attributes:
        stride: pixels between two neighbouring positions.
        height, width: number of positions.
        weights: (1, 1, height, width) ≥ 0, how much each position counts; None: all equally.
    """

    stride: int
    height: int
    width: int
    weights: Tensor | None = None

    @classmethod
    def on(cls, size: Size, stride: int, mask: Tensor | None, radius: int = 0) -> Grid:
        """The grid of a layer on a picture.

        Args:
            size: (height, width) of the picture.
            stride: the layer's.
            mask: (1, 1, H, W) in [0, 1], from which the weights are made; None: every position counts.
            radius: see :func:`impasto.pictures.alpha.mask_on_grid`.
        """
        height, width = size[0] // stride, size[1] // stride
        weights = None if mask is None else mask_on_grid(mask, (height, width), radius)
        return cls(stride, height, width, weights)

    @cached_property
    def total_weight(self) -> float:
        """The sum of the weights, or the number of positions; at least 1e-12."""
        if self.weights is None:
            return float(self.height * self.width)
        return max(float(self.weights.sum()), 1e-12)

    @cached_property
    def sample_indices(self) -> Tensor:
        """(n,) flat indices of at most ``MAX_SAMPLES`` positions, see :func:`sample_positions`."""
        return sample_positions(MAX_SAMPLES, self.height, self.width, self.weights)

    def weights_in(self, tile: Tile) -> Tensor | None:
        """The weights in a tile without its halo, (1, 1, h, w); None: all equal."""
        return None if self.weights is None else self.weights[(..., *tile.grid(self.stride))]


def layer_grid(layer: str, size: Size, mask: Tensor | None, *, inside: bool = False) -> Grid:
    """The grid of ``layer`` on a picture of ``size``.

    Args:
        mask: (1, 1, H, W) in [0, 1]; None: every position counts.
        inside: whether a feature counts only if nothing beyond the mask reaches it.
    """
    shape = geometry(layer)
    return Grid.on(size, shape.stride, mask, shape.radius if inside and mask is not None else 0)
