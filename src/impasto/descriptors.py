"""Features → what is remembered of a style. Pure functions; shapes stated; what averages, said."""

from __future__ import annotations

from torch import Tensor

__all__ = ["gram", "moments"]


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
    f = features[0].flatten(1)  # (C, M)
    if weights is None:
        return f @ f.T / f.shape[1]
    t = weights[0, 0].flatten()  # (M,)
    return (f * t) @ f.T / t.sum()


def moments(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (C,) and second raw moment (C, C) over positions; both average linearly across styles."""
    f = features[0].flatten(1)
    if weights is None:
        return f.mean(1), gram(features)
    t = weights[0, 0].flatten()
    return (f * t).sum(1) / t.sum(), gram(features, weights)
