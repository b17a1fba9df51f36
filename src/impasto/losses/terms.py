"""What an objective is made of: terms, the parts of a picture they look at, and grids of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from impasto.losses.statistics import positions
from impasto.networks.encoder import Features
from impasto.pictures.alpha import to_grid
from impasto.pictures.geometry import Size, Tile

__all__ = ["SAMPLES", "Grid", "Term", "View"]

#: Positions at which comparisons that need to see all features side by side look at most.
SAMPLES = 4096


@dataclass(frozen=True)
class View:
    """A part of the picture, or all of it.

    Attributes:
        tile: where it lies.
        image: (1, 3, h, w), with the tile's halo.
        features: of the tile's own part alone.
    """

    tile: Tile
    image: Tensor
    features: Features

    def own(self, image: Tensor, *, further: int = 0) -> Tensor:
        """The tile's own part of ``image`` as cut; ``further`` pixels more to the right and below, if any."""
        rows, columns = self.tile.inner(1)
        return image[..., rows.start : rows.stop + further, columns.start : columns.stop + further]


@dataclass(frozen=True)
class Term:
    """One comparison, at one place, times one weight.

    Attributes:
        name: ``content/relu3_2``, ``style/relu1_1``, ``style/relu3_1/nearest``, ``tv``, ``temporal``.
        gather: what the comparison needs to know of a part of the picture; additive over parts.
        judge: from the sum over all parts to a loss, weight included.
    """

    name: str
    gather: Callable[[View], Tensor]
    judge: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Grid:
    """A layer's whole grid on a picture, and how much each of its positions counts.

    Attributes:
        stride: pixels between two positions.
        height, width: positions.
        weights: (1, 1, height, width) ≥ 0; None: all alike.
    """

    stride: int
    height: int
    width: int
    weights: Tensor | None = None

    @classmethod
    def on(cls, size: Size, stride: int, mask: Tensor | None, radius: int = 0) -> Grid:
        """The grid of a layer on a picture of ``size`` with a mask (1, 1, H, W) in [0, 1].

        Args:
            radius: see :func:`impasto.pictures.alpha.to_grid`.
        """
        height, width = size[0] // stride, size[1] // stride
        weights = None if mask is None else to_grid(mask, (height, width), radius)
        return cls(stride, height, width, weights)

    @cached_property
    def count(self) -> float:
        """The sum of the weights; above 0."""
        return (
            float(self.height * self.width) if self.weights is None else max(float(self.weights.sum()), 1e-12)
        )

    @cached_property
    def spots(self) -> Tensor:
        """(n,) flat indices of the positions that stand for all, by weight."""
        return positions(SAMPLES, self.height, self.width, self.weights)

    def part(self, tile: Tile) -> Tensor | None:
        """The weights of a tile's own positions, (1, 1, h, w); None: all alike."""
        return None if self.weights is None else self.weights[(..., *tile.grid(self.stride))]
