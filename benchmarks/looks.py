"""Measures of how a painting looks, each a number computed from the painting, its content and its style.

They quantify the reasons that people gave in blind comparisons of paintings. ``preference.py agreement``
shows whether a measure agrees with people: none of them is a goal by itself.

Pictures are (1, 3, H, W), sRGB, [0, 1]; content and painting of one size. Frequencies are bands between two
Gaussian blurs, in pixels of the painting; so a picture is compared at the size at which it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from torch import Tensor

from impasto.pictures.colour import monge_map, palette_moments, to_oklab
from impasto.pictures.geometry import fit, resample

__all__ = ["MEASURES", "measure"]

Plane = npt.NDArray[np.float64]


def planes(picture: Tensor) -> tuple[Plane, Plane, Plane]:
    """OKLab's L, a and b, (H, W) each."""
    lightness, a, b = to_oklab(picture.double())[0].numpy()
    return lightness, a, b


def band(plane: Plane, fine: float, coarse: float) -> Plane:
    """Difference of two Gaussian blurs of ``fine`` and ``coarse`` pixels (standard deviation; 0: no blur)."""
    blurred = ndimage.gaussian_filter(plane, fine) if fine else plane
    return blurred - ndimage.gaussian_filter(plane, coarse)


def edge_strength(lightness: Plane, sigma: float) -> Plane:
    """Gradient magnitude of the lightness at a scale of ``sigma`` pixels."""
    return ndimage.gaussian_gradient_magnitude(lightness, sigma)


def smooth_places(lightness: Plane, share: float = 0.3) -> npt.NDArray[np.bool_]:
    """Mask (H, W) of the ``share`` of a picture that varies least: sky, skin, walls."""
    activity = ndimage.gaussian_filter(np.abs(band(lightness, 0.0, 6.0)), 8.0)
    return activity <= np.quantile(activity, share)


def outlines(lightness: Plane, share: float = 0.08) -> npt.NDArray[np.bool_]:
    """Mask (H, W) of the ``share`` of a picture with the strongest edges at a coarse scale."""
    strength = edge_strength(lightness, 2.5)
    return strength >= np.quantile(strength, 1.0 - share)


def rms(values: Plane) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def photographic_detail(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """Correlation of the fine lightness with the content's, where the content has texture but no outline.

    1: all of the photograph's pores and grain are still there; 0: none.
    """
    painted, original = planes(painting)[0], planes(content)[0]
    near_outline = ndimage.binary_dilation(outlines(original), iterations=4)
    textured = ~near_outline & ~smooth_places(original)
    a, b = band(painted, 0.0, 2.0)[textured], band(original, 0.0, 2.0)[textured]
    scale = rms(a - a.mean()) * rms(b - b.mean()) if a.size else 0.0
    return float(np.mean((a - a.mean()) * (b - b.mean())) / scale) if scale > 0 else 0.0


def finest_chroma(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """RMS of the finest band of OKLab's a and b over that of the style: above 1 the painting shimmers."""
    painted, reference = (
        rms(np.stack([band(plane, 0.0, 1.0) for plane in planes(picture)[1:]]))
        for picture in (painting, style)
    )
    return painted / max(reference, 1e-4)


def ghosts(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """Structure of 2 to 12 pixels where the content is smooth, over that in the style's smooth half."""
    smooth = smooth_places(planes(content)[0])
    painted = rms(band(planes(painting)[0], 2.0, 12.0)[smooth])
    lightness = planes(style)[0]
    return painted / max(rms(band(lightness, 2.0, 12.0)[smooth_places(lightness, 0.5)]), 1e-3)


def grid(painting: Tensor, content: Tensor, style: Tensor, side: int = 64) -> float:
    """The strongest peak of the spectrum over its neighbourhood, in the smooth windows of the picture.

    Median over windows; random texture has about 3, a weave that repeats every few pixels 8 and more.
    """
    lightness = planes(painting)[0]
    smooth = smooth_places(planes(content)[0])
    window = np.hanning(side)[:, None] * np.hanning(side)
    peaks = []
    for y in range(0, lightness.shape[0] - side + 1, side // 2):
        for x in range(0, lightness.shape[1] - side + 1, side // 2):
            tile = slice(y, y + side), slice(x, x + side)
            if smooth[tile].mean() < 0.6:
                continue
            spectrum = np.abs(np.fft.fft2(band(lightness[tile], 0.0, 6.0) * window))
            frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
            around = ndimage.uniform_filter(spectrum, 9, mode="wrap")
            relevant = (frequency > 0.06) & (frequency < 0.5)
            peaks.append(float((spectrum / (around + 1e-9))[relevant].max()))
    return float(np.median(peaks)) if peaks else 0.0


def contours(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """Fine edge strength along the content's outlines over that elsewhere: high if lines follow the forms."""
    along = ndimage.binary_dilation(outlines(planes(content)[0]), iterations=2)
    strength = edge_strength(planes(painting)[0], 1.0)
    return float(strength[along].mean() / max(float(strength[~along].mean()), 1e-6))


def key_features(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """Share of the content's strongest outlines that are outlines of the painting too, within two pixels."""
    expected = outlines(planes(content)[0], 0.05)
    present = ndimage.binary_dilation(outlines(planes(painting)[0], 0.12), iterations=2)
    return float((expected & present).sum() / max(int(expected.sum()), 1))


def palette_distance(painting: Tensor, content: Tensor, style: Tensor) -> float:
    """Wasserstein-2 distance between the colours of painting and style in OKLab, taken as Gaussians."""
    (mean, second), (style_mean, style_second) = (palette_moments(p) for p in (painting, style))
    covariance, target = second - mean.outer(mean), style_second - style_mean.outer(style_mean)
    moved = monge_map(covariance, target) @ covariance
    spread = covariance.trace() + target.trace() - 2.0 * moved.trace()
    return float(((mean - style_mean).square().sum() + spread.clamp_min(0.0)).sqrt())


def leftover_hue(painting: Tensor, content: Tensor, style: Tensor, bins: int = 24) -> float:
    """Share of the painting's chroma in hues that are frequent in the content and rare in the style."""

    def histogram(picture: Tensor) -> Plane:
        _, a, b = planes(picture)
        hue = (np.arctan2(b, a) / (2 * np.pi) * bins).astype(int) % bins
        weights = np.bincount(hue.ravel(), np.hypot(a, b).ravel(), bins)
        return ndimage.gaussian_filter1d(weights / max(weights.sum(), 1e-9), 0.7, mode="wrap")

    painted, original, reference = (histogram(p) for p in (painting, content, style))
    foreign = (original > 1.0 / bins) & (reference < 0.25 / bins)
    return float(painted[foreign].sum())


#: name → measure(painting, content, style).
MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor], float]] = {
    "photographic_detail": photographic_detail,
    "finest_chroma": finest_chroma,
    "ghosts": ghosts,
    "grid": grid,
    "contours": contours,
    "key_features": key_features,
    "palette_distance": palette_distance,
    "leftover_hue": leftover_hue,
}


def measure(painting: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
    """All measures of a painting; content and style are brought to its size first."""
    size = (int(painting.shape[-2]), int(painting.shape[-1]))
    content = resample(content, size)
    height, width = style.shape[-2:]
    style = resample(style, fit(height, width, min(max(size), max(height, width))))
    return {name: function(painting, content, style) for name, function in MEASURES.items()}
