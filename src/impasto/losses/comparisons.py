"""The ways to compare styles: what is remembered of a picture at a layer, and how two memories are judged.

What is remembered adds up over the parts of a picture, so each comparison works in tiles, exactly: sums do
by themselves; a sample of positions does because each part fills in its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.functions import (
    gram_loss,
    histogram_loss,
    relaxed_emd_loss,
    sliced_loss,
    wasserstein_loss,
)
from impasto.losses.statistics import moment_sum, rows
from impasto.losses.terms import Grid
from impasto.networks.encoder import Features
from impasto.pictures.geometry import Tile

__all__ = ["COMPARISONS", "Comparison", "blend", "blend_rows"]


@dataclass(frozen=True)
class Comparison:
    """One way to compare styles.

    Attributes:
        remember: (features of a tile, layer, the whole grid, the tile) → additive memory.
        judge: (own memory, target memory, normalisation) → scalar without unit, about 1 for unlike pictures.
        averages: whether memories of several styles average linearly; otherwise they are rows, and of each
            style some are taken.
    """

    remember: Callable[[Features, str, Grid, Tile], Tensor]
    judge: Callable[[Tensor, Tensor, str], Tensor]
    averages: bool


def _gram(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return features.gram_sum(layer, grid.part(tile)) / grid.count


def _moments(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return moment_sum(features[layer], grid.part(tile)) / grid.count


def _sample(count: int) -> Callable[[Features, str, Grid, Tile], Tensor]:
    def remember(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
        return rows(features[layer], grid.spots[:count], tile.grid(grid.stride), grid.width)

    return remember


def _plain(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, str], Tensor]:
    return lambda own, target, normalisation: loss(own, target)


#: name → comparison at one layer. ``nearest`` compares all layers at once: see ``matching.py``.
COMPARISONS: dict[str, Comparison] = {
    "gram": Comparison(_gram, gram_loss, averages=True),
    "wasserstein": Comparison(_moments, _plain(wasserstein_loss), averages=True),
    "sliced": Comparison(_sample(4096), _plain(sliced_loss), averages=False),
    "histogram": Comparison(_sample(4096), _plain(histogram_loss), averages=False),
    # Its cost grows with the square of the sample; Kolkin et al. take 1000 too.
    "remd": Comparison(_sample(1024), _plain(relaxed_emd_loss), averages=False),
}


def blend(
    memories: Sequence[Mapping[str, Tensor]], shares: Sequence[float], averages: Mapping[str, bool]
) -> dict[str, Tensor]:
    """Several styles' memories as one, by shares that sum to 1."""
    found = {}
    for key, linear in averages.items():
        each = [memory[key] for memory in memories]
        if linear:
            found[key] = torch.stack([one * share for one, share in zip(each, shares, strict=True)]).sum(0)
        else:
            found[key] = blend_rows(each, shares)
    return found


def blend_rows(each: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Rows (m, …) of each style by its share, as many as there are of the one that runs out first."""
    used = [(one, share) for one, share in zip(each, shares, strict=True) if share > 0]
    most = min(len(one) / share for one, share in used)
    return torch.cat([one[: max(1, int(share * most + 1e-6))] for one, share in used])
