"""One flat function per comparison: features or descriptors in, a non-negative scalar out.

Every comparison exists in three normalisations, because weights of one program mean nothing in another
without them (`normalisation` below):

- ``relative`` (Impasto's own): the squared distance over the squared norm of the target. Without units:
  the same weight means the same for every encoder, layer and picture size.
- ``gatys``: as printed in Gatys et al. 2015 (with Gram matrices averaged over positions, see
  ``statistics.gram``).
- ``neural-style``: as in Johnson's neural-style, means over all elements, Gram matrices over C·M.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.pictures.alpha import mask_on_grid

__all__ = [
    "NORMALISATIONS",
    "content_from_sums",
    "content_loss",
    "content_sums",
    "directions",
    "gram_loss",
    "histogram_loss",
    "nearest_loss",
    "relaxed_emd_loss",
    "self_similarity_loss",
    "sliced_loss",
    "temporal_loss",
    "total_variation",
    "wasserstein_loss",
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
        t = mask_on_grid(weights, (target.shape[-2], target.shape[-1]))
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


def wasserstein_loss(moments: Tensor, target: Tensor) -> Tensor:
    """Squared Wasserstein-2 distance of two Gaussians over the target's energy, tr E[f fᵀ].

    ‖μ−μₜ‖² + tr(C + Cₜ − 2(Cₜ^½ C Cₜ^½)^½) (Olkin & Pukelsheim 1982; as a style loss: Li et al. 2017,
    Crowson's style-transfer-pytorch). Differs from Crowson: relative to the target; the trace of the root
    from exact eigenvalues, whose gradient is finite where eigenvalues meet, not by Newton's iteration.

    Args:
        moments, target: (C, C + 1), second raw moment and, as the last column, mean
            (``statistics.moment_sum`` over the number of positions).
    """
    (mean, cov), (mean_t, cov_t) = (_mean_and_covariance(packed) for packed in (moments, target))
    energy = target[:, :-1].diagonal().sum() + FLOOR * len(target)
    ridge = 1e-4 * energy / len(target) * torch.eye(len(target), dtype=target.dtype, device=target.device)
    values, vectors = torch.linalg.eigh(cov_t + ridge)
    root = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T  # constant: no gradient runs through it
    middle = root @ (cov + ridge) @ root
    roots = torch.linalg.eigvalsh((middle + middle.T) / 2).clamp_min(float(ridge[0, 0]) ** 2).sqrt()
    spread = (cov + ridge).diagonal().sum() + (cov_t + ridge).diagonal().sum() - 2.0 * roots.sum()
    distance: Tensor = ((mean - mean_t).square().sum() + spread) / energy
    return distance


def _mean_and_covariance(packed: Tensor) -> tuple[Tensor, Tensor]:
    mean = packed[:, -1]
    return mean, packed[:, :-1] - torch.outer(mean, mean)


def sliced_loss(features: Tensor, target: Tensor) -> Tensor:
    """Sliced Wasserstein-2 distance of two clouds of features over the target's energy (Heitz et al. 2021).

    Differs from Heitz: the directions are one fixed random orthogonal frame, so that L-BFGS sees the same
    function at each evaluation.

    Args:
        features: (n, C), a sample of the picture's. target: (m, C), of the style's.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(features.shape[1], features.shape[1], generator=generator, dtype=torch.float64)
    frame = torch.linalg.qr(noise)[0].to(features)
    return _sorted_gap(features @ frame, target @ frame)


def histogram_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared distance to the features with each channel's histogram matched (Risser et al. 2017, eq. 7).

    In one dimension matching histograms is pairing sorted values, so no bins are needed. Arguments and
    unit as :func:`sliced_loss`.
    """
    return _sorted_gap(features, target)


def _sorted_gap(features: Tensor, target: Tensor) -> Tensor:
    """Σ over columns of the mean squared distance of paired quantiles, over Σ of the target's squares."""
    energy = target.square().sum(1).mean() + FLOOR * target.shape[1]
    a, b = features.sort(0).values, target.sort(0).values
    if len(a) != len(b):  # the target's quantiles at the ranks of the features
        at = ((torch.arange(len(a), device=b.device) + 0.5) * (len(b) / len(a)) - 0.5).clamp(0, len(b) - 1)
        low = at.long()
        b = torch.lerp(b[low], b[(low + 1).clamp_max(len(b) - 1)], (at - low).to(b)[:, None])
    return (a - b).square().sum(1).mean() / energy


def relaxed_emd_loss(features: Tensor, target: Tensor) -> Tensor:
    """Relaxed earth mover's distance, in cosine distance (Kolkin et al. 2019, STROTSS, eq. 5 to 7).

    The larger of: each feature's mean distance to its nearest target, and the reverse. Unlike nearest
    neighbours alone it asks that all of the style be used. Differs from Kolkin: centred on the target's
    mean, since rectified features all point the same way. Arguments as :func:`sliced_loss`; in [0, 2].
    """
    centre = target.mean(0)
    distance = 1.0 - _unit(features - centre) @ _unit(target - centre).T  # (n, m)
    return torch.maximum(distance.amin(1).mean(), distance.amin(0).mean())


def self_similarity_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the features' mutual distances, as shares of a row (Kolkin et al. 2019, eq. 8).

    A content loss: what is alike stays alike, whatever it is painted with.

    Args:
        features, target: (n, C), of both pictures at the same positions.
    """
    distances, distances_t = (1.0 - _unit(rows) @ _unit(rows).T for rows in (features, target))
    shares, shares_t = (rows / rows.sum(0, keepdim=True).clamp_min(1e-8) for rows in (distances, distances_t))
    return (shares - shares_t).abs().sum(0).mean()


def nearest_loss(features: Tensor, target: Tensor, centre: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ over positions of the centred cosine distance to the matched style feature, (1,): additive.

    The matches are given (Kolkin et al. 2022, "Neural Neighbor Style Transfer"; Li & Wand 2016 with patches).

    Args:
        features: (1, C, H, W).
        target: (1, C, H, W), the matched features less the centre, each of length 1: :func:`directions`.
        centre: (C,), the style's mean.
        weights: (1, 1, H, W), how much each position counts; None: all alike.
    """
    c = centre.view(1, -1, 1, 1)
    distance: Tensor = _Cosine.apply(features, target, c, weights)  # type: ignore[no-untyped-call]
    return distance


def directions(features: Tensor, centre: Tensor) -> Tensor:
    """Features (1, C, H, W) less ``centre`` (C,), each of length 1; next to nothing stays next to nothing."""
    centred = features - centre.view(1, -1, 1, 1)
    return centred / (centred.square().sum(1, keepdim=True) + FLOOR * FLOOR).sqrt()


class _Cosine(torch.autograd.Function):
    """Σ t (1 − u·w / |u|) for u = f − c: few passes over the features, where autograd takes many."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, w: Tensor, c: Tensor, t: Tensor | None) -> Tensor:
        u = f - c
        length = (u.square().sum(1, keepdim=True) + FLOOR * FLOOR).sqrt()
        along = (u * w).sum(1, keepdim=True)
        ctx.save_for_backward(u, w, length, along, t)
        distance = 1.0 - along / length
        return (distance if t is None else distance * t).sum().reshape(1)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        u, w, length, along, t = ctx.saved_tensors
        each = slope if t is None else slope * t
        return (w * (-each / length)).addcmul_(u, each * along / length**3), None, None, None


def _unit(vectors: Tensor) -> Tensor:
    """(n, C), each of length 1; next to nothing stays next to nothing, with a finite gradient."""
    return vectors / (vectors.square().sum(1, keepdim=True) + FLOOR * FLOOR).sqrt()


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
