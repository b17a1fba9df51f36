"""Content: the picture keeps what the content picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.functions import content_from_sums, content_sums, self_similarity_loss
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.statistics import gather_positions
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, size_of
from impasto.networks.encoder import Features
from impasto.networks.layers import geometry
from impasto.recipe import Recipe
from impasto.scene import Scene

__all__ = [
    "CONTENT_CACHE_BYTES_PER_PIXEL",
    "ContentTerm",
    "SelfSimilarityTerm",
    "features",
    "self_similarity",
]

#: Up to so many bytes a pixel the content's features are kept; beyond, they are computed anew for each tile.
CONTENT_CACHE_BYTES_PER_PIXEL = 64
#: Positions whose mutual distances are compared: the cost grows with their square.
SIMILARITY_SAMPLES = 1024


@dataclass(frozen=True)
class ContentMemory:
    """What :class:`ContentTerm` remembers: the content, its features where they are kept, and the grids."""

    content: Tensor
    encoder: TiledEncoder
    features: Features | None
    grids: Mapping[str, Grid]

    def features_in(self, part: Part) -> Mapping[str, Tensor]:
        """Layer → features of the content in a part of the picture."""
        if self.features is not None:
            return self.features.cut({k: part.tile.grid(geometry(k).stride) for k in self.features})
        with torch.no_grad():
            return self.encoder.part(part.tile, self.content, tuple(self.grids)).features


@dataclass(frozen=True, kw_only=True)
class ContentTerm(Term):
    """Squared distance of features to those of the content (Gatys et al. 2015, eq. 1).

    Attributes:
        layer_weights: layer → its share of the loss.
        normalisation: see :mod:`impasto.losses.functions`.
    """

    name: str = "content"
    layer_weights: Mapping[str, float]
    normalisation: str = "relative"

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> ContentMemory:
        assert scene.content is not None, "asked for only where there is one"
        size = size_of(scene.content)
        kept = encoder.encoder.bytes_per_pixel(self.layers) <= CONTENT_CACHE_BYTES_PER_PIXEL
        return ContentMemory(
            scene.content,
            encoder,
            encoder.features(scene.content, self.layers) if kept else None,
            {layer: layer_grid(layer, size, scene.content_mask) for layer in self.layers},
        )

    def gather(self, part: Part, memory: ContentMemory) -> Gathered:
        target = memory.features_in(part)
        return {
            layer: content_sums(part.features[layer], target[layer], grid.weights_in(part.tile))
            for layer, grid in memory.grids.items()
        }

    def judge(self, gathered: Gathered, memory: ContentMemory) -> Gathered:
        return {
            layer: share * content_from_sums(gathered[layer], self.normalisation)
            for layer, share in self.layer_weights.items()
        }


@dataclass(frozen=True, kw_only=True)
class SelfSimilarityTerm(Term):
    """What is alike in the content stays alike, whatever it is painted with (Kolkin et al. 2019, eq. 8).

    Attributes:
        layer_weights: layer → its share of the loss.
    """

    name: str = "content"
    layer_weights: Mapping[str, float]

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> tuple[Mapping[str, Grid], Gathered]:
        assert scene.content is not None, "asked for only where there is one"
        size = size_of(scene.content)
        grids = {layer: layer_grid(layer, size, scene.content_mask) for layer in self.layers}
        parts = encoder.parts(scene.content, self.layers)
        return grids, add_up(parts, lambda part: self._samples(part, grids))

    def _samples(self, part: Part, grids: Mapping[str, Grid]) -> Gathered:
        """Layer → (n, C), features at the same positions in every picture."""
        return {
            layer: gather_positions(
                part.features[layer],
                grid.sample_indices[:SIMILARITY_SAMPLES],
                part.tile.grid(grid.stride),
                grid.width,
            )
            for layer, grid in grids.items()
        }

    def gather(self, part: Part, memory: tuple[Mapping[str, Grid], Gathered]) -> Gathered:
        return self._samples(part, memory[0])

    def judge(self, gathered: Gathered, memory: tuple[Mapping[str, Grid], Gathered]) -> Gathered:
        return {
            layer: share * self_similarity_loss(gathered[layer], memory[1][layer])
            for layer, share in self.layer_weights.items()
        }


def features(layer_weights: Mapping[str, float], weight: float, recipe: Recipe) -> Term:
    """The term of ``content_loss="features"``."""
    return ContentTerm(
        weight=weight,
        layers=tuple(layer_weights),
        layer_weights=layer_weights,
        normalisation=recipe.normalisation,
    )


def self_similarity(layer_weights: Mapping[str, float], weight: float, recipe: Recipe) -> Term:
    """The term of ``content_loss="self-similarity"``."""
    return SelfSimilarityTerm(weight=weight, layers=tuple(layer_weights), layer_weights=layer_weights)
