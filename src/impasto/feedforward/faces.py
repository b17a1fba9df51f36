"""Where a picture shows faces: the colour of skin, and features of ``compact`` that are found on faces."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.networks.weights import embedded_tensors
from impasto.pictures.filters import box_mean
from impasto.pictures.geometry import fit, resample
from impasto.pictures.skin import skin_likelihood

__all__ = ["FACE_LAYERS", "face_features", "face_likelihood"]

#: Layers that faces are told by; their features before the head are read by one linear function.
FACE_LAYERS = ("relu4_2", "relu5_1")
#: Longer sides in pixels at which faces are looked for, at most: in the smaller one large faces are found.
SIDES = (160, 320)
#: Pixels by which the likelihood of skin is averaged in each direction, so that eyes and lips are within it.
SKIN_BLUR = 2


@torch.no_grad()
def face_likelihood(picture: Tensor, encoder: Encoder) -> Tensor:
    """How likely each place shows a face, (1, 1, h, w) in [0, 1] on a coarse grid over the picture.

    The likelihood of skin times that of a logistic regression on features (``faces.md`` beside its weights).
    Grey pictures have none, and small faces in large pictures are not found.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        encoder: ``compact``.

    Raises:
        WeightsError: the embedded file is missing or damaged.
    """
    weights, bias = _read_out()
    found: list[Tensor] = []
    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    for side in SIDES:
        size = fit(height, width, min(side, max(height, width)))
        if min(size) >= geometry(FACE_LAYERS[-1]).stride:
            features, skin = face_features(resample(picture, size).to(encoder.device), encoder)
            logits = torch.einsum("nchw,c->nhw", features, weights.to(features))[:, None] + bias
            found.append(logits.sigmoid() * skin)
    if not found:
        return picture.new_zeros(1, 1, 1, 1)
    finest = found[-1].shape[-2:]
    return torch.stack([F.interpolate(one, finest, mode="bilinear") for one in found]).amax(0)


def face_features(picture: Tensor, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Features (1, C, h, w) that faces are told by, and the likelihood of skin (1, 1, h, w) there.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1], with sides of at least 16 pixels.
    """
    raw = encoder(picture, FACE_LAYERS).raw
    grid = raw[FACE_LAYERS[0]].shape[-2:]
    layers = [F.interpolate(raw[layer].float(), grid, mode="bilinear") for layer in FACE_LAYERS]
    skin = box_mean(skin_likelihood(picture.float()), SKIN_BLUR)
    return torch.cat(layers, 1), F.adaptive_avg_pool2d(skin, grid)


@functools.cache
def _read_out() -> tuple[Tensor, float]:
    """Weights (C,) and constant of the logistic regression, written by ``benchmarks/faces.py``."""
    tensors = embedded_tensors("faces.safetensors")
    return tensors["weights"], float(tensors["bias"])
