"""Style terms: they compare statistics of the painted picture's features with those of the style pictures.

A :class:`StyleLoss` is one way to compare styles: which statistic is gathered of a picture at one layer, and
which loss two such statistics give. Statistics add up over the parts of a picture, so that every loss gives
the same result in tiles: sums do so anyway, and a sample of positions does because each part fills in the
rows of its own positions and leaves the others zero.

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
from impasto.scene import Region, Scene, Style

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
    "statistics_by_region",
    "statistics_key",
]

#: Positions at which the sorting losses (sliced, histogram) and the relaxed earth mover's distance compare
#: features. The cost of the latter grows with the square of their number; Kolkin et al. 2019 take 1000.
SORTED_SAMPLES, EMD_SAMPLES = 4096, 1024


@dataclass(frozen=True)
class StyleLoss:
    """One way to compare the styles of two pictures at a layer.

    Attributes:
        gather: (features of a part, layer, the layer's grid on the whole picture, the part's tile) → a
            statistic that adds up over the parts.
        judge: (the picture's statistic, the style's, normalisation) → a scalar; in the normalisation
            ``relative`` about 1 for pictures that have nothing in common.
        averages: whether the statistics of several styles are combined by their weighted mean. Otherwise
            they are rows (m, …), and some rows are taken from each style.
        recordable: see :attr:`impasto.losses.terms.Term.recordable`.
    """

    gather: Callable[[Features, str, Grid, Tile], Tensor]
    judge: Callable[[Tensor, Tensor, str], Tensor]
    averages: bool
    recordable: bool = False


def _gram(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return layer_gram_sum(features, layer, grid.weights_in(tile)) / grid.total_weight


def _moments(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
    return moment_sum(features[layer], grid.weights_in(tile)) / grid.total_weight


def _samples(count: int) -> Callable[[Features, str, Grid, Tile], Tensor]:
    """Gathers the features at ``count`` sampled positions, (n, C)."""

    def gather(features: Features, layer: str, grid: Grid, tile: Tile) -> Tensor:
        indices = grid.sample_indices[:count]
        return gather_positions(features[layer], indices, tile.grid(grid.stride), grid.width)

    return gather


def _without_units(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, str], Tensor]:
    """A ``judge`` from a loss that has one normalisation only; its third argument is ignored."""
    return lambda statistic, target, normalisation: loss(statistic, target)


GRAM = StyleLoss(_gram, gram_loss, averages=True, recordable=True)
WASSERSTEIN = StyleLoss(_moments, _without_units(wasserstein_loss), averages=True)
SLICED = StyleLoss(_samples(SORTED_SAMPLES), _without_units(sliced_loss), averages=False)
HISTOGRAM = StyleLoss(_samples(SORTED_SAMPLES), _without_units(histogram_loss), averages=False)
REMD = StyleLoss(_samples(EMD_SAMPLES), _without_units(relaxed_emd_loss), averages=False)


@dataclass(frozen=True)
class StyleMemory:
    """What :class:`StyleTerm` remembers of a scene.

    Attributes:
        entries: name of a loss → (layer, the region's share, the layer's grid, the style's statistic).
    """

    entries: Mapping[str, tuple[str, float, Grid, Tensor]]


@dataclass(frozen=True, kw_only=True)
class StyleTerm(Term):
    """A :class:`StyleLoss` at several layers, in every region of the scene.

    Attributes:
        loss: how statistics are gathered and compared.
        loss_name: part of the losses' names, as in ``relu3_1/sliced``; empty: left out.
        layer_weights: layer → its share of the loss.
        normalisation: see :mod:`impasto.losses.functions`.
        inside: whether features that depend on pixels outside of a region's mask are left out.
    """

    name: str = "style"
    loss: StyleLoss
    loss_name: str = ""
    layer_weights: Mapping[str, float]
    normalisation: str = "relative"
    inside: bool = False

    @property
    def recordable(self) -> bool:
        return self.loss.recordable

    def applies(self, scene: Scene) -> bool:
        return scene.has_styles

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        return statistics_by_region(
            scene,
            self.layers,
            self.loss_name,
            lambda style: self._statistics_of(style, encoder),
            averages=self.loss.averages,
        )

    def _statistics_of(self, style: Style, encoder: TiledEncoder) -> Gathered:
        """Layer → statistic of one style picture."""
        grids = {layer: layer_grid(layer, size_of(style.pixels), style.mask) for layer in self.layers}
        return add_up(encoder.style_parts(style.pixels, self.layers), lambda part: self._gather(part, grids))

    def _gather(self, part: Part, grids: Mapping[str, Grid]) -> Gathered:
        return {
            layer: self.loss.gather(part.features, layer, grid, part.tile) for layer, grid in grids.items()
        }

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> StyleMemory:
        targets = known_statistics(self, scene, encoder)
        return StyleMemory({
            statistics_key(layer, self.loss_name, region): (
                layer,
                share,
                layer_grid(layer, scene.size, region.mask, inside=self.inside),
                targets[statistics_key(layer, self.loss_name, region)],
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


def statistics_key(layer: str, loss_name: str, region: Region) -> str:
    """``relu1_1``, ``relu3_1/sliced``, ``relu1_1/sky``."""
    return "/".join(filter(None, (layer, loss_name, region.name)))


def statistics_by_region(
    scene: Scene,
    layers: Sequence[str],
    loss_name: str,
    statistics_of: Callable[[Style], Mapping[str, Tensor]],
    *,
    averages: bool,
) -> dict[str, Tensor]:
    """What a style term remembers: :func:`statistics_key` → statistic, blended from a region's styles.

    Args:
        statistics_of: style → its statistic by layer.
        averages: see :class:`StyleLoss`.
    """
    statistics: dict[str, Tensor] = {}
    for region in scene.regions:
        by_style = [statistics_of(style) for style in region.styles]
        for layer in layers:
            values = [of_layers[layer] for of_layers in by_style]
            blended = blend_statistics(values, region.style_shares, averages=averages)
            statistics[statistics_key(layer, loss_name, region)] = blended
    return statistics


def known_statistics(term: Term, scene: Scene, encoder: TiledEncoder) -> Mapping[str, Tensor]:
    """What ``term`` remembers of the styles, by name: as stored in the scene, or computed now.

    The scene stores the statistics of all terms together, so the result may hold those of others too.
    """
    known = scene.known_statistics
    return term.style_statistics(scene, encoder) if known is None else known


def region_shares(scene: Scene) -> Iterator[tuple[Region, float]]:
    """Each region with its share of a style loss: its weight times its part of the area of all regions.

    A region's loss is a mean over its area, so its gradient at a pixel is the smaller the larger the region
    is. Shares in proportion to the area give the pixels of all regions about the same gradient.
    """
    total_area = sum(region.area for region in scene.regions) or 1.0
    for region in scene.regions:
        yield region, region.weight * region.area / total_area


def blend_statistics(values: Sequence[Tensor], shares: Sequence[float], *, averages: bool) -> Tensor:
    """The statistics of several styles combined into one.

    Args:
        values: one statistic per style.
        shares: one number per style; they sum to 1.
        averages: as in :class:`StyleLoss`.
    """
    if not averages:
        return blend_rows(values, shares)
    return torch.stack([value * share for value, share in zip(values, shares, strict=True)]).sum(0)


def blend_rows(rows_of_each: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The first rows of each style's (m, …), in the ratio of the shares and as many as that ratio allows.

    A style with a share above 0 has at least one row in the result.
    """
    used = [(rows, share) for rows, share in zip(rows_of_each, shares, strict=True) if share > 0]
    total = min(len(rows) / share for rows, share in used)  # then one style gives all of its rows
    return torch.cat([rows[: max(1, int(share * total + 1e-6))] for rows, share in used])
