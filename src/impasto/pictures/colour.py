"""Colour spaces and colour transfer: pure tensor functions of pictures (1, 3, H, W), sRGB, [0, 1].

Colours are changed in OKLab (Ottosson 2020), where equal steps of lightness look equal and a colour keeps
its hue when its lightness changes. In RGB, shadows would turn purple when the palette changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "LUMA",
    "from_linear",
    "from_oklab",
    "grey",
    "luma",
    "match_lightness",
    "match_palette",
    "mixed",
    "monge_map",
    "palette_moments",
    "to_oklab",
    "with_chroma",
]

#: Shares of red, green and blue in luma, after ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
#: Ottosson's matrices: linear sRGB → cone responses, and their cube roots → L, a, b.
CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
#: Added to the diagonal of a covariance of colours, so that that of a grey or flat picture can be inverted
#: too. In squared units of OKLab; its root, about 0.003, is less than one level of 8 bits.
RIDGE = 1e-5
#: Pixels of a strip in which a large picture's colours are changed.
STRIP_PIXELS = 1 << 20


def _mix(matrix: Tensor, picture: Tensor) -> Tensor:
    """Multiply the colour of each pixel, (N, 3, H, W), by a matrix (3, 3)."""
    return torch.einsum("ij,njhw->nihw", matrix.to(picture), picture)


def _linear(picture: Tensor) -> Tensor:
    """sRGB to linear RGB (IEC 61966-2-1)."""
    high = ((picture.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(picture <= 0.04045, picture / 12.92, high)


def from_linear(linear: Tensor) -> Tensor:
    """Linear RGB to sRGB."""
    high = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, high)


def to_oklab(picture: Tensor) -> Tensor:
    """sRGB (N, 3, H, W) in [0, 1] → OKLab: L in [0, 1], a (green–red) and b (blue–yellow) about ±0.4."""
    cones = _mix(torch.tensor(CONES, dtype=torch.float64), _linear(picture))
    return _mix(torch.tensor(LAB, dtype=torch.float64), cones.clamp_min(0.0) ** (1 / 3))


def _linear_rgb(lab: Tensor) -> Tensor:
    """OKLab to linear RGB, which may lie outside [0, 1]."""
    cones = _mix(torch.linalg.inv(torch.tensor(LAB, dtype=torch.float64)), lab) ** 3
    return _mix(torch.linalg.inv(torch.tensor(CONES, dtype=torch.float64)), cones)


def from_oklab(lab: Tensor) -> Tensor:
    """OKLab (N, 3, H, W) → sRGB in [0, 1]; colours outside of sRGB lose chroma and keep lightness and hue.

    Clipping the channels instead would shift hues and flatten bright areas. Twelve bisections find the
    largest chroma that fits, to 1/4096 of it.
    """
    lab = torch.cat([lab[:, :1].clamp(0.0, 1.0), lab[:, 1:]], 1)
    rgb = _linear_rgb(lab)
    outside = ~_in_gamut(rgb)[:, 0]  # (N, H, W), only these few pixels are bisected
    if bool(outside.any()):
        rgb = rgb.clone()
        reduced = _reduce_chroma(lab.movedim(1, -1)[outside].T[None, :, :, None])
        rgb.movedim(1, -1)[outside] = reduced[0, :, :, 0].T
    return from_linear(rgb).clamp(0.0, 1.0)


def _reduce_chroma(lab: Tensor) -> Tensor:
    """OKLab (1, 3, M, 1) → linear RGB with the largest share of the chroma that fits into sRGB."""
    low, high = torch.zeros_like(lab[:, :1]), torch.ones_like(lab[:, :1])
    for _ in range(12):
        middle = (low + high) / 2
        inside = _in_gamut(_linear_rgb(torch.cat([lab[:, :1], lab[:, 1:] * middle], 1)))
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return _linear_rgb(torch.cat([lab[:, :1], lab[:, 1:] * low], 1))


def _in_gamut(rgb: Tensor) -> Tensor:
    """(N, 1, H, W): whether linear RGB lies in [0, 1], within about a rounding error of 8 bits."""
    return ((rgb > -2e-4) & (rgb < 1.0 + 1e-3)).all(1, keepdim=True)


def luma(pictures: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of pictures (N, 3, H, W): a weighted sum of their sRGB values."""
    red, green, blue = pictures[:, :1], pictures[:, 1:2], pictures[:, 2:3]
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def grey(picture: Tensor) -> Tensor:
    """The picture in neutral greys of the same lightness in OKLab."""
    lab = to_oklab(picture)
    return from_oklab(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], 1))


