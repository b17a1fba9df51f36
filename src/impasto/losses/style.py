"""Style: statistics of the picture's features agree with those of the style pictures.

A way to compare styles is a :class:`StyleLoss`: what is gathered of a picture at one layer, and how two such
statistics are judged. What is gathered adds up over the parts of a picture, so every loss works in tiles,
exactly: sums do by themselves, and a sample of positions does because each part fills in its own rows.

To add a loss, write a ``StyleLoss`` and name it in ``impasto.recipe.STYLE_LOSSES``; nothing else is needed
for the command line, the API, studies and tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.statistics import gather_positions, layer_gram_sum, moment_sum
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, size_of
from impasto.networks.encoder import Features
from impasto.pictures.geometry import Tile
from impasto.scene import Region, Scene

__all__ = [
    "GRAM",
    "HISTOGRAM",
    "REMD",
    "SLICED",
    "WASSERSTEIN",
    "StyleLoss",
    "StyleTerm",
    "blend_rows",
    "blend_statistics",
    "known_statistics",
    "region_shares",
]

#: Features at sampled positions that the sorting losses compare; the cost of relaxed_emd_loss grows with the
#: square of the sample, and Kolkin et al. take 1000 too.
SORTED_SAMPLES, EMD_SAMPLES = 4096, 1024


@dataclass(frozen=True)
class StyleLoss:
    """One way to compare the styles of two pictures at a layer.

    Attributes:
        gather: (features of a part, layer, the layer's whole grid, the part's tile) → a statistic that adds
            up over the parts.
        judge: (the picture's statistic, the style's, normalisation) → a scalar without unit, about 1 for
            unlike pictures.
        averages: whether the statistics of several styles average linearly; otherwise they are rows, of which
            some are taken from each style.
    """

    gather: Callable[[Features, str, Grid, Tile], Tensor]
    judge: Callable[[Tensor, Tensor, str], Tensor]
    averages: bool


def _gram(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return layer_gram_sum(features, layer, grid.weights_in(tile)) / grid.total_weight


def _moments(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return moment_sum(features[layer], grid.weights_in(tile)) / grid.total_weight


def _samples(count: int) -> Callable[[Features, str, Grid, Tile], Tensor]:
    def gather(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
        indices = grid.sample_indices[:count]
        return gather_positions(features[layer], indices, tile.grid(grid.stride), grid.width)

    return gather


def _without_units(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, str], Tensor]:
    """A loss that exists in the relative normalisation alone."""
    return lambda statistic, target, normalisation: loss(statistic, target)


GRAM = StyleLoss(_gram, gram_loss, averages=True)
WASSERSTEIN = StyleLoss(_moments, _without_units(wasserstein_loss), averages=True)
SLICED = StyleLoss(_samples(SORTED_SAMPLES), _without_units(sliced_loss), averages=False)
HISTOGRAM = StyleLoss(_samples(SORTED_SAMPLES), _without_units(histogram_loss), averages=False)
REMD = StyleLoss(_samples(EMD_SAMPLES), _without_units(relaxed_emd_loss), averages=False)


@dataclass(frozen=True)
class StyleMemory:
    """What :class:`StyleTerm` remembers: for each key its region's share, grid and target, by layer."""

    entries: Mapping[str, tuple[str, float, Grid, Tensor]]


@dataclass(frozen=True, kw_only=True)
class StyleTerm(Term):
    """A :class:`StyleLoss` at several layers, in every region of the scene.

    Attributes:
        loss: how statistics are gathered and judged.
        loss_name: names its entries in the trace; empty: the layer's name alone.
        layer_weights: layer → its share of the loss.
        normalisation: see :mod:`impasto.losses.functions`.
        inside: whether features that see something beyond a region's mask are left out.
    """

    name: str = "style"
    loss: StyleLoss
    loss_name: str = ""
    layer_weights: Mapping[str, float]
    normalisation: str = "relative"
    inside: bool = False

    def applies(self, scene: Scene) -> bool:
        return scene.has_styles

    def _key(self, layer: str, region: Region) -> str:
        """``relu1_1``, ``relu3_1/sliced``, ``relu1_1/sky``."""
        return "/".join(filter(None, (layer, self.loss_name, region.name)))

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        statistics: dict[str, Tensor] = {}
        for region in scene.regions:
            of_each = [self._of_style(style.pixels, style.mask, encoder) for style in region.styles]
            for layer in self.layers:
                values = [statistics_of_style[layer] for statistics_of_style in of_each]
                statistics[self._key(layer, region)] = blend_statistics(
                    values, region.style_shares, averages=self.loss.averages
                )
        return statistics

    def _of_style(self, pixels: Tensor, mask: Tensor | None, encoder: TiledEncoder) -> Gathered:
        """Layer → statistic of one style picture."""
        grids = {layer: layer_grid(layer, size_of(pixels), mask) for layer in self.layers}
        return add_up(encoder.style_parts(pixels, self.layers), lambda part: self._gather(part, grids))

    def _gather(self, part: Part, grids: Mapping[str, Grid]) -> Gathered:
        return {
            layer: self.loss.gather(part.features, layer, grid, part.tile) for layer, grid in grids.items()
        }

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> StyleMemory:
        targets = known_statistics(self, scene, encoder)
        return StyleMemory({
            self._key(layer, region): (
                layer,
                share,
                layer_grid(layer, scene.size, region.mask, inside=self.inside),
                targets[self._key(layer, region)],
            )
            for region, share in region_shares(scene)
            for layer in self.layers
        })  # fmt: skip

    def gather(self, part: Part, memory: StyleMemory) -> Gathered:
        return {
            key: self.loss.gather(part.features, layer, grid, part.tile)
            for key, (layer, _, grid, _) in memory.entries.items()
        }

    def judge(self, gathered: Gathered, memory: StyleMemory) -> Gathered:
        return {
            key: share
            * self.layer_weights[layer]
            * self.loss.judge(gathered[key], target, self.normalisation)
            for key, (layer, share, _, target) in memory.entries.items()
        }


def known_statistics(term: Term, scene: Scene, encoder: TiledEncoder) -> Mapping[str, Tensor]:
    """The styles' statistics as the scene knows them already, or worked out now."""
    known = scene.known_statistics
    return term.style_statistics(scene, encoder) if known is None else known


def region_shares(scene: Scene) -> Iterator[tuple[Region, float]]:
    """Each region with its share of a style loss: by area, so that the pixels of a small region are moved as
    strongly as those of a large one."""
    covered = sum(region.area for region in scene.regions) or 1.0
    for region in scene.regions:
        yield region, region.weight * region.area / covered


def blend_statistics(values: Sequence[Tensor], shares: Sequence[float], *, averages: bool) -> Tensor:
    """The statistics of several styles as one, by shares that sum to 1."""
    if not averages:
        return blend_rows(values, shares)
    return torch.stack([value * share for value, share in zip(values, shares, strict=True)]).sum(0)


def blend_rows(rows_of_each: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Rows (m, …) of each style by its share, as many as there are of the one that runs out first."""
    used = [(rows, share) for rows, share in zip(rows_of_each, shares, strict=True) if share > 0]
    total = min(len(rows) / share for rows, share in used)
    return torch.cat([rows[: max(1, int(share * total + 1e-6))] for rows, share in used])
