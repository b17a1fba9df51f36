"""Measurements against other people's code and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import j0
from scipy.stats import wasserstein_distance
from skimage.color import lab2rgb, rgb2lab
from skimage.filters import gaussian, sobel
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fakes import checks, picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.studies import judges, metrics

A, B = picture(48, 64, seed=1), picture(48, 64, seed=2)


def array(image: torch.Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).double().numpy()


def grey(image: torch.Tensor) -> np.ndarray:
    return array(image) @ np.array([0.2126, 0.7152, 0.0722])


def test_psnr_is_scikit_images() -> None:
    assert metrics.psnr(A, B) == pytest.approx(peak_signal_noise_ratio(array(A), array(B), data_range=1.0))
    assert metrics.psnr(A, A) == math.inf


@pytest.mark.parametrize("other", [A, B, 1.0 - A, A * 0.5])
def test_ssim_is_scikit_images(other: torch.Tensor) -> None:
    expected = structural_similarity(
        grey(A), grey(other), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert metrics.ssim(A, other) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_picture_smaller_than_its_window_is_none() -> None:
    assert math.isnan(metrics.ssim(A[..., :10, :], B[..., :10, :]))


def test_edge_agreement_is_the_correlation_of_blurred_sobel_edges() -> None:
    sigma = 64 / 100
    x, y = (gaussian(sobel(grey(one), mode="nearest"), sigma, mode="nearest", truncate=3.0) for one in (A, B))
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    assert metrics.edge_agreement(A, B) == pytest.approx(expected, abs=5e-3)


def test_edge_agreement_at_its_ends() -> None:
    assert metrics.edge_agreement(A, A) == pytest.approx(1.0)
    assert metrics.edge_agreement(A, 1.0 - A) == pytest.approx(1.0)  # an edge has no sign
    assert metrics.edge_agreement(A, torch.full_like(A, 0.5)) == 0.0


def test_palette_distance_is_scipys_over_the_same_directions() -> None:
    axes = np.random.RandomState(0).standard_normal((3, 32))
    axes /= np.linalg.norm(axes, axis=0)
    x, y = (rgb2lab(array(one)).reshape(-1, 3) @ axes for one in (A, B))
    expected = np.mean([wasserstein_distance(x[:, k], y[:, k]) for k in range(32)])
    assert metrics.palette_distance(A, B) == pytest.approx(expected, rel=0.01)


def test_palette_distance_knows_no_places_and_no_sizes() -> None:
    assert metrics.palette_distance(A, A.flip(-1)) == pytest.approx(0.0, abs=1e-9)
    assert metrics.palette_distance(A, A.repeat(1, 1, 2, 2)) == pytest.approx(0.0, abs=0.05)


def test_palette_distance_of_a_shift_is_the_mean_projection_of_the_shift() -> None:
    lab = np.zeros((20, 20, 3))
    lab[..., 0], other = 40.0, np.zeros((20, 20, 3))
    other[..., 0] = 60.0
    first, second = (torch.from_numpy(lab2rgb(one)).permute(2, 0, 1)[None].float() for one in (lab, other))
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
    x, y = (encoder(one, layers) for one in (A, B))
    for layer, value in metrics.feature_distances(encoder, A, B, layers).items():
        f, g = x[layer].double().numpy(), y[layer].double().numpy()
        assert value == pytest.approx(((f - g) ** 2).sum() / (g**2).sum(), rel=1e-4)
    for layer, value in metrics.style_distances(encoder, A, B, layers).items():
        f, g = (z[layer][0].flatten(1).double().numpy() for z in (x, y))
        f, g = f @ f.T / f.shape[1], g @ g.T / g.shape[1]
        assert value == pytest.approx(((f - g) ** 2).sum() / (g**2).sum(), rel=1e-4)


def test_distances_leave_out_layers_that_do_not_fit() -> None:
    found = metrics.style_distances(
        tiny_encoder(), A, B[..., :6, :], ("relu1_1", "relu3_1", "relu5_1", "relu5_4")
    )
    assert list(found) == ["relu1_1", "relu3_1"]


# -- judges --------------------------------------------------------------------------------------------------


def test_the_random_judge_is_always_the_same_and_sees_nothing_in_grey() -> None:
    first, second = judges.random_vgg(), judges.random_vgg()
    layers = judges.JUDGED
    for layer, value in first(A, layers).items():
        assert torch.equal(value, second(A, layers)[layer])
        assert float(value.abs().mean()) > 1e-2, layer
    assert all(float(v.abs().max()) < 1e-5 for v in first(torch.full((1, 3, 32, 32), 0.7), layers).values())


def test_no_encoder_judges_its_own_pictures() -> None:
    assert judges.choose("auto", None, {"compact"}).name == "random"
    assert judges.choose("auto", None, {"vgg19"}).name == "compact"
    with pytest.raises(RecipeError, match="optimised under it"):
        judges.choose("compact", None, {"compact"})
    with pytest.raises(RecipeError, match="unknown judge"):
        judges.choose("me", None, {"compact"})


# ----------------------------------------------------------------------------------------------- patterns


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
