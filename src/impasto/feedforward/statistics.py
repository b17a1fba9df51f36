"""The statistics of a picture's features that instant transfer needs: mean, second moment and samples.

Means and second raw moments of parts of a picture, or of several styles, average linearly. So pictures can be
processed in tiles, and styles can be blended, without an approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "BANK_LAYERS",
    "BANK_SIZE",
    "LEVELS",
    "Moments",
    "feature_bank",
    "feature_moments",
    "layer_weights",
]

#: Layers whose features are mapped to the style's, fine to coarse. The encoder ``compact`` has 16, 64, 96 and
#: 80 channels there, before its heads.
LEVELS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
#: Layers at which the decoder also gets the nearest style features, and noise.
BANK_LAYERS = ("relu3_1", "relu4_1")
#: Style features kept for each layer of :data:`BANK_LAYERS`.
BANK_SIZE = 1024


@dataclass(frozen=True)
class Moments:
    """First and second raw moments of features over positions, for each picture of a batch.

    Attributes:
        mean: (N, C), float64, on the CPU.
        second: (N, C, C), E[f fᵀ], float64, on the CPU.
    """

    mean: Tensor
    second: Tensor

    @property
    def covariance(self) -> Tensor:
        """Covariance matrices, (N, C, C)."""
        return self.second - self.mean[:, :, None] * self.mean[:, None, :]

    def blend(self, other: Moments, share: float) -> Moments:
        """Moments of a mixture in which ``share`` of the positions are the other's."""
        return Moments(torch.lerp(self.mean, other.mean, share), torch.lerp(self.second, other.second, share))


def feature_moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Moments of features (N, C, H, W) of any float type.

    Args:
        weights: (1, 1, H, W) ≥ 0, how much each position counts; None: all equally.
    """
    f = features.detach().float().permute(0, 2, 3, 1).flatten(1, 2)  # (N, M, C)
    if weights is None:
        shares = f.new_full((1, f.shape[1], 1), 1.0 / f.shape[1])
    else:
        shares = (weights / weights.sum()).to(f).flatten()[None, :, None]
    mean = (f * shares).sum(1)
    # Features are centred before they are multiplied, so that float32 is precise enough for the products.
    centred = f - mean[:, None]
    covariance = (centred.mT @ (centred * shares)).double().cpu()
    mean = mean.double().cpu()
    return Moments(mean, covariance + mean[:, :, None] * mean[:, None, :])


def feature_bank(
    features: Tensor, count: int = BANK_SIZE, generator: torch.Generator | None = None
) -> Tensor:
    """At most ``count`` features of (N, C, H, W) at random positions, the same for all N: (N, K, C)."""
    f = features.detach().float().permute(0, 2, 3, 1).flatten(1, 2)
    if f.shape[1] <= count:
        return f
    generator = generator or torch.Generator().manual_seed(0)
    return f[:, torch.randperm(f.shape[1], generator=generator)[:count]]


def layer_weights(mask: Tensor | None, stride: int) -> Tensor | None:
    """A mask (1, 1, H, W) averaged over the pixels of each feature, (1, 1, H/stride, W/stride), or None."""
    return None if mask is None else F.avg_pool2d(mask, stride)
