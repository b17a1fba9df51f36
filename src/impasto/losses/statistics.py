"""Statistics of features: Gram matrices, moments, and samples of positions; pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from impasto.networks.encoder import Features
from impasto.networks.operations import Slopes, as_rows

__all__ = [
    "gather_positions",
    "gram",
    "gram_sum",
    "layer_distance_sum",
    "layer_gram_sum",
    "moment_sum",
    "moments",
    "sample_positions",
]


def gram(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Gram matrix, averaged over positions: G = Σ_p t_p f_p f_pᵀ / Σ_p t_p (Gatys et al. 2015, eq. 3).

    Differs from Gatys: divided by the number of positions, so pictures of different sizes compare.
    Gram matrices average linearly across styles.

    Args:
        features: (1, C, H, W).
        weights: (1, 1, H, W), ≥ 0, how much each position counts; None: all equally.

    Returns:
        (C, C), symmetric positive semi-definite.
    """
    count = features[0, 0].numel() if weights is None else weights.sum()
    return gram_sum(features, weights) / count


def gram_sum(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ_p t_p f_p f_pᵀ, (C, C): :func:`gram` before the division, so that parts of a picture add up.

    Features in bfloat16 are multiplied in bfloat16, and the result is float32. Sixteen partial products are
    rounded separately and summed in float32, which leaves an error of about 0.05 %. Arguments as
    :func:`gram`.
    """
    return _gram_sum(features, weights, None)


def _gram_sum(features: Tensor, weights: Tensor | None, slopes: Slopes | None) -> Tensor:
    f = as_rows(features)
    t = None if weights is None else weights[0, 0].flatten()[:, None]
    total: Tensor = _GramSum.apply(f, t, slopes)  # type: ignore[no-untyped-call]
    return total


def layer_gram_sum(features: Features, layer: str, weights: Tensor | None = None) -> Tensor:
    """:func:`gram_sum` of a layer after its head R, (C, C), as R G Rᵀ: a product of small matrices.

    If another term has read the layer, its features after the head exist and are used, so that the gradient
    passes through the head once instead of twice. ``weights`` as in :func:`gram`.
    """
    head = features.head(layer)
    if features.is_projected(layer):
        return gram_sum(features[layer], weights)
    total = _gram_sum(features.raw[layer], weights, features.slopes.get(layer))
    if head is None:
        return total
    return head.to(total) @ total @ head.to(total).T


class _GramSum(torch.autograd.Function):
    """Fᵀ diag(t) F for F (M, C) and t (M, 1) or None.

    The derivative is one matrix product; autograd does not know that the result is symmetric and takes two.
    """

    @staticmethod
    def forward(ctx: Any, f: Tensor, t: Tensor | None, slopes: Slopes | None) -> Tensor:
        ctx.save_for_backward(f, t)
        ctx.slopes = slopes
        weighted = f if t is None else f * t.to(f.dtype)
        if f.dtype is not torch.bfloat16:
            return f.T @ weighted
        count = len(f) // 16
        rest = f[16 * count :].T.float() @ weighted[16 * count :].float()
        if not count:
            return rest
        left, right = (x[: 16 * count].view(16, count, -1) for x in (f, weighted))
        return rest + torch.bmm(left.transpose(1, 2), right).sum(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None]:
        f, t = ctx.saved_tensors
        both = (slope + slope.T).to(f.dtype)

        def moved() -> Tensor:
            rows: Tensor = f @ both
            return rows if t is None else rows * t.to(f.dtype)

        return _now_or_later(moved, ctx.slopes), None, None


def _now_or_later(rows: Callable[[], Tensor], slopes: Slopes | None) -> Tensor | None:
    """A derivative with respect to rows of features, (H·W, C); None: it waits in ``slopes``."""
    if slopes is None:
        return rows()
    slopes.add(rows)
    return None


def layer_distance_sum(
    features: Features, target: Features | None, layer: str, weights: Tensor | None = None
) -> Tensor:
    """Σ_p t_p ‖R (f_p − g_p)‖², (1,), the squared distance of a layer's features after its head R.

    It is computed from the features before the head as Σ_p t_p dᵀ(RᵀR) d with d = f − g, which takes one
    product of matrices, and none for the derivative.

    Args:
        target: g; None: zero.
        weights: (1, 1, H, W), how much each position counts; None: all equally.
    """
    head = features.head(layer)
    rows, target_rows = (None if x is None else as_rows(x.raw[layer]) for x in (features, target))
    t = None if weights is None else weights.flatten()[:, None]
    distance: Tensor = _DistanceSum.apply(  # type: ignore[no-untyped-call]
        rows, target_rows, head, t, features.slopes.get(layer)
    )
    return distance


class _DistanceSum(torch.autograd.Function):
    """Σ t ‖R d‖², (1,), for d = f − g: f (M, c), g (M, c) or None for 0, R (C, c) or None for the identity,
    t (M, 1) or None for 1.
    """

    @staticmethod
    def forward(
        ctx: Any,
        f: Tensor,
        g: Tensor | None,
        head: Tensor | None,
        t: Tensor | None,
        slopes: Slopes | None,
    ) -> Tensor:
        full = torch.float64 if f.dtype is torch.float64 else torch.float32
        d = f.to(full) if g is None else f.to(full) - g.to(full)
        half_slope = d if head is None else d @ (head.to(full).T @ head.to(full))
        if t is not None:
            half_slope = half_slope * t.to(full)
        ctx.save_for_backward(half_slope)
        ctx.dtype, ctx.slopes = f.dtype, slopes
        return (d * half_slope).sum()[None]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        (half_slope,) = ctx.saved_tensors
        moved = _now_or_later(lambda: (half_slope * (2.0 * slope)).to(ctx.dtype), ctx.slopes)
        return moved, None, None, None, None


def moments(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (C,) and second raw moment (C, C) over positions; both average linearly across styles.

    Arguments as :func:`gram`.
    """
    f = features[0].flatten(1)
    if weights is None:
        return f.mean(1), gram(features)
    t = weights[0, 0].flatten()
    return (f * t).sum(1) / t.sum(), gram(features, weights)


def moment_sum(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """[Σ_p t_p f_p f_pᵀ | Σ_p t_p f_p], (C, C + 1): :func:`moments` before the division, in one tensor.

    Arguments as :func:`gram`.
    """
    f = features[0].flatten(1)
    first = f.sum(1) if weights is None else (f * weights[0, 0].flatten()).sum(1)
    return torch.cat([gram_sum(features, weights), first[:, None]], 1)


def sample_positions(count: int, height: int, width: int, weights: Tensor | None = None) -> Tensor:
    """A random sample of a grid's positions, without replacement, as flat indices (n,).

    The same arguments give the same positions. The first k of them are a fair sample of k positions.

    Args:
        count: the largest number of positions.
        height, width: number of positions of the grid.
        weights: (1, 1, height, width) ≥ 0; positions are drawn in proportion, those of weight 0 never. None:
            all are equally likely.
    """
    generator = torch.Generator().manual_seed(0)
    if weights is None:
        return torch.randperm(height * width, generator=generator)[:count]
    # Efraimidis & Spirakis 2006: the largest of u^(1/w) are a weighted sample without replacement.
    flat = weights.flatten().double().cpu()
    keys = torch.rand(len(flat), generator=generator, dtype=torch.float64).log() / flat.clamp_min(1e-30)
    return keys.topk(min(count, int((flat > 0).sum()))).indices


def gather_positions(
    features: Tensor, indices: Tensor, window: tuple[slice, slice], grid_width: int
) -> Tensor:
    """The features at sampled positions, (n, C); zero where a position lies outside this part.

    The rows gathered from all parts of a picture therefore add up to those of the whole picture.

    Args:
        features: (1, C, h, w), the features in ``window``.
        indices: (n,) flat indices in the whole grid.
        window: rows and columns of the whole grid that the part covers.
        grid_width: columns of the whole grid.
    """
    y, x = indices // grid_width - window[0].start, indices % grid_width - window[1].start
    height, width = features.shape[-2:]
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width)).to(features.device)
    y, x = y.clamp(0, height - 1).to(features.device), x.clamp(0, width - 1).to(features.device)
    gathered: Tensor = features[0][:, y, x].T * inside[:, None]
    return gathered
