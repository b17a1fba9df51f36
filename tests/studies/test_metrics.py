"""Measurements against their definitions, other people's code and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import j0
from scipy.stats import wasserstein_distance
from skimage.color import lab2rgb, rgb2lab
from skimage.filters import gaussian, sobel

from fakes import checks, picture, tiny_encoder
from impasto.studies import metrics

A, B = picture(48, 64, seed=1), picture(48, 64, seed=2)


def array(image: torch.Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).double().numpy()


def grey(image: torch.Tensor) -> np.ndarray:
    return array(image) @ np.array([0.2126, 0.7152, 0.0722])


def test_psnr_is_its_definition() -> None:
    expected = -10.0 * math.log10(((array(A) - array(B)) ** 2).mean())
    assert metrics.psnr(A, B) == pytest.approx(expected)
    assert metrics.psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)) == pytest.approx(
        20.0, abs=1e-4
    )
    assert metrics.psnr(A, A) == math.inf


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, window by window: 11×11, Gaussian of 1.5 pixels, population moments."""
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            p, q = (plane[top : top + 11, left : left + 11] for plane in (x, y))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            numerator = (2 * mean_p * mean_q + 0.01**2) * (2 * covariance + 0.03**2)
            values.append(numerator / ((mean_p**2 + mean_q**2 + 0.01**2) * (var_p + var_q + 0.03**2)))
    return float(np.mean(values))


@pytest.mark.parametrize("other", [A, B, 1.0 - A, A * 0.5])
def test_ssim_is_its_definition(other: torch.Tensor) -> None:
    assert metrics.ssim(A, other) == pytest.approx(ssim_by_hand(grey(A), grey(other)), abs=1e-6)


def test_ssim_of_a_picture_smaller_than_its_window_is_none() -> None:
    assert math.isnan(metrics.ssim(A[..., :10, :], B[..., :10, :]))


def test_edge_agreement_is_the_correlation_of_blurred_sobel_edges() -> None:
    sigma = 64 / 100
    x, y = (
        gaussian(sobel(grey(image), mode="nearest"), sigma, mode="nearest", truncate=3.0) for image in (A, B)
    )
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    assert metrics.edge_agreement(A, B) == pytest.approx(expected, abs=5e-3)


def test_edge_agreement_at_its_ends() -> None:
    assert metrics.edge_agreement(A, A) == pytest.approx(1.0)
    assert metrics.edge_agreement(A, 1.0 - A) == pytest.approx(1.0)  # an edge has no sign
    assert metrics.edge_agreement(A, torch.full_like(A, 0.5)) == 0.0


def test_palette_distance_is_scipys_over_the_same_directions() -> None:
    axes = np.random.RandomState(0).standard_normal((3, 32))
    axes /= np.linalg.norm(axes, axis=0)
    x, y = (rgb2lab(array(image)).reshape(-1, 3) @ axes for image in (A, B))
    expected = np.mean([wasserstein_distance(x[:, k], y[:, k]) for k in range(32)])
    assert metrics.palette_distance(A, B) == pytest.approx(expected, rel=0.01)


def test_palette_distance_knows_no_places_and_no_sizes() -> None:
    assert metrics.palette_distance(A, A.flip(-1)) == pytest.approx(0.0, abs=1e-9)
    assert metrics.palette_distance(A, A.repeat(1, 1, 2, 2)) == pytest.approx(0.0, abs=0.05)


def test_palette_distance_of_a_shift_is_the_mean_projection_of_the_shift() -> None:
    lab = np.zeros((20, 20, 3))
    lab[..., 0], other = 40.0, np.zeros((20, 20, 3))
    other[..., 0] = 60.0
    first, second = (
        torch.from_numpy(lab2rgb(colours)).permute(2, 0, 1)[None].float() for colours in (lab, other)
    )
    axes = np.random.RandomState(0).standard_normal((3, 32))
    expected = 20.0 * np.abs(axes[0] / np.linalg.norm(axes, axis=0)).mean()
    assert metrics.palette_distance(first, second) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("period", [16, 24])
def test_the_stroke_width_of_stripes_in_all_directions_is_known(period: int) -> None:
    """A wave's correlation is a cosine; over all directions, Bessel's J0; it is ½ at 1.521 radians."""
    assert j0(1.5211) == pytest.approx(0.5, abs=1e-3)
    x = torch.arange(160) * 2 * math.pi / period
    image = (0.5 + 0.4 * torch.sin(x)).expand(1, 3, 160, 160)
    expected = 2 * 1.5211 * period / (2 * math.pi)
    assert metrics.stroke_width(image) == pytest.approx(expected, rel=0.08)


