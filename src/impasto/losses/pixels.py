"""Terms on pixels: smoothness, and agreement with earlier frames of a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.functions import temporal_loss, total_variation
from impasto.losses.terms import Term
from impasto.losses.tiled import Part, TiledEncoder
from impasto.scene import Past, Scene

__all__ = ["TemporalTerm", "TotalVariationTerm"]


@dataclass(frozen=True, kw_only=True)
class TotalVariationTerm(Term):
    """Squared differences of neighbouring pixels, see :func:`impasto.losses.functions.total_variation`."""

    name: str = "tv"

    recordable = True

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> tuple[int, bool]:
        """(number of the picture's values, whether it repeats beyond its edges)."""
        return 3 * scene.size[0] * scene.size[1], encoder.repeats

    def gather(self, part: Part, memory: tuple[int, bool]) -> Tensor:
        count, repeats = memory
        if part.tile.is_whole:
            return (total_variation(part.image, wrap=repeats) * count).reshape(1)
        height, width = (inner.stop - inner.start for inner in part.tile.inner(1))
        # A difference belongs to the tile of its left or upper pixel, so the tile needs one pixel more on the
        # right and below, and no difference is counted twice.
        image = part.without_halo(part.image, beyond=1)
        if repeats and image.shape[-2] == height:  # all rows, without a halo: the first follows the last
            image = torch.cat((image, image[..., :1, :]), -2)
        if repeats and image.shape[-1] == width:
            image = torch.cat((image, image[..., :1]), -1)
        in_rows = image[..., :height, :]
        in_columns = image[..., :width]
        horizontal = (in_rows[..., 1:] - in_rows[..., :-1]).square().sum()
        vertical = (in_columns[..., 1:, :] - in_columns[..., :-1, :]).square().sum()
        return (horizontal + vertical).reshape(1)

    def judge(self, gathered: Tensor, memory: tuple[int, bool]) -> Tensor:
        return gathered[0] / memory[0]


@dataclass(frozen=True, kw_only=True)
class TemporalTerm(Term):
    """Squared difference from earlier frames, see :func:`impasto.losses.functions.temporal_loss`.

    Every earlier frame has a weight of its own, see :class:`impasto.scene.Past`.
    """

    name: str = "temporal"

    recordable = True

    def applies(self, scene: Scene) -> bool:
        return bool(scene.past)

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> tuple[tuple[Past, ...], int]:
        """(the earlier frames, number of the picture's values)."""
        return scene.past, 3 * scene.size[0] * scene.size[1]

    def gather(self, part: Part, memory: tuple[tuple[Past, ...], int]) -> Tensor:
        image = part.without_halo(part.image)
        total = torch.zeros(1, dtype=image.dtype, device=image.device)
        for past in memory[0]:
            pixels = part.without_halo(part.tile.cut(past.pixels))
            certainty = part.without_halo(part.tile.cut(past.certainty))
            total = total + past.weight * temporal_loss(image, pixels, certainty) * image.numel()
        return total

    def judge(self, gathered: Tensor, memory: tuple[tuple[Past, ...], int]) -> Tensor:
        return gathered[0] / memory[1]
