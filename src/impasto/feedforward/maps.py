"""How content features become style features: in closed form, with nothing learnt.

There are two ways, and the decoder is given the results of both. *Transport* moves all features by one affine
map for each layer, so that their mean and covariance become the style's, and changes them as little as
possible in doing so. *Matching* replaces each feature by the nearest one of the style, which keeps whole
strokes and edges but jumps between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.feedforward.statistics import Moments

__all__ = ["Transport", "nearest", "transport"]

#: Added to the content's covariance, as a share of its trace: directions in which the content hardly varies,
#: such as compression noise in a sky, are not amplified to the style's full variation.
CONTENT_FLOOR = 3e-4
#: The same for the style, to keep its square root well defined.
STYLE_FLOOR = 1e-7
#: Features that are compared with the style's at once: 32 MB of similarities.
CHUNK = 8192


@dataclass(frozen=True)
class Transport:
    """The affine map f ↦ matrix f + offset, for each picture of a batch; float32, on the CPU.

    Attributes:
        matrix: (N, C, C).
        offset: (N, C).
        style_root: (N, C, C), the square root of the style's covariance: it gives noise the style's
            covariance.
    """

    matrix: Tensor
    offset: Tensor
    style_root: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Moved features (N, C, H, W), float32."""
        moved = self.matrix.to(features.device) @ features.float().flatten(2)
        moved = moved + self.offset.to(features.device)[:, :, None]
        return moved.view(features.shape)

    def colour(self, noise: Tensor) -> Tensor:
        """Noise (N, C, H, W) of unit variance with the style's covariance."""
        coloured = self.style_root.to(noise.device) @ noise.flatten(2)
        return coloured.view(noise.shape)


def transport(content: Moments, style: Moments, strength: float = 1.0) -> Transport:
    """Optimal transport between two Gaussians (Olkin & Pukelsheim 1982), for each picture of a batch.

    T = S^½ (S^½ C S^½)^-½ S^½ for the covariances C of the content and S of the style.

    Args:
        strength: 1 moves all the way, 0 changes nothing; between them lies the geodesic of the two Gaussians.
    """
    root = _power(_floored(style.covariance, STYLE_FLOOR), 0.5)
    middle = root @ _floored(content.covariance, CONTENT_FLOOR) @ root
    matrix = root @ _power(middle, -0.5) @ root
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    matrix = torch.lerp(identity.expand_as(matrix), matrix, strength)
    mean = torch.lerp(content.mean, style.mean.expand_as(content.mean), strength)
    offset = mean - (matrix @ content.mean[:, :, None])[:, :, 0]
    return Transport(matrix.float(), offset.float(), root.float())


def _power(matrix: Tensor, power: float) -> Tensor:
    """A power of symmetric positive semi-definite matrices (N, C, C), through their eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(values[..., -1:].clamp_min(1e-20) * 1e-12)
    result: Tensor = (vectors * values.pow(power)[..., None, :]) @ vectors.mT
    return result


def _floored(covariance: Tensor, share: float) -> Tensor:
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-8)
    return covariance + share * trace[:, None, None] * identity


def nearest(queries: Tensor, bank: Tensor, mean: Tensor, head: Tensor | None) -> Tensor:
    """For each feature the nearest of a bank by centred cosine (Kolkin et al. 2022), as indices (N, M).

    Args:
        queries: (N, M, C), features that were moved to the style's mean and covariance.
        bank: (N, K, C), features of the style.
        mean: (N, C), the style's mean, which is subtracted from both.
        head: (D, C), the encoder's head, behind which features are compared; or None.
    """
    keys = bank - mean[:, None]
    keys = F.normalize(keys if head is None else keys @ head.T, dim=-1)
    # Projecting the bank back through the head saves projecting each query; a query's length does not
    # change which key is nearest.
    keys = keys if head is None else keys @ head
    parts = [((q - mean[:, None]) @ keys.mT).argmax(-1) for q in queries.split(CHUNK, 1)]
    return torch.cat(parts, 1)
