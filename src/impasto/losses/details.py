"""Details: the content's small outlines (eyes, letters, windows), which a style's strokes would cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.losses.content import ContentMemory, content_memory
from impasto.losses.functions import content_from_sums
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.statistics import layer_distance_sum
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, size_of
from impasto.pictures.filters import box_mean
from impasto.pictures.geometry import fit, resample
from impasto.scene import Scene

__all__ = ["DETAIL_FACTOR", "DetailTerm", "without_details", "without_subjects"]

#: The term's weight over that of the content with ``keep_details=1``. Where outlines are at their strongest,
#: the content counts that many times as much, at every scale.
DETAIL_FACTOR = 14.0
#: A subject reaches as far from its outlines: a share of the longer side.
REACH = 1 / 32
#: Longer side in pixels at which subjects are looked for, at most.
SUBJECT_SIDE = 320


@dataclass(frozen=True)
class DetailMemory:
    """What :class:`DetailTerm` remembers of a scene.

    Attributes:
        content: the content's features, grids and energies.
        outlines: layer → its grid, weighted by the strength of the content's outlines.
    """

    content: ContentMemory
    outlines: Mapping[str, Grid]


@dataclass(frozen=True, kw_only=True)
class DetailTerm(Term):
    """The content loss, with each position weighted by :func:`~impasto.pictures.outlines.outline_strength`.

    The relative loss is divided by the energy of *all* of the content, as in :class:`ContentTerm`. A content
    loss holds a small feature no more than an equally small patch of sky, and at coarse scales an eye is two
    pixels wide: without this term a strong style paints over it.

    Attributes:
        layer_weights: layer → its share of the loss.
        normalisation: see :mod:`impasto.losses.functions`.
    """

    name: str = "details"
    layer_weights: Mapping[str, float]
    normalisation: str = "relative"

    recordable = True

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> DetailMemory:
        memory = content_memory(scene, encoder, self.layers)
        size, mask = size_of(memory.content), scene.content_mask
        assert scene.outlines is not None, "a scene with content has outlines"
        weights = scene.outlines if mask is None else scene.outlines * mask

        return DetailMemory(memory, {layer: layer_grid(layer, size, weights) for layer in self.layers})

    def gather(self, part: Part, memory: DetailMemory) -> Gathered:
        target = memory.content.features_in(part)
        return {
            layer: layer_distance_sum(part.features, target, layer, outlines.weights_in(part.tile))
            for layer, outlines in memory.outlines.items()
        }

    def judge(self, gathered: Gathered, memory: DetailMemory) -> Gathered:
        return {
            layer: share
            * content_from_sums(
                torch.cat([gathered[layer], memory.content.energies[layer]]), self.normalisation
            )
            for layer, share in self.layer_weights.items()
        }


def without_details(mask: Tensor | None, scene: Scene, share: float) -> Tensor | None:
    """A mask (1, 1, H, W) in [0, 1], lowered by ``share`` where the content's outlines are strongest.

    None stands for a mask of ones, and is returned if there is nothing to lower.
    """
    if not share or scene.outlines is None:
        return mask
    lowered = 1.0 - share * scene.outlines
    return lowered if mask is None else mask * lowered


def without_subjects(mask: Tensor | None, scene: Scene, share: float) -> Tensor | None:
    """As :func:`without_details`, but lowered wherever outlines are near.

    Faces, owls and houses are left out as a whole, and what remains is ground without forms of its own: sky,
    water, a wall.
    """
    if not share or scene.outlines is None:
        return mask
    size = size_of(scene.outlines)
    small = resample(scene.outlines, fit(*size, min(SUBJECT_SIDE, max(size))))
    reach = max(1, round(REACH * max(small.shape[-2:])))
    subjects = box_mean(F.max_pool2d(small, 2 * reach + 1, stride=1, padding=reach), reach).clamp(0.0, 1.0)
    lowered = 1.0 - share * F.interpolate(subjects, size, mode="bilinear", align_corners=False)
    return lowered if mask is None else mask * lowered
