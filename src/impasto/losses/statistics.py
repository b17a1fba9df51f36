"""Features → what is remembered of a style. Pure functions; shapes stated; what averages, said."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["gram", "gram_sum", "moment_sum", "moments", "positions", "rows"]


def gram(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Gram matrix, averaged over positions: G = Σ_p t_p f_p f_pᵀ / Σ_p t_p (Gatys et al. 2015, eq. 3).

    Differs from Gatys: divided by the number of positions, so pictures of different sizes compare.
    Gram matrices average linearly across styles.

    Args:
        features: (1, C, H, W).
        weights: (1, 1, H, W), ≥ 0, how much each position counts; None: all alike.

    Returns:
        (C, C), symmetric positive semi-definite.
    """
    count = features[0, 0].numel() if weights is None else weights.sum()
    return gram_sum(features, weights) / count


def gram_sum(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ_p t_p f_p f_pᵀ, (C, C): :func:`gram` before the division, so that parts of a picture add up.

    Features in bfloat16 stay so, and the result is float32: summed in sixteen parts, whose roundings even
    out to 0.05 %.
    """
    f = features.permute(0, 2, 3, 1).flatten(0, 2)  # (M, C), a view where the channels lie last
    t = None if weights is None else weights[0, 0].flatten()[:, None]
    found: Tensor = _GramSum.apply(f, t)  # type: ignore[no-untyped-call]
    return found


class _GramSum(torch.autograd.Function):
    """Fᵀ diag(t) F for F (M, C). The derivative is one product, where autograd, not knowing that the matrix
    is symmetric, takes two."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, t: Tensor | None) -> Tensor:
        ctx.save_for_backward(f, t)
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
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        f, t = ctx.saved_tensors
        moved = f @ (slope + slope.T).to(f.dtype)
        return moved if t is None else moved * t.to(f.dtype), None


def moments(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (C,) and second raw moment (C, C) over positions; both average linearly across styles."""
    f = features[0].flatten(1)
    if weights is None:
        return f.mean(1), gram(features)
    t = weights[0, 0].flatten()
    return (f * t).sum(1) / t.sum(), gram(features, weights)


def moment_sum(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """[Σ_p t_p f_p f_pᵀ | Σ_p t_p f_p], (C, C + 1): :func:`moments` before the division, in one tensor."""
    f = features[0].flatten(1)
    first = f.sum(1) if weights is None else (f * weights[0, 0].flatten()).sum(1)
    return torch.cat([gram_sum(features, weights), first[:, None]], 1)


def positions(count: int, height: int, width: int, weights: Tensor | None = None) -> Tensor:
    """A fixed sample of a grid's positions as flat indices (n,), in random order, each at most once.

    Any first part of it is a fair sample too. The same arguments give the same positions.

    Args:
        count: how many at most.
        weights: (1, 1, H, W) ≥ 0: positions are drawn in proportion, those of 0 never. None: all alike.
    """
    generator = torch.Generator().manual_seed(0)
    if weights is None:
        return torch.randperm(height * width, generator=generator)[:count]
    # Efraimidis & Spirakis 2006: the largest of u^(1/w) are a weighted sample without replacement.
    flat = weights.flatten().double().cpu()
    keys = torch.rand(len(flat), generator=generator, dtype=torch.float64).log() / flat.clamp_min(1e-30)
    return keys.topk(min(count, int((flat > 0).sum()))).indices


def rows(features: Tensor, at: Tensor, grid: tuple[slice, slice], width: int) -> Tensor:
    """The features at sampled positions, (n, C); zero where a position lies outside this part.

    So the rows of a picture's parts add up to those of the whole.

    Args:
        features: (1, C, h, w), the part of the whole grid that ``grid`` says.
        at: (n,) flat indices in the whole grid, whose width is ``width``.
    """
    y, x = at // width - grid[0].start, at % width - grid[1].start
    height, across = features.shape[-2:]
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < across)).to(features.device)
    y, x = (
        one.to(features.device).clamp_min(0) for one in (y.clamp_max(height - 1), x.clamp_max(across - 1))
    )
    found: Tensor = features[0][:, y, x].T * inside[:, None]
    return found
