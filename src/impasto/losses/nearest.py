"""Nearest features as a style loss: each place is made to look like the part of the style most like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from impasto.losses.details import without_details
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.matching import Pull, assign, bank_rows, cell_side, hypercolumn
from impasto.losses.style import known_statistics, region_shares, statistics_by_region, statistics_key
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, size_of
from impasto.pictures.geometry import Size, Tile
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style

__all__ = ["NearestTerm", "nearest"]


@dataclass(frozen=True)
class Pulled:
    """One layer in one region.

    Attributes:
        layer: its name.
        share: the region's share of the loss.
        grid: the layer's grid, weighted by the region's mask.
        pull: the loss for matches that are found.
    """

    layer: str
    share: float
    grid: Grid
    pull: Pull


@dataclass(frozen=True, kw_only=True)
class NearestTerm(Term):
    """Distance of the canvas' features to those of the style that were matched to them (Kolkin et al. 2022).

    All layers are matched together in :meth:`prepare`; see :mod:`impasto.losses.matching`.

    Attributes:
        layer_weights: layer → its share of the loss and of the similarity by which cells are matched.
        match_content: by what cells are matched, from 0 (the canvas) to 1 (the content).
        seed: of the draw among matches that are nearly as good.
        keep_details: in [0, 1], how much less the term counts where the content's outlines are strongest.
    """

    name: str = "style"
    layer_weights: Mapping[str, float]
    match_content: float = 0.75
    seed: int = 0
    keep_details: float = 0.0

    recordable = True

    @property
    def cell(self) -> int:
        """Side of a cell in pixels."""
        return cell_side(self.layers)

    def applies(self, scene: Scene) -> bool:
        return scene.has_styles

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        return statistics_by_region(
            scene,
            (*self.layers, "parts"),
            "nearest",
            lambda style: self._bank(style, encoder),
            averages=False,
        )

    def _bank(self, style: Style, encoder: TiledEncoder) -> Gathered:
        """Layer → (m, C·k²), the sampled cells of one style picture, and "parts" → (m, 1) or (m, 0)."""
        size = size_of(style.pixels)
        cells = Grid.on(size, self.cell, style.mask)
        bank = add_up(
            encoder.style_parts(style.pixels, self.layers),
            lambda part: {
                layer: bank_rows(part.features[layer], layer, cells, part.tile, size) for layer in self.layers
            },
        )
        places = cells.sample_indices
        parts = (
            places.new_zeros(len(places), 0)
            if style.parts is None
            else style.parts_at(places, (cells.height, cells.width))
        )
        return bank | {"parts": parts}

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Pulled]:
        banks = known_statistics(self, scene, encoder)
        pulls: dict[str, Pulled] = {}
        for region, share in region_shares(scene):
            bank = {layer: banks[statistics_key(layer, "nearest", region)] for layer in self.layers}
            mask = without_details(region.mask, scene, self.keep_details)
            parts = banks[statistics_key("parts", "nearest", region)]
            matches = self._match(scene, region, bank, parts, encoder)
            for layer in self.layers:
                pulls[statistics_key(layer, "nearest", region)] = Pulled(
                    layer,
                    share,
                    layer_grid(layer, scene.size, mask),
                    Pull(layer, bank[layer], matches, self.cell),
                )
        return pulls

    def _match(
        self, scene: Scene, region: Region, bank: Mapping[str, Tensor], parts: Tensor, encoder: TiledEncoder
    ) -> Tensor:
        """The row of the bank that matches each cell of the canvas, (rows, columns) of cells."""
        pictures, guidance = self._matched_pictures(scene), region.guidance
        return assign(
            encoder.tiles(scene.size, self.layers, wrap=encoder.repeats),
            Grid.on(scene.size, self.cell, region.mask),
            bank,
            self.layer_weights,
            lambda tile: self._hypercolumns(tile, pictures, encoder),
            self.seed,
            None
            if guidance is None
            else (guidance.membership(parts), lambda tile: guidance.in_tile(tile, self.cell)),
        )

    def _matched_pictures(self, scene: Scene) -> list[tuple[Tensor, float]]:
        """The pictures whose features are matched to the style's, with their shares: content and canvas.

        The shares need not sum to 1, because matching does not depend on the scale of the features.
        """
        if scene.content is None:
            assert scene.start is not None, "without content, an objective is built for a canvas"
            return [(scene.start, 1.0)]
        if scene.start is None:
            return [(scene.content, self.match_content)]
        return [(scene.content, self.match_content), (scene.start, 1.0 - self.match_content)]

    def _hypercolumns(
        self, tile: Tile, pictures: Sequence[tuple[Tensor, float]], encoder: TiledEncoder
    ) -> Gathered:
        """Layer → (n, C), hypercolumns of a tile's cells, summed over the pictures times their shares."""
        rows, columns = tile.grid(self.cell)
        shape: Size = (rows.stop - rows.start, columns.stop - columns.start)
        blended: Gathered = {}
        for picture, share in pictures:
            features = encoder.part(tile, picture, self.layers).features
            for layer, values in hypercolumn(features, self.cell, shape).items():
                blended[layer] = blended[layer] + share * values if layer in blended else share * values
        return blended

    def gather(self, part: Part, memory: dict[str, Pulled]) -> Gathered:
        return {
            key: pulled.pull(part.features[pulled.layer], part.tile, pulled.grid.weights_in(part.tile))
            for key, pulled in memory.items()
        }

    def judge(self, gathered: Gathered, memory: dict[str, Pulled]) -> Gathered:
        return {
            key: pulled.share * self.layer_weights[pulled.layer] * gathered[key][0] / pulled.grid.total_weight
            for key, pulled in memory.items()
        }


def nearest(layer_weights: Mapping[str, float], weight: float, recipe: Recipe) -> Term:
    """The term of ``style_loss="nearest"``."""
    return NearestTerm(
        weight=weight,
        layers=tuple(layer_weights),
        layer_weights=layer_weights,
        match_content=recipe.match_content,
        seed=recipe.seed,
        keep_details=recipe.keep_details,
    )