def test_an_even_picture_has_no_strokes() -> None:
    assert metrics.stroke_width(torch.full((1, 3, 40, 40), 0.3)) == 0.0


def test_feature_and_style_distances_are_relative_squares() -> None:
    encoder, layers = tiny_encoder(), ("relu1_1", "relu3_1")
    x, y = (encoder(image, layers) for image in (A, B))
    for layer, value in metrics.feature_distances(encoder, A, B, layers).items():
        f, g = x[layer].double().numpy(), y[layer].double().numpy()
        assert value == pytest.approx(((f - g) ** 2).sum() / (g**2).sum(), rel=1e-4)
    for layer, value in metrics.style_distances(encoder, A, B, layers).items():
        f, g = (z[layer][0].flatten(1).double().numpy() for z in (x, y))
        f, g = f @ f.T / f.shape[1], g @ g.T / g.shape[1]
        assert value == pytest.approx(((f - g) ** 2).sum() / (g**2).sum(), rel=1e-4)


def test_distances_leave_out_layers_that_do_not_fit() -> None:
    distances = metrics.style_distances(
        tiny_encoder(), A, B[..., :6, :], ("relu1_1", "relu3_1", "relu5_1", "relu5_4")
    )
    assert list(distances) == ["relu1_1", "relu3_1"]


# -- patterns ----------------------------------------------------------------------------------------------


def test_patterns_that_stand_there_and_patterns_that_do_not():
    style = picture(64, 96, 3)
    assert metrics.pattern_distances(style, style) == pytest.approx((0.0, 0.0), abs=1e-5)
    paler = 0.5 + 0.2 * (style - style.mean())
    missing = metrics.pattern_distances(paler, style)[0]
    assert 0.3 < missing < 1.0  # the same pattern, weaker: most of its energy is not there
    brighter = (style + 0.1).clamp(0, 1)
    assert max(metrics.pattern_distances(brighter, (brighter - 0.1))) < 0.02  # palettes do not enter
    assert missing > 2 * metrics.pattern_distances(style.roll(8, -1), style)[0]


def test_half_of_the_pattern_is_missing_but_none_is_foreign():
    style = torch.cat([picture(32, 64, 3), checks(32, 64)], 2)
    missing, foreign = metrics.pattern_distances(style[..., 32:, :], style)
    assert foreign < 0.05
    assert missing > 0.1
    both = metrics.pattern_distances(style, style[..., 32:, :])
    assert both == pytest.approx((foreign, missing), abs=0.05)


def test_an_even_style_has_no_pattern_to_miss():
    assert metrics.pattern_distances(picture(64, 64), torch.full((1, 3, 64, 64), 0.5))[0] == 0.0


# -- grain -------------------------------------------------------------------------------------------------


def noise(amount: float, height: int = 64, width: int = 64) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 0.5 + amount * torch.randn(1, 3, height, width, generator=g)


def test_grain_of_the_style_itself_is_one_and_noise_adds_to_it():
    style = picture(64, 64)
    assert metrics.grain(style, style) == pytest.approx(1.0)
    assert metrics.grain(style + (noise(0.1) - 0.5), style) > 5.0
    assert metrics.grain(torch.full((1, 3, 64, 64), 0.5), style) < 1e-9
    assert metrics.grain(checks(64, 64, 1), style) > metrics.grain(checks(64, 64, 8), style)


def test_a_large_style_is_looked_at_as_large_as_the_picture():
    fine = checks(256, 256, 1)  # its squares are gone at a quarter of the size
    assert metrics.grain(checks(64, 64, 1), fine) > 100.0


def test_only_the_smooth_part_of_the_content_counts():
    content = noise(0.2)
    content[..., 32:] = 0.5
    loud, quiet = content.clone(), content.clone()
    loud[..., 32:] = noise(0.1)[..., 32:]
    quiet[..., :28] = noise(0.3)[..., :28]
    assert metrics.grain_where_smooth(content, content) < 0.01
    assert metrics.grain_where_smooth(quiet, content) < 0.01
    assert 0.03 < metrics.grain_where_smooth(loud, content) < 0.1


def test_small_pictures_are_measured_too():
    assert metrics.grain_where_smooth(noise(0.1, 4, 5), noise(0.1, 4, 5)) > 0
    assert metrics.grain(noise(0.1, 2, 2), noise(0.1, 3, 3)) > 0
