"""Features of pictures in tiles, equal to those that the encoder would give for the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from impasto.networks.encoder import Encoder, Features
from impasto.networks.layers import Geometry, geometry
from impasto.pictures.geometry import Size, Tile, tiles

__all__ = ["Gathered", "Part", "TiledEncoder", "add_up", "as_mapping", "size_of"]

#: What terms gather of a part, by name; the tensors of all parts add up to those of the whole picture.
Gathered = dict[str, Tensor]
_Each = TypeVar("_Each")


def size_of(image: Tensor) -> Size:
    """(height, width) of (N, C, H, W)."""
    return int(image.shape[-2]), int(image.shape[-1])


def as_mapping(values: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Several tensors unchanged; a single one as the only entry, with an empty name."""
    return {"": values} if isinstance(values, Tensor) else values


@dataclass(frozen=True)
class Part:
    """A part of a picture, or all of it, as it is passed to terms.

    Attributes:
        tile: where it lies in the picture.
        image: (1, 3, h, w), sRGB, [0, 1], the tile with its halo.
        features: layer → (1, C, rows / stride, columns / stride), of the tile's rows and columns without the
            halo.
        evaluation: number of this evaluation of the objective, from 0, so that a term that compares only some
            positions can take others each time.
    """

    tile: Tile
    image: Tensor
    features: Features
    evaluation: int = 0

    def without_halo(self, image: Tensor, *, beyond: int = 0) -> Tensor:
        """The pixels of the tile without its halo.

        Args:
            image: (1, C, h, w), of the size of ``self.image``.
            beyond: rows below and columns to the right of the tile to keep as well, as far as the halo goes.
        """
        rows, columns = self.tile.inner(1)
        return image[..., rows.start : rows.stop + beyond, columns.start : columns.stop + beyond]


class TiledEncoder:
    """Computes features of pictures with an encoder, in tiles if they are large.

    Args:
        encoder: computes the features.
        tile: side of the tiles in pixels; None: the whole picture at once.
    """

    def __init__(self, encoder: Encoder, tile: int | None = None) -> None:
        self.encoder, self.tile = encoder, tile

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return self.encoder.device

    @property
    def repeats(self) -> bool:
        """Whether the painted picture repeats beyond its edges (the encoder's padding is ``circular``)."""
        return self.encoder.padding == "circular"

    def tiles(self, size: Size, layers: Iterable[str], *, wrap: bool) -> list[Tile]:
        """Tiles for a picture of ``size``, with halos wide enough for the deepest of ``layers``.

        Args:
            layers: if there are none, halos are one pixel wide.
            wrap: whether the picture repeats beyond its edges.
        """
        geometries = [geometry(layer) for layer in layers] or [Geometry(1, 1)]
        stride, radius = max(g.stride for g in geometries), max(g.radius for g in geometries)
        return tiles(size, self.tile, stride, radius, wrap=wrap)

    def part(self, tile: Tile, image: Tensor, layers: Iterable[str], **options: Any) -> Part:
        """One tile of a picture (1, 3, H, W) with its features.

        Args:
            options: see :meth:`Encoder.forward`.
        """
        return self.part_of_cut(tile, tile.cut(image), layers, **options)

    def part_of_cut(self, tile: Tile, cut: Tensor, layers: Iterable[str], **options: Any) -> Part:
        """As :meth:`part`, from the tile's pixels with its halo, (1, 3, h, w): ``tile.cut(image)``."""
        features = self.encoder(cut, tuple(layers), **options)
        without_halo = {layer: tile.inner(geometry(layer).stride) for layer in features}
        return Part(tile, cut, features.cut(without_halo))

    def parts(self, image: Tensor, layers: Iterable[str]) -> Iterator[Part]:
        """Yield the parts of the content or of the canvas (1, 3, H, W)."""
        layers = tuple(layers)
        for tile in self.tiles(size_of(image), layers, wrap=self.repeats):
            yield self.part(tile, image, layers)

    def style_parts(self, image: Tensor, layers: Iterable[str]) -> Iterator[Part]:
        """Yield the parts of a style picture (1, 3, H, W), which never repeats, though the canvas may."""
        layers, padding = tuple(layers), "reflect" if self.repeats else None
        for tile in self.tiles(size_of(image), layers, wrap=False):
            yield self.part(tile, image, layers, padding=padding)

    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of a whole picture (1, 3, H, W), assembled from its tiles."""
        size, whole = size_of(image), dict[str, Tensor]()
        for part in self.parts(image, layers):
            if part.tile.is_whole:
                return part.features
            for layer, values in part.features.raw.items():
                stride = geometry(layer).stride
                if layer not in whole:
                    whole[layer] = values.new_empty(1, values.shape[1], size[0] // stride, size[1] // stride)
                whole[layer][(..., *part.tile.grid(stride))] = values
        return Features(whole, self.encoder.head)


def add_up(parts: Iterable[_Each], gather: Callable[[_Each], Mapping[str, Tensor]]) -> Gathered:
    """The sum over ``parts`` of what ``gather`` returns for each, by name."""
    sums: Gathered = {}
    for part in parts:
        for name, value in gather(part).items():
            sums[name] = sums[name] + value if name in sums else value
    return sums
