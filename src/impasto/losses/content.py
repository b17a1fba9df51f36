"""Content terms: they hold the painted picture to what the content picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.functions import content_from_sums, self_similarity_loss
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.statistics import gather_positions, layer_distance_sum
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, size_of
from impasto.networks.encoder import Features
from impasto.networks.layers import geometry
from impasto.recipe import Recipe
from impasto.scene import Scene

__all__ = [
    "CONTENT_CACHE_BYTES_PER_PIXEL",
    "ContentMemory",
    "ContentTerm",
    "SelfSimilarityTerm",
    "content_memory",
    "features",
    "self_similarity",
]

#: The content's features are kept in memory if they take at most so many bytes per pixel of the picture;
#: otherwise they are computed again for each tile.
CONTENT_CACHE_BYTES_PER_PIXEL = 64
#: Positions whose mutual distances are compared; the cost grows with the square of their number.
SIMILARITY_SAMPLES = 1024


@dataclass(frozen=True)
class ContentMemory:
    """What :class:`ContentTerm` remembers of a scene.

    Attributes:
        content: (1, 3, H, W).
        encoder: computes the content's features of a tile if they are not kept.
        features: of the whole content, by layer; None: not kept.
        grids: layer → its grid on the content.
        energies: layer → (2,), ΣP² and the number of elements of the content, see ``content_from_sums``.
    """

    content: Tensor
    encoder: TiledEncoder
    features: Features | None
    grids: Mapping[str, Grid]
    energies: Gathered

    def features_in(self, part: Part) -> Features:
        """Features of the content in a part of the picture."""
        if self.features is not None:
            places = {layer: part.tile.grid(geometry(layer).stride) for layer in self.features}
            return self.features.cut(places)
        with torch.no_grad():
            return self.encoder.part(part.tile, self.content, tuple(self.grids)).features


def content_memory(scene: Scene, encoder: TiledEncoder, layers: Sequence[str]) -> ContentMemory:
    """What a term of the content's features at ``layers`` has to remember of a scene with content."""
    assert scene.content is not None, "a term is prepared only if it applies"
    size = size_of(scene.content)
    grids = {layer: layer_grid(layer, size, scene.content_mask) for layer in layers}
    keep_features = encoder.encoder.bytes_per_pixel(layers) <= CONTENT_CACHE_BYTES_PER_PIXEL
    if keep_features:
        kept = encoder.features(scene.content, layers)
        energies = {layer: _energy(kept, layer, grid.weights) for layer, grid in grids.items()}
        return ContentMemory(scene.content, encoder, kept, grids, energies)
    parts = encoder.parts(scene.content, layers)
    energies = add_up(
        parts, lambda part: {k: _energy(part.features, k, grids[k].weights_in(part.tile)) for k in layers}
    )
    return ContentMemory(scene.content, encoder, None, grids, energies)


def _energy(features: Features, layer: str, weights: Tensor | None) -> Tensor:
    """The sum of a layer's weighted squares after its head, and how many there are, (2,)."""
    raw, head = features.raw[layer], features.head(layer)
    count = raw[:, 0].numel() * (raw.shape[1] if head is None else head.shape[0])
    energy = layer_distance_sum(features, None, layer, weights)
    return torch.cat([energy, energy.new_tensor([float(count)])])


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

    recordable = True

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> ContentMemory:
        return content_memory(scene, encoder, self.layers)

    def gather(self, part: Part, memory: ContentMemory) -> Gathered:
        target = memory.features_in(part)
        return {
            layer: layer_distance_sum(part.features, target, layer, grid.weights_in(part.tile))
            for layer, grid in memory.grids.items()
        }

    def judge(self, gathered: Gathered, memory: ContentMemory) -> Gathered:
        return {
            layer: share
            * content_from_sums(torch.cat([gathered[layer], memory.energies[layer]]), self.normalisation)
            for layer, share in self.layer_weights.items()
        }


@dataclass(frozen=True, kw_only=True)
class SelfSimilarityTerm(Term):
    """Distances between the features of a picture are those of the content (Kolkin et al. 2019, eq. 8).

    Places that look alike in the content look alike in the painting, whatever they are painted with. See
    :func:`impasto.losses.functions.self_similarity_loss`.

    Attributes:
        layer_weights: layer → its share of the loss.
    """

    name: str = "content"
    layer_weights: Mapping[str, float]

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> tuple[Mapping[str, Grid], Gathered]:
        assert scene.content is not None, "a term is prepared only if it applies"
        size = size_of(scene.content)
        grids = {layer: layer_grid(layer, size, scene.content_mask) for layer in self.layers}
        parts = encoder.parts(scene.content, self.layers)
        return grids, add_up(parts, lambda part: self._samples(part, grids))

    def _samples(self, part: Part, grids: Mapping[str, Grid]) -> Gathered:
        """Layer → (n, C), the features at sampled positions; zero for positions outside the part."""
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
