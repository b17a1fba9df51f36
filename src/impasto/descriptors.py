"""Features → what is remembered of a style. Pure functions; shapes stated; what averages, said."""

from __future__ import annotations

from torch import Tensor

__all__ = ["gram", "gram_sum", "moments"]


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
    """Σ_p t_p f_p f_pᵀ, (C, C): :func:`gram` before the division, so that parts of a picture add up."""
    f = features[0].flatten(1)  # (C, M)
    return f @ f.T if weights is None else (f * weights[0, 0].flatten()) @ f.T


def moments(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (C,) and second raw moment (C, C) over positions; both average linearly across styles."""
    f = features[0].flatten(1)
    if weights is None:
        return f.mean(1), gram(features)
    t = weights[0, 0].flatten()
    return (f * t).sum(1) / t.sum(), gram(features, weights)
