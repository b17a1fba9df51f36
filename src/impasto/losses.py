"""One flat function per comparison: features or descriptors in, a non-negative scalar out.

Every comparison exists in three normalisations, because weights of one program mean nothing in another
without them (`normalisation` below):

- ``relative`` (Impasto's own): the squared distance over the squared norm of the target. Without units:
  the same weight means the same for every encoder, layer and picture size.
- ``gatys``: as printed in Gatys et al. 2015 (with Gram matrices averaged over positions, see
  ``descriptors.gram``).
- ``neural-style``: as in Johnson's neural-style, means over all elements, Gram matrices over C·M.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.guidance import to_grid

__all__ = [
    "NORMALISATIONS",
    "content_from_sums",
    "content_loss",
    "content_sums",
    "gram_loss",
    "temporal_loss",
    "total_variation",
]

NORMALISATIONS = ("relative", "gatys", "neural-style")

#: Keeps relative losses finite where the target is zero (a black picture, a dead layer): a thousandth of
#: a unit, far below the energy of any live layer of any encoder here.
FLOOR = 1e-6


def content_loss(
    features: Tensor, target: Tensor, normalisation: str = "relative", weights: Tensor | None = None
) -> Tensor:
    """Squared distance of features (Gatys et al. 2015, eq. 1).

    Args:
        features, target: (1, C, H, W).
        normalisation: ``relative`` Σ(F−P)²/ΣP², ``gatys`` ½Σ(F−P)², ``neural-style`` mean (F−P)².
        weights: (1, 1, h, w) in [0, 1], which parts of the picture count; None: all.
    """
    return content_from_sums(content_sums(features, target, weights), normalisation)


def content_sums(features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """What :func:`content_loss` needs of a part of a picture, additive: (3,), Σ(F−P)², ΣP², elements."""
    error, energy = (features - target).square(), target.square()
    if weights is not None:
        t = to_grid(weights, (target.shape[-2], target.shape[-1]))
        error, energy = error * t, energy * t
    return torch.stack([error.sum(), energy.sum(), error.new_tensor(float(target.numel()))])


def content_from_sums(sums: Tensor, normalisation: str = "relative") -> Tensor:
    """:func:`content_loss` from the added :func:`content_sums` of all parts."""
    error, energy, count = sums.unbind()
    if normalisation == "relative":
        return error / (energy + FLOOR * count)
    if normalisation == "gatys":
        return error / 2.0
    if normalisation == "neural-style":
        return error / count
    raise _unknown(normalisation)


def gram_loss(gram: Tensor, target: Tensor, normalisation: str = "relative") -> Tensor:
    """Squared distance of Gram matrices averaged over positions, (C, C) each.

    ``relative`` ‖G−A‖²/‖A‖²; ``gatys`` ‖G−A‖²/(4C²) (eq. 4; Gatys' Gram is M times ours); ``neural-style``
    mean (G−A)²/C². The last is 4/C² times ``gatys``: "equal weights" there favour shallow layers.
    """
    error, channels = (gram - target).square().sum(), gram.shape[0]
    if normalisation == "relative":
        return error / (target.square().sum() + FLOOR * FLOOR * target.numel())
    if normalisation == "gatys":
        return error / (4.0 * channels**2)
    if normalisation == "neural-style":
        return error / channels**4
    raise _unknown(normalisation)


def total_variation(image: Tensor, *, wrap: bool = False) -> Tensor:
    """Mean squared difference of neighbouring pixels, both directions (Mahendran & Vedaldi 2015, β = 2).

    Args:
        image: (1, 3, H, W), [0, 1].
        wrap: the neighbour beyond an edge is the opposite pixel, as in a picture that tiles.
    """
    if wrap:
        right, below = image.roll(-1, -1), image.roll(-1, -2)
        return ((image - right).square().sum() + (image - below).square().sum()) / image.numel()
    across = (image[..., :, 1:] - image[..., :, :-1]).square()
    down = (image[..., 1:, :] - image[..., :-1, :]).square()
    return (across.sum() + down.sum()) / image.numel()


def temporal_loss(image: Tensor, past: Tensor, certainty: Tensor) -> Tensor:
    """Mean squared departure from what the past says, where it says anything (Ruder et al. 2016, eq. 7).

    Pixels in [0, 1], where Ruder's are in 0–255: the same weight counts 65 025 times less here.

    Args:
        image: (1, 3, H, W), [0, 1].
        past: (1, 3, H, W), an earlier stylised frame warped to this one.
        certainty: (1, 1, H, W) in [0, 1], 0 where the past saw something else.
    """
    return (certainty * (image - past).square()).sum() / image.numel()


def _unknown(normalisation: str) -> RecipeError:
    return RecipeError(
        f"unknown normalisation {normalisation!r}", f"possible are {', '.join(NORMALISATIONS)}"
    )
