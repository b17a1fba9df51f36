"""The optimal-transport map against a slow float64 twin, and the nearest features against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from impasto.feedforward.maps import CONTENT_FLOOR, CONTRAST, evenness, nearest, smoothed, transport
from impasto.feedforward.statistics import feature_moments


def features(seed: int, channels: int = 6, side: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator) + 4 * torch.eye(channels)
    white = torch.randn(1, channels, side, side, generator=generator)
    return torch.einsum("dc,nchw->ndhw", mixing, white) + torch.randn(1, channels, 1, 1, generator=generator)


def oracle(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """C^-½ (C^½ S C^½)^½ C^-½, the map's other textbook form, by general matrix square roots."""
    c, s = np.cov(content, bias=True), np.cov(style, bias=True)
    c = c + CONTENT_FLOOR * np.trace(c) * np.eye(len(c))
    root = scipy.linalg.sqrtm(c).real
    inverse = np.linalg.inv(root)
    return inverse @ scipy.linalg.sqrtm(root @ s @ root).real @ inverse


def test_transport_is_the_textbook_map():
    content, style = features(1), features(2)
    move = transport(feature_moments(content), feature_moments(style))
    expected = oracle(content[0].flatten(1).double().numpy(), style[0].flatten(1).double().numpy())
    np.testing.assert_allclose(move.matrix[0].numpy(), CONTRAST * expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(move.matrix[0], move.matrix[0].T, atol=1e-4)


@pytest.mark.slow
def test_moved_features_have_the_styles_mean_and_its_covariance_with_more_contrast():
    content, style = features(3), features(4)
    target = feature_moments(style)
    moved = feature_moments(transport(feature_moments(content), target)(content))
    torch.testing.assert_close(moved.mean, target.mean, rtol=1e-4, atol=1e-4)
    wanted = CONTRAST**2 * target.covariance
    assert (moved.covariance - wanted).norm() < 0.01 * wanted.norm()
    assert (feature_moments(content).covariance - target.covariance).norm() > 0.3 * target.covariance.norm()


def test_strength_goes_from_nothing_to_everything():
    content, style = feature_moments(features(5)), feature_moments(features(6))
    still = transport(content, style, 0.0)
    torch.testing.assert_close(still.matrix[0], torch.eye(6))
    torch.testing.assert_close(still(features(7)), features(7), atol=1e-5, rtol=0)
    half, full = transport(content, style, 0.5), transport(content, style)
    torch.testing.assert_close(half.matrix, (full.matrix + still.matrix) / 2)


def test_a_cost_is_that_of_features_stretched_by_its_root():
    content, style = features(1), features(2)
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(3)).double()
    root = root @ root.T + torch.eye(6)
    move = transport(feature_moments(content), feature_moments(style), cost=root @ root)
    c, s = (feature_moments(f).covariance[0] for f in (content, style))
    c = c + CONTENT_FLOOR * c.trace() * torch.eye(6)
    c, s = (scipy.linalg.sqrtm((root @ m @ root).numpy()).real for m in (c, s))
    inverse = np.linalg.inv(c)
    stretched = inverse @ scipy.linalg.sqrtm(c @ s @ s @ c).real @ inverse
    expected = np.linalg.inv(root.numpy()) @ stretched @ root.numpy()
    np.testing.assert_allclose(move.matrix[0].numpy(), CONTRAST * expected, rtol=1e-3, atol=1e-3)
    moved = feature_moments(move(content)).covariance
    wanted = CONTRAST**2 * feature_moments(style).covariance
    assert (moved - wanted).norm() < 0.01 * wanted.norm()


def test_a_costly_direction_keeps_its_order():
    """What is bright and even in the content, and bright and rough in the style, stays bright."""
    light, rough = torch.randn(2, 4096, generator=torch.Generator().manual_seed(4)).double()
    content = torch.stack([light, -2.0 * light + 0.3 * rough]).view(1, 2, 64, 64)
    style = torch.stack([light, 2.0 * light + 0.3 * rough]).view(1, 2, 64, 64)
    moments = feature_moments(content), feature_moments(style)
    plain = transport(*moments)(content.float())[:, 0]
    costly = transport(*moments, cost=torch.diag(torch.tensor([100.0, 1.0])).double())(content.float())[:, 0]
    order = [float(torch.corrcoef(torch.stack([x.flatten(), light.float()]))[0, 1]) for x in (plain, costly)]
    assert order[0] < 0
    assert order[1] > 0.9


def test_directions_without_variation_are_not_amplified():
    content = features(7)
    content[:, 0] = 1e-4 * content[:, 0]
    move = transport(feature_moments(content), feature_moments(features(8)))
    assert float(move(content)[:, 0].std()) < CONTRAST * float(features(8)[:, 0].std())


def test_noise_takes_on_the_styles_covariance():
    target = feature_moments(features(9))
    noise = torch.randn(1, 6, 128, 128, generator=torch.Generator().manual_seed(0))
    coloured = feature_moments(transport(feature_moments(features(10)), target).colour(noise))
    assert (coloured.covariance - target.covariance).norm() < 0.05 * target.covariance.norm()


def test_ground_is_even_near_the_styles_mean():
    style, mean = features(12), torch.tensor([[0.5, -1.0, 0.0, 2.0, 0.0, 0.0]])
    root = transport(feature_moments(style), feature_moments(style)).style_root
    variance = float(feature_moments(style).covariance[0].trace())
    moved = features(13)
    even = evenness(moved, mean.double(), root)
    assert even.shape == (1, 1, *moved.shape[2:])
    for y, x in ((0, 0), (2, 3)):
        distance = sum((float(moved[0, c, y, x]) - float(mean[0, c])) ** 2 for c in range(6))
        assert float(even[0, 0, y, x]) == pytest.approx(math.exp(-distance / variance), rel=1e-3)
    assert float(evenness(mean[:, :, None, None], mean, root)) == pytest.approx(1.0)


def test_smoothed_is_a_weighted_mean_without_chequers():
    x = features(14)[..., :5, :7]
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = sum(weights[i, j] * padded[..., i : i + 5, j : j + 7] for i in range(3) for j in range(3))
    np.testing.assert_allclose(smoothed(x), expected, atol=1e-5)
    chequers = (-1.0) ** torch.arange(8)[:, None] * (-1.0) ** torch.arange(8)
    assert float(smoothed(chequers[None, None]).abs().max()) < 1e-7


def test_nearest_is_what_a_loop_finds():
    generator = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(2, 30, 5, generator=generator), torch.randn(2, 20, 5, generator=generator)
    mean, head = torch.randn(2, 5, generator=generator), torch.randn(4, 5, generator=generator)
    index = nearest(queries, bank, mean, head)
    for n in range(2):
        q = (queries[n] - mean[n]).double().numpy() @ head.double().numpy().T
        k = (bank[n] - mean[n]).double().numpy() @ head.double().numpy().T
        cosine = (q @ k.T) / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(k, axis=1)
        assert index[n].tolist() == cosine.argmax(1).tolist()
