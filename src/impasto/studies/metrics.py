"""Measurements of a finished picture, kept apart from the losses it was painted with.

Pictures are (1, 3, H, W), float32, sRGB, [0, 1]. None of these functions is ever minimised, because the loss
that a picture was painted with only shows that the optimiser worked.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from impasto.losses.statistics import gram
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.pictures.geometry import fit, resample

__all__ = [
    "edge_agreement",
    "feature_distances",
    "grain",
    "grain_where_smooth",
    "palette_distance",
    "pattern_distances",
    "psnr",
    "ssim",
    "stroke_width",
    "style_distances",
    "usable_layers",
]

#: Rec. 709 weights of the gamma-encoded channels. Structure and edges are measured in luma alone.
LUMA = (0.2126, 0.7152, 0.0722)


def luma(picture: Tensor) -> Tensor:
    """Luma of a picture, (1, 1, H, W) in [0, 1]."""
    return (picture * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio of two pictures in dB over all channels; infinite if they are equal."""
    if torch.equal(a, b):
        return math.inf
    x, y = (picture.double().numpy() for picture in (a, b))
    return float(peak_signal_noise_ratio(x, y, data_range=1.0))


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of luma in [-1, 1], 1 for equal pictures (Wang et al. 2004).

    Gaussian window of σ = 1.5 pixels (11×11), K = (0.01, 0.03), mean over the positions whose window lies
    inside; pictures of fewer than 11 pixels a side have none, and no SSIM (NaN).
    """
    if min(a.shape[-2:]) < 11:
        return math.nan
    x, y = (luma(picture).double()[0, 0].numpy() for picture in (a, b))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(structural_similarity(x, y, **options))


def _blur(plane: Tensor, sigma: float, radius: int) -> Tensor:
    """Gaussian blur of (1, 1, H, W) where the whole window fits: (1, 1, H − 2r, W − 2r)."""
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=plane.dtype) / sigma) ** 2)
    line = line / line.sum()
    return F.conv2d(F.conv2d(plane, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))


def edge_agreement(a: Tensor, b: Tensor) -> float:
    """Correlation of the edge strengths of two pictures of the same size, in [-1, 1].

    Edge strength is the Sobel gradient of luma, blurred by a hundredth of the long side, so that an outline
    which is moved by the width of a brush still counts. 0 if one of the pictures has no edges at all.
    """
    sigma = max(a.shape[-2:]) / 100.0
    x, y = (_edges(picture, sigma) for picture in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = float(x.norm() * y.norm())
    return float((x * y).sum()) / scale if scale > 1e-12 else 0.0


def _edges(picture: Tensor, sigma: float) -> Tensor:
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], dtype=torch.float64) / 8.0
    plane = F.pad(luma(picture).double(), (1, 1, 1, 1), mode="replicate")
    both = torch.stack([kernel, kernel.T])[:, None]
    strength = F.conv2d(plane, both).square().sum(1, keepdim=True).sqrt()
    radius = max(1, round(3 * sigma))
    return _blur(F.pad(strength, (radius,) * 4, mode="replicate"), sigma, radius)


def grain(picture: Tensor, style: Tensor) -> float:
    """Ratio of the energy of the finest detail to the style's; far above 1: noise or a checkerboard pattern.

    The energy is the mean square of luma minus its blur of σ = 1 pixel, that is, of what is finer than about
    three pixels. The style is resampled to the size of the picture, as while painting, but never enlarged.
    Infinite for a flat style.
    """
    height, width = style.shape[-2:]
    size = fit(height, width, min(max(height, width), max(picture.shape[-2:])))
    detail = float(_finest(picture).mean())
    style_detail = float(_finest(resample(style, size)).mean())
    return detail / style_detail if style_detail > 1e-12 else (math.inf if detail > 1e-12 else 1.0)


def grain_where_smooth(picture: Tensor, content: Tensor, *, share: float = 0.25) -> float:
    """Finest detail of a picture where its content is smoothest, as a root mean square of luma in [0, 1].

    Skies and walls should stay smooth: 0.004 is one level of 8 bits, 0.02 is seen as noise.

    Args:
        content: of the same size.
        share: share of the content that counts as smooth: where luma varies least within about 10 pixels.
    """
    plane = luma(content).double()
    radius = min(8, min(plane.shape[-2:]) - 1)
    padding = (radius + 3,) * 4
    mode = "reflect" if min(plane.shape[-2:]) > radius + 3 else "replicate"
    padded = F.pad(plane, padding, mode=mode)
    variation = _blur(padded.square(), 4.0, radius + 3) - _blur(padded, 4.0, radius + 3).square()
    smooth = variation <= variation.flatten().kthvalue(max(1, int(share * variation.numel()))).values
    return math.sqrt(float(_finest(picture)[smooth].mean()))


def _finest(picture: Tensor) -> Tensor:
    """(1, 1, H, W): squared difference of luma from its blur of one pixel."""
    plane = luma(picture).double()
    return (plane - _blur(F.pad(plane, (3,) * 4, mode="replicate"), 1.0, 3)).square()


def palette_distance(a: Tensor, b: Tensor, *, directions: int = 32, quantiles: int = 256) -> float:
    """Distance of two pictures' colours, whatever their positions: ΔE, 0 for equal palettes.

    Sliced Wasserstein-1 distance of the two clouds of CIELAB colours (Rabin et al. 2011): the mean, over
    fixed directions, of the distance between the sorted projections.
    """
    axes = np.random.RandomState(0).standard_normal((3, directions))
    axes /= np.linalg.norm(axes, axis=0)
    levels = (np.arange(quantiles) + 0.5) / quantiles
    x, y = (
        np.quantile(_lab(picture) @ axes, levels, axis=0) for picture in (a, b)
    )  # (quantiles, directions)
    return float(np.abs(x - y).mean())


def _lab(picture: Tensor) -> NDArray[np.float64]:
    """(M, 3) CIELAB colours."""
    pixels = picture[0].permute(1, 2, 0).double().numpy()
    lab: NDArray[np.float64] = rgb2lab(pixels).reshape(-1, 3)
    return lab


def pattern_distances(
    picture: Tensor, style: Tensor, *, sides: tuple[int, ...] = (16, 32), count: int = 1024
) -> tuple[float, float]:
    """How much of the style's patterns the picture lacks, and how much of the picture's the style lacks.

    After the bidirectional similarity of Simakov et al. 2008. Patches are reduced to 8×8 pixels, and their
    mean colour is subtracted. Each is then compared with the most similar patch of the other picture. The
    result is the share of their energy that remains as a difference: 0: all patterns are there; 1: nothing
    like them is. Palettes do not count, and flat areas count little, because they have little energy. The
    style is reduced to the size of the picture if it is larger.

    Args:
        sides: of the patches in pixels; the results are averaged.
        count: how many patches of each picture are compared, evenly distributed.
    """
    height, width = style.shape[-2:]
    style = resample(style, fit(height, width, min(max(height, width), max(picture.shape[-2:]))))
    missing, foreign = [], []
    for side in sides:
        a, b = (_patterns(image, side) for image in (picture, style))
        missing.append(_unexplained(b[:: max(1, len(b) // count)], a))
        foreign.append(_unexplained(a[:: max(1, len(a) // count)], b))
    return math.fsum(missing) / len(sides), math.fsum(foreign) / len(sides)


def _patterns(picture: Tensor, side: int) -> Tensor:
    """(n, 192): every patch of ``side`` pixels, reduced to 8×8 in 3 channels, minus its mean colour."""
    small = F.avg_pool2d(picture, max(1, side // 8))
    patches = F.unfold(small, min(8, *small.shape[-2:]))[0].T.unflatten(1, (3, -1))
    centred: Tensor = (patches - patches.mean(2, keepdim=True)).flatten(1)
    return centred


def _unexplained(wanted: Tensor, bank: Tensor) -> float:
    """Share of the energy of ``wanted`` (n, 192) that remains after subtracting the nearest of ``bank``."""
    norms = bank.square().sum(1)
    remaining = [
        (chunk.square().sum(1) + (norms - 2.0 * chunk @ bank.T).amin(1)).clamp_min(0.0)
        for chunk in wanted.split(128)
    ]
    energy = float(wanted.square().sum())
    return float(torch.cat(remaining).sum()) / energy if energy > 1e-9 else 0.0


def stroke_width(picture: Tensor) -> float:
    """Typical width of the strokes in pixels: twice the shift at which luma's autocorrelation falls to ½.

    Luma is taken minus its blur over a fifth of the long side, so that the large areas of light and shade do
    not count. Its autocorrelation is the Fourier transform of the power spectrum (Wiener–Khinchin), averaged
    over directions.
    """
    plane = luma(picture).double()
    sigma = max(picture.shape[-2:]) / 5.0
    radius = min(round(2 * sigma), min(picture.shape[-2:]) - 1)
    plane = (plane - _blur(F.pad(plane, (radius,) * 4, mode="reflect"), sigma, radius))[0, 0]
    plane = plane - plane.mean()
    power = torch.fft.fft2(plane).abs().square()
    correlation = torch.fft.ifft2(power).real
    if float(correlation[0, 0]) <= 1e-12:
        return 0.0
    return 2.0 * _half_width((correlation / correlation[0, 0]).numpy())


def _half_width(correlation: NDArray[np.float64]) -> float:
    """Distance in pixels at which a correlation (H, W), origin at [0, 0], averaged over rings falls to ½."""
    height, width = correlation.shape
    y, x = (np.minimum(np.arange(side), side - np.arange(side)) for side in (height, width))
    ring = np.rint(np.hypot(y[:, None], x[None, :])).astype(int).ravel()
    mean = np.bincount(ring, correlation.ravel()) / np.maximum(np.bincount(ring), 1)
    below = np.nonzero(mean < 0.5)[0]
    if not len(below):
        return float(len(mean))
    i = int(below[0])
    return float(i - 1 + (mean[i - 1] - 0.5) / (mean[i - 1] - mean[i]))


def usable_layers(encoder: Encoder, layers: tuple[str, ...], *pictures: Tensor) -> tuple[str, ...]:
    """Those of ``layers`` that the encoder has and that all the pictures are large enough for."""
    shortest = min(min(picture.shape[-2:]) for picture in pictures)
    return tuple(layer for layer in layers if layer in encoder.layers and geometry(layer).stride <= shortest)


@torch.no_grad()
def feature_distances(encoder: Encoder, a: Tensor, b: Tensor, layers: tuple[str, ...]) -> dict[str, float]:
    """Layer → ‖F(a) − F(b)‖² / ‖F(b)‖², without unit; 0 for equal features. Pictures of the same size."""
    layers = usable_layers(encoder, layers, a, b)
    x, y = encoder(a, layers), encoder(b, layers)
    return {layer: _relative(x[layer], y[layer]) for layer in layers}


@torch.no_grad()
def style_distances(encoder: Encoder, a: Tensor, b: Tensor, layers: tuple[str, ...]) -> dict[str, float]:
    """Layer → ‖G(a) − G(b)‖² / ‖G(b)‖² of Gram matrices averaged over positions; pictures of any size."""
    layers = usable_layers(encoder, layers, a, b)
    x, y = encoder(a, layers), encoder(b, layers)
    return {layer: _relative(gram(x[layer]), gram(y[layer])) for layer in layers}


def _relative(value: Tensor, target: Tensor) -> float:
    scale = float(target.double().square().sum())
    error = float((value - target).double().square().sum())
    return error / scale if scale > 0 else (0.0 if error == 0 else math.inf)
