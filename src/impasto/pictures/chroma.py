"""The finest band of a picture, and a filter that limits that of its colours along the edges of lightness.

Features of a convolutional network hardly see the hue of single pixels, so an optimised picture has coloured
grain there that no painting has.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.colour import from_oklab, to_oklab
from impasto.pictures.filters import gaussian_blur, gaussian_radius, guided_filter
from impasto.pictures.geometry import Tile, crop_margin, tiles

__all__ = ["finest_chroma", "finest_lightness", "limit_finest_chroma"]

#: The finest band is what a blur by this many pixels removes.
SIGMA = 1.0
#: Window and regularisation of the guided filter: lightness that varies by less than its root, about 0.02 in
#: a window of seven pixels, is no edge.
RADIUS, EPSILON = 3, 4e-4
HALO = 2 * RADIUS + gaussian_radius(SIGMA)
TILE = 1024


def finest_chroma(picture: Tensor) -> float:
    """RMS of the finest band of OKLab's a and b, of a picture (1, 3, H, W), sRGB, [0, 1].

    Paintings in print have about 0.004 to 0.02.
    """
    squares, weight = _finest(picture, slice(1, 3), None)
    return math.sqrt(squares / (2 * weight))


def finest_lightness(picture: Tensor, mask: Tensor | None = None) -> float:
    """RMS of the finest band of OKLab's L: how much strokes and grain stand out.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W) ≥ 0, how much each pixel counts; None: all equally.
    """
    squares, weight = _finest(picture, slice(0, 1), mask)
    return math.sqrt(squares / max(weight, 1e-6))


def limit_finest_chroma(picture: Tensor, limit: float, *, wrap: bool = False) -> Tensor:
    """Smooth colours, not lightness, until the finest band of chroma has at most an RMS of ``limit``.

    Chroma is a guided filter's output (He et al. 2013), with lightness as the guide, plus a share of what the
    filter removed. The share is the largest one within the limit; edges of colour that are edges of lightness
    too stay sharp. Where even the filter's output is above the limit, it is the result.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        limit: as returned by :func:`finest_chroma`, above 0.
        wrap: whether the picture tiles, so that the filter has to continue at the opposite edge.

    Returns:
        (1, 3, H, W) of the same type.
    """
    margin = min(HALO, *picture.shape[-2:]) if wrap else 0
    source = F.pad(picture, (margin,) * 4, mode="circular") if margin else picture
    share = _share_within(source, limit)
    if share >= 1.0:
        return picture
    result = torch.empty_like(source)
    for tile in _tiles(source):
        lab = to_oklab(tile.cut(source).double())
        smooth = guided_filter(lab[:, :1], lab[:, 1:], RADIUS, EPSILON)
        chroma = smooth + share * (lab[:, 1:] - smooth)
        pixels = from_oklab(torch.cat([lab[:, :1], chroma], 1)).to(picture.dtype)
        result[(..., *tile.grid(1))] = pixels[(..., *tile.inner(1))]
    return crop_margin(result, margin)


def _share_within(picture: Tensor, limit: float) -> float:
    """The largest share in [0, 1] of what the filter removes that may stay.

    With the bands s of the smooth chroma and r of the removed one, the mean of (s + share · r)² is limited.
    """
    ss = sr = rr = 0.0
    for tile in _tiles(picture):
        lab = to_oklab(tile.cut(picture).double())
        smooth = guided_filter(lab[:, :1], lab[:, 1:], RADIUS, EPSILON)
        s, r = (_band(chroma)[(..., *tile.inner(1))] for chroma in (smooth, lab[:, 1:] - smooth))
        ss, sr, rr = ss + float((s * s).sum()), sr + float((s * r).sum()), rr + float((r * r).sum())
    allowed = limit * limit * 2 * picture.shape[-2] * picture.shape[-1]
    if ss + 2.0 * sr + rr <= allowed:
        return 1.0
    if ss >= allowed or rr <= 0.0:
        return 0.0
    return (math.sqrt(sr * sr + rr * (allowed - ss)) - sr) / rr


def _band(chroma: Tensor) -> Tensor:
    return chroma - gaussian_blur(chroma, SIGMA)


def _finest(picture: Tensor, planes: slice, mask: Tensor | None) -> tuple[float, float]:
    """The weighted sum of squares of the finest band of some planes of OKLab, and the sum of the weights."""
    squares = weight = 0.0
    for tile in _tiles(picture):
        inner = (..., *tile.inner(1))
        band = _band(to_oklab(tile.cut(picture).double())[:, planes])[inner].square()
        weights = torch.ones_like(band[:, :1]) if mask is None else tile.cut(mask)[inner].double()
        squares, weight = squares + float((band * weights).sum()), weight + float(weights.sum())
    return squares, weight


def _tiles(picture: Tensor) -> list[Tile]:
    return tiles((int(picture.shape[-2]), int(picture.shape[-1])), TILE, 1, HALO)
