"""Loss functions: features, statistics or pixels in, a non-negative scalar out.

The losses of features (:func:`content_from_sums`) and of Gram matrices (:func:`gram_loss`) exist in three
normalisations, so that weights chosen for other programs can be used:

- ``relative`` (Impasto's own): the squared distance over the squared norm of the target. It has no unit:
  the same weight means the same for every encoder, layer and picture size.
- ``gatys``: as printed in Gatys et al. 2015 (with Gram matrices averaged over positions, see
  ``statistics.gram``).
- ``neural-style``: as in Johnson's neural-style, means over all elements, Gram matrices over C·M.

All other losses of features have no unit either. In the formulas C is the number of channels and M = H·W the
number of positions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.losses.neighbours import StyleDirections, unit_rows

__all__ = [
    "NORMALISATIONS",
    "content_from_sums",
    "directions",
    "finishing_distance",
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

#: Mean square added to a target's, so that relative losses stay finite where the target is zero (a black
#: picture, a layer without activations). It is far below the mean square of any layer that is not zero.
FLOOR = 1e-6


def content_from_sums(sums: Tensor, normalisation: str = "relative") -> Tensor:
    """Squared distance of features (Gatys et al. 2015, eq. 1).

    Args:
        sums: (3,), Σ(F−P)², ΣP² and the number of elements, with F the features of the picture and P those of
            the content; the sums of all parts add up to those of the whole picture. Each position may be
            weighted; in ``neural-style`` the mean is over all elements, also those of weight 0.
        normalisation: ``relative`` Σ(F−P)²/ΣP², ``gatys`` ½Σ(F−P)², ``neural-style`` mean (F−P)².

    Raises:
        RecipeError: an unknown normalisation.
    """
    error, energy, count = sums.unbind()
    if normalisation == "relative":
        return error / (energy + FLOOR * count)
    if normalisation == "gatys":
        return error / 2.0
    if normalisation == "neural-style":
        return error / count
    raise _unknown(normalisation)


def gram_loss(gram: Tensor, target: Tensor, normalisation: str = "relative") -> Tensor:
    """Squared distance of Gram matrices averaged over positions.

    ``relative`` ‖G−A‖²/‖A‖²; ``gatys`` ‖G−A‖²/(4C²) (eq. 4; Gatys' Gram is M times ours); ``neural-style``
    mean (G−A)²/C², which is 4/C² times ``gatys``: with equal layer weights, shallow layers, which have fewer
    channels, count more there.

    Args:
        gram, target: (C, C), of the picture and of the style (``statistics.gram``).

    Raises:
        RecipeError: an unknown normalisation.
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
    """Squared Wasserstein-2 distance of two Gaussians over the target's mean square norm, tr E[f fᵀ].

    ‖μ−μₜ‖² + tr(C + Cₜ − 2(Cₜ^½ C Cₜ^½)^½) (Olkin & Pukelsheim 1982; as a style loss: Li et al. 2017,
    Crowson's style-transfer-pytorch). Differs from Crowson: it is relative to the target, and the trace of
    the root is computed from eigenvalues, not by Newton's iteration; the gradient of their sum stays finite
    where eigenvalues coincide.

    Args:
        moments, target: (C, C + 1), second raw moment and, as the last column, mean
            (``statistics.moment_sum`` over the number of positions).
    """
    mean, cov = _mean_and_covariance(moments)
    mean_t, cov_t = _mean_and_covariance(target)
    energy = target[:, :-1].diagonal().sum() + FLOOR * len(target)
    ridge = 1e-4 * energy / len(target) * torch.eye(len(target), dtype=target.dtype, device=target.device)
    values, vectors = torch.linalg.eigh(cov_t + ridge)
    root = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T  # depends on the target alone: no gradient
    middle = root @ (cov + ridge) @ root
    roots = torch.linalg.eigvalsh((middle + middle.T) / 2).clamp_min(float(ridge[0, 0]) ** 2).sqrt()
    spread = (cov + ridge).diagonal().sum() + (cov_t + ridge).diagonal().sum() - 2.0 * roots.sum()
    distance: Tensor = ((mean - mean_t).square().sum() + spread) / energy
    return distance


def _mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and covariance (C, C) from the second raw moment and the mean in one tensor (C, C + 1)."""
    mean = moments[:, -1]
    return mean, moments[:, :-1] - torch.outer(mean, mean)


def sliced_loss(features: Tensor, target: Tensor) -> Tensor:
    """Sliced Wasserstein-2 distance of two sets of features over the target's mean square norm.

    After Heitz et al. 2021. Differs from Heitz: the directions are the columns of one fixed random orthogonal
    matrix, so that L-BFGS sees the same function at each evaluation.

    Args:
        features: (n, C), the picture's features at sampled positions.
        target: (m, C), the style's.
    """
    projections = _directions(features.shape[1]).to(features)
    return _sorted_distance(features @ projections, target @ projections)


@lru_cache(maxsize=16)
def _directions(channels: int) -> Tensor:
    """(C, C) float64, a direction in each column."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    directions: Tensor = torch.linalg.qr(noise)[0]
    return directions


def histogram_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared distance to the features with each channel's histogram matched (Risser et al. 2017, eq. 7).

    To match histograms in one dimension is to pair sorted values, so no bins are needed. Arguments and scale
    as :func:`sliced_loss`.
    """
    return _sorted_distance(features, target)


def _sorted_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of sorted columns of (n, C) and (m, C), over the target's mean square norm."""
    energy = target.square().sum(1).mean() + FLOOR * target.shape[1]
    a, b = features.sort(0).values, target.sort(0).values
    if len(a) != len(b):  # interpolate the sorted targets at the n quantiles of the features
        ranks = ((torch.arange(len(a), device=b.device) + 0.5) * (len(b) / len(a)) - 0.5).clamp(0, len(b) - 1)
        low = ranks.long()
        b = torch.lerp(b[low], b[(low + 1).clamp_max(len(b) - 1)], (ranks - low).to(b)[:, None])
    return (a - b).square().sum(1).mean() / energy


def relaxed_emd_loss(features: Tensor, target: Tensor) -> Tensor:
    """Relaxed earth mover's distance, in cosine distance (Kolkin et al. 2019, STROTSS, eq. 5 to 7).

    The mean distance of the features to their nearest targets, or that of the targets to their nearest
    features, whichever is larger; in [0, 2]. The second makes the picture use all of the style, which nearest
    neighbours alone do not. Differs from Kolkin: both are centred on the target's mean, because the cosine
    distances between rectified features, which are all non-negative, are small. Arguments as
    :func:`sliced_loss`.
    """
    centre = target.mean(0)
    distance = 1.0 - unit_rows(features - centre) @ unit_rows(target - centre).T  # (n, m)
    return torch.maximum(distance.amin(1).mean(), distance.amin(0).mean())


def finishing_distance(
    features: Tensor,
    style: StyleDirections,
    prices: Tensor | None = None,
    weights: Tensor | None = None,
    suitability: Tensor | None = None,
    payments: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosine distance of features to those of a style that suit them best (Kolkin et al. 2022, eq. 2).

    Both are centred on the style's mean: rectified features are all non-negative, and so are their cosines.
    Which one suits best has no gradient.

    Args:
        features: (n, C).
        style: m features of the style.
        prices: (m,), by how much each of them is avoided; None: the nearest ones are taken.
        weights: (n,) ≥ 0, how much each feature counts; None: all equally.
        suitability: (n, K), how well each of the style's parts suits each feature; None: there are no parts.
        payments: (n,) in [0, 1], the share of the prices that each feature pays; None: all pay in full.

    Returns:
        (2,), the weighted sum of the distances, each in [0, 2], and the sum of the weights; and the use of
        the style's features, see :meth:`StyleDirections.matches`.
    """
    units = unit_rows(features - style.centre)
    queries = style.queries(units.detach(), suitability)
    matches, use = style.matches(queries, prices, weights, payments)
    distance = 1.0 - (units * style.units[matches]).sum(1)
    if weights is None:
        return torch.stack([distance.sum(), distance.new_full((), float(len(distance)))]), use
    weights = weights.to(distance)
    return torch.stack([(distance * weights).sum(), weights.sum()]), use


def self_similarity_loss(features: Tensor, target: Tensor) -> Tensor:
    """Distance of two matrices of mutual cosine distances (Kolkin et al. 2019, eq. 8); in [0, 2].

    Each column of a matrix is divided by its sum. The absolute differences are summed over a column and
    averaged over the columns. It serves as a content loss: places that look alike stay alike, whatever they
    are painted with.

    Args:
        features, target: (n, C), of both pictures at the same positions.
    """
    shares, shares_t = (_distance_shares(rows) for rows in (features, target))
    return (shares - shares_t).abs().sum(0).mean()


def _distance_shares(features: Tensor) -> Tensor:
    """Cosine distances (n, n) between the rows of (n, C), each column divided by its sum."""
    distances = 1.0 - unit_rows(features) @ unit_rows(features).T
    return distances / distances.sum(0, keepdim=True).clamp_min(1e-8)


def nearest_loss(features: Tensor, target: Tensor, centre: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over positions of the cosine distance to the matched style feature, both centred; (1,).

    The sums of all parts add up to that of the whole picture. The matches have been found beforehand (Kolkin
    et al. 2022, "Neural Neighbor Style Transfer"; Li & Wand 2016 with patches).

    Args:
        features: (1, C, H, W).
        target: (1, C, H, W), the :func:`directions` of the matched features.
        centre: (C,), the style's mean, on which the target is centred.
        weights: (1, 1, H, W), how much each position counts; None: all equally.
    """
    channel_centre = centre.view(1, -1, 1, 1)
    distance: Tensor = _Cosine.apply(features, target, channel_centre, weights)  # type: ignore[no-untyped-call]
    return distance


def directions(features: Tensor, centre: Tensor) -> Tensor:
    """Features (1, C, H, W) less ``centre`` (C,), scaled to length 1; those shorter than 1e-6 stay near 0."""
    centred = features - centre.view(1, -1, 1, 1)
    return centred / (centred.square().sum(1, keepdim=True) + FLOOR * FLOOR).sqrt()


class _Cosine(torch.autograd.Function):
    """Σ t (1 − u·w / |u|) for u = f − c, (1,), with a derivative that passes over the features less often
    than autograd's: f (1, C, H, W) features, w target directions, c (1, C, 1, 1) centre, t weights.
    """

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


def total_variation(image: Tensor, *, wrap: bool = False) -> Tensor:
    """Squared differences of horizontal and vertical neighbours, summed and divided by the number of values.

    Mahendran & Vedaldi 2015 with β = 2.

    Args:
        image: (1, 3, H, W), [0, 1].
        wrap: whether a pixel at an edge has the pixel at the opposite edge as its neighbour, as in a picture
            that repeats.
    """
    if wrap:
        right, below = image.roll(-1, -1), image.roll(-1, -2)
        return ((image - right).square().sum() + (image - below).square().sum()) / image.numel()
    across = (image[..., :, 1:] - image[..., :, :-1]).square()
    down = (image[..., 1:, :] - image[..., :-1, :]).square()
    return (across.sum() + down.sum()) / image.numel()


def temporal_loss(image: Tensor, past: Tensor, certainty: Tensor) -> Tensor:
    """Mean squared difference from an earlier frame, weighted by its certainty (Ruder et al. 2016, eq. 7).

    Pixels are in [0, 1], Ruder's in 0–255: the loss, and with it the effect of a weight, is 255² times
    smaller here.

    Args:
        image: (1, 3, H, W), [0, 1].
        past: (1, 3, H, W), an earlier stylised frame warped to this one.
        certainty: (1, 1, H, W) in [0, 1], 0 where the earlier frame shows something else.
    """
    return (certainty * (image - past).square()).sum() / image.numel()


def _unknown(normalisation: str) -> RecipeError:
    return RecipeError(
        f"unknown normalisation {normalisation!r}", f"possible are {', '.join(NORMALISATIONS)}"
    )