def with_chroma(picture: Tensor, other: Tensor) -> Tensor:
    """Lightness of ``picture``, hue and chroma of ``other``; both (1, 3, H, W) (Gatys et al. 2017, 5.1).

    Differs from Gatys, who uses YIQ: in OKLab a colour keeps its hue when its lightness changes.
    """
    return from_oklab(torch.cat([to_oklab(picture)[:, :1], to_oklab(other)[:, 1:]], 1))


def mixed(picture: Tensor, other: Tensor, share: float) -> Tensor:
    """Interpolate from ``other`` (share 0) to ``picture`` (1), pixel by pixel in OKLab; both (1, 3, H, W).

    In sRGB the middle between two saturated colours would be darker and greyer than either.
    """
    if share in (0.0, 1.0):
        return picture if share else other
    return from_oklab(torch.lerp(to_oklab(other), to_oklab(picture), share))


def palette_moments(picture: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (3,) and second raw moment (3, 3), float64, of a picture's colours in OKLab.

    Unlike a covariance, both of several pictures together are the averages of those of each.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        weights: (1, 1, H, W), how much each pixel counts, not all 0; None: all equally.
    """
    sums = []
    for rows in _strips(picture):
        colours = to_oklab(picture[rows])[0].flatten(1).double()
        shares = torch.ones_like(colours[:1]) if weights is None else weights[rows][0].flatten(1).double()
        sums.append((shares.sum(), (colours * shares).sum(1), (colours * shares) @ colours.T))
    total, mean, second = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
    return mean / total, second / total


def _strips(picture: Tensor) -> list[tuple[Any, ...]]:
    """Indices of horizontal strips, so that what is computed of a large picture takes little memory."""
    height, width = picture.shape[-2:]
    rows = max(1, STRIP_PIXELS // width)
    return [(..., slice(top, top + rows), slice(None)) for top in range(0, height, rows)]


def _changed(picture: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The picture with ``change`` applied to its colours in OKLab, strip by strip."""
    result = torch.empty_like(picture)
    for rows in _strips(picture):
        result[rows] = from_oklab(change(to_oklab(picture[rows])))
    return result


def monge_map(source: Tensor, target: Tensor) -> Tensor:
    """The symmetric matrix (C, C) that maps one covariance to another with the least change of values.

    Σₛ^-½ (Σₛ^½ Σₜ Σₛ^½)^½ Σₛ^-½ with 1e-5·I added to both (Pitié & Kokaram 2007, "linear
    Monge–Kantorovitch"), where s is the source and t the target.
    """
    ridge = RIDGE * torch.eye(len(source), dtype=torch.float64, device=source.device)
    root, inverse = _powers(source.double() + ridge)
    middle, _ = _powers(root @ (target.double() + ridge) @ root)
    return inverse @ middle @ inverse


def _powers(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.clamp_min(1e-12).sqrt()
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def match_palette(picture: Tensor, mean: Tensor, second: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Give a picture's colours the mean and covariance of another palette, with the least change in OKLab.

    Args:
        mean, second: :func:`palette_moments` of the other picture.
        weights: (1, 1, H, W), which of the picture's pixels count as its palette; None: all.
    """
    before, before_second = palette_moments(picture, weights)
    matrix = monge_map(before_second - torch.outer(before, before), second - torch.outer(mean, mean))

    def matched(lab: Tensor) -> Tensor:
        return _mix(matrix, lab - before.to(lab).view(1, 3, 1, 1)) + mean.to(lab).view(1, 3, 1, 1)

    return _changed(picture, matched)


def match_lightness(
    picture: Tensor, mean: Tensor, second: Tensor, *, weights: Tensor | None = None
) -> Tensor:
    """The picture in greys, with the mean and spread of another picture's lightness (Gatys et al. 2017, 5.1).

    For a style picture of which only the brushwork is wanted: otherwise a dark one would darken the content.
    Arguments as in :func:`match_palette`.
    """
    before, before_second = palette_moments(picture, weights)
    variances = (before_second[0, 0] - before[0] ** 2, second[0, 0] - mean[0] ** 2)
    spread_before, spread = (torch.sqrt(variance.clamp_min(0.0) + RIDGE) for variance in variances)

    def matched(lab: Tensor) -> Tensor:
        lightness = (lab[:, :1] - float(before[0])) * float(spread / spread_before) + float(mean[0])
        return torch.cat([lightness.clamp(0.0, 1.0), torch.zeros_like(lab[:, 1:])], 1)

    return _changed(picture, matched)
