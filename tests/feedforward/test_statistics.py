"""Moments against NumPy, weights, and mixtures."""

from __future__ import annotations

import numpy as np
import torch

from impasto.feedforward.statistics import feature_bank, feature_moments, layer_weights


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_moments_are_numpys():
    f, weights = random(1, 4, 6, 5) + 100, random(1, 1, 6, 5, seed=1)
    found = feature_moments(f, weights)
    x, t = f[0].flatten(1).double().numpy(), weights.flatten().double().numpy()
    np.testing.assert_allclose(found.mean[0], np.average(x, axis=1, weights=t), rtol=1e-6)
    np.testing.assert_allclose(found.covariance[0], np.cov(x, aweights=t, ddof=0), rtol=1e-4, atol=1e-6)


def test_moments_of_parts_average_to_those_of_the_whole():
    f = random(1, 4, 10, 6)
    parts = feature_moments(f[:, :, :4]).blend(feature_moments(f[:, :, 4:]), 0.6)
    whole = feature_moments(f)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.second, whole.second, rtol=1e-6, atol=1e-7)


def test_a_bank_holds_features_of_the_picture():
    f = random(1, 3, 40, 40)
    bank = feature_bank(f, 50)
    assert bank.shape == (1, 50, 3)
    assert float(torch.cdist(bank[0], f[0].flatten(1).T).min(1).values.max()) < 1e-3


def test_weights_of_a_layer_are_means_of_pixels():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :2] = 1
    assert layer_weights(mask, 4).tolist() == [[[[0.5, 0.0], [0.0, 0.0]]]]
