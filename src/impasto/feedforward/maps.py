"""Maps content features to style features in closed form, without training.

There are two maps, and the decoder gets the results of both. *Transport* is one affine map for each layer: it
gives the features the mean and covariance of the style's, and changes them as little as possible, light and
colour least.
*Matching* replaces each feature by the nearest one of the style, which keeps whole strokes and edges, but is
not continuous: similar features may get very different matches. It would break faces and thin towers, and so
counts less along outlines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.feedforward.statistics import Moments

__all__ = ["Transport", "evenness", "nearest", "smoothed", "transport"]

#: Added to the content's covariance, as a share of its trace: directions in which the content hardly varies,
#: such as compression noise in a sky, are not amplified to the style's full variation.
CONTENT_FLOOR = 3e-4
#: The same for the style, to keep its square root well defined, also by the exported iteration.
STYLE_FLOOR = 1e-6
#: Factor of the distances from the mean in transport: without it pictures have .88 of the style's contrast.
CONTRAST = 1.15
#: Share of the nearest features in their mixture with the transported ones where these are the style's mean.
MATCH_SHARE = 0.7
#: How much more noise there is where the transported features are the style's mean: strokes on even ground.
NOISE_GAIN = 2.0
#: Features that are compared with a bank of 1024 at once; their similarities take 32 MB.
CHUNK = 8192


@dataclass(frozen=True)
class Transport:
    """The affine map f ↦ matrix (f − origin) + target, for each picture of a batch; float32, on the CPU.

    Attributes:
        matrix: (N, C, C).
        origin: (N, C), the content's mean.
        target: (N, C), what the mean becomes.
        style_root: (N, C, C), the square root of the style's covariance, which gives noise that covariance.
    """

    matrix: Tensor
    origin: Tensor
    target: Tensor
    style_root: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Apply the map to features (N, C, H, W); computed in their precision."""
        # The offset is made with the matrix that is used, so that its rounding does not move the mean.
        matrix = self.matrix.to(features)
        offset = (
            self.target.to(features.device)
            - (matrix.float() @ self.origin.to(matrix.device)[..., None])[..., 0]
        )
        return _product(matrix, features) + offset.to(features)[:, :, None, None]

    def colour(self, noise: Tensor) -> Tensor:
        """Give white noise (N, C, H, W) of unit variance the style's covariance."""
        return _product(self.style_root.to(noise), noise)


def _product(matrix: Tensor, features: Tensor) -> Tensor:
    """Matrices (N, C, C) times the features (N, C, H, W) of each picture."""
    if len(features) == len(matrix) == 1:  # a convolution keeps the memory layout, whichever it is
        return F.conv2d(features, matrix[0, :, :, None, None])
    return (matrix @ features.flatten(2)).view(features.shape)


def transport(
    content: Moments, style: Moments, strength: float = 1.0, *, cost: Tensor | None = None
) -> Transport:
    """Optimal transport between two Gaussians (Olkin & Pukelsheim 1982), for each picture of a batch.

    T = S^½ (S^½ A C A S^½)^-½ S^½ A for the covariances C of the content and S of the style and the cost A,
    times ``CONTRAST``. It is A^-½ (the transport of A^½ C A^½ to A^½ S A^½) A^½, with fewer roots.

    Args:
        content: of N pictures.
        style: of N pictures, or of one for all.
        strength: 1: the full transport; 0: the identity; between them: the geodesic of the two Gaussians.
        cost: (C, C), symmetric, no eigenvalue below 1: of a change d it is dᵀ cost d; None: the identity.
    """
    weight = torch.eye(content.mean.shape[-1], dtype=torch.float64) if cost is None else cost
    root = _power(_floored(style.covariance, STYLE_FLOOR), 0.5)
    right = root @ weight
    middle = right @ _floored(content.covariance, CONTENT_FLOOR) @ right.mT
    matrix = CONTRAST * root @ _power(middle, -0.5) @ right
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    matrix = torch.lerp(identity.expand_as(matrix), matrix, strength)
    mean = torch.lerp(content.mean, style.mean.expand_as(content.mean), strength)
    return Transport(matrix.float(), content.mean.float(), mean.float(), root.float())


def _power(matrix: Tensor, power: float) -> Tensor:
    """A power of symmetric positive semi-definite matrices (N, C, C), through their eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(values[..., -1:].clamp_min(1e-20) * 1e-12)
    result: Tensor = (vectors * values.pow(power)[..., None, :]) @ vectors.mT
    return result


def _floored(covariance: Tensor, share: float) -> Tensor:
    """The covariance (N, C, C) with ``share`` of its trace added to the diagonal."""
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-8)
    return covariance + share * trace[:, None, None] * identity


def evenness(transported: Tensor, mean: Tensor, style_root: Tensor) -> Tensor:
    """exp(−d²), (N, 1, H, W) in [0, 1]: 1 on even ground, towards 0 at outlines.

    d² is the squared distance from the style's mean, over the mean of that in the style. Far from the mean
    are the features of outlines, which are few.

    Args:
        transported: (N, C, H, W).
        mean: of the style, (N, C) or (1, C).
        style_root: square root of the style's covariance, (N, C, C) or (1, C, C).
    """
    variance = style_root.square().sum((1, 2)).to(transported.device)[:, None, None, None]
    centred = transported.float() - mean.float().to(transported.device)[:, :, None, None]
    return torch.exp(-centred.square().sum(1, keepdim=True) / variance)


def smoothed(features: Tensor) -> Tensor:
    """Features (N, C, H, W) averaged over 3×3 positions with the weights 1, 2, 1 in both directions.

    On even ground the nearest features of neighbouring positions alternate between two of the style, which
    the decoder would draw as chequers.
    """
    padded = F.pad(features, (1, 1, 1, 1), mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)


def nearest(queries: Tensor, bank: Tensor, mean: Tensor, head: Tensor | None) -> Tensor:
    """The index of the nearest feature in a bank for each query, by centred cosine (Kolkin et al. 2022).

    Args:
        queries: (N, M, C), transported features.
        bank: (N, K, C), features of the style.
        mean: (N, C), the style's mean, which is subtracted from both.
        head: (D, C), the encoder's head, which is applied to both before they are compared; None: no head.

    Returns:
        (N, M) indices into the K features of the bank.
    """
    keys = bank - mean[:, None]
    keys = F.normalize(keys if head is None else keys @ head.T, dim=-1)
    # Projecting the bank back through the head saves projecting each query; a query's length does not
    # change which key is nearest.
    keys = keys if head is None else keys @ head
    parts = [((q - mean[:, None]) @ keys.mT).argmax(-1) for q in queries.split(CHUNK, 1)]
    return torch.cat(parts, 1)
