"""Statistics of features: Gram matrices and moments in every precision, and samples of positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, values
from impasto.losses import statistics
from impasto.losses.statistics import gram, gram_sum, layer_distance_sum, layer_gram_sum, moments
from impasto.networks.encoder import Features

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


@pytest.mark.parametrize("masked", [False, True])
def test_gram_behind_a_head_is_that_of_the_features(masked):
    generator = torch.Generator().manual_seed(3)
    raw, head = torch.rand(1, 5, 6, 7, generator=generator).double(), torch.rand(4, 5, generator=generator)
    weights = torch.rand(1, 1, 6, 7, generator=generator).double() if masked else None
    layers = {"relu1_1": raw.requires_grad_(True)}
    folded = layer_gram_sum(Features(layers, lambda layer: head), "relu1_1", weights)
    looked = Features(layers, lambda layer: head)
    plain = gram_sum(looked["relu1_1"], weights)
    assert torch.allclose(folded, plain, rtol=1e-12)
    slopes = [torch.autograd.grad(g.square().sum(), raw)[0] for g in (folded, plain)]
    assert torch.allclose(*slopes, rtol=1e-10)
    assert torch.equal(layer_gram_sum(looked, "relu1_1", weights), plain)


@pytest.mark.parametrize("positions", [(3, 4), (40, 53)])
def test_gram_in_bfloat16_sums_in_float32(positions):
    features = torch.randn(1, 8, *positions, generator=torch.Generator().manual_seed(1)).bfloat16()
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = features.clone(memory_format=layout).requires_grad_(True)
        total = gram_sum(leaf)
        exact = features.double()[0].flatten(1)
        assert total.dtype is torch.float32
        assert relative(total, exact @ exact.T) < 1e-3  # bfloat16 alone: 2e-3 and more
        (slope,) = torch.autograd.grad(total[0, 1] + total[2, 2], leaf)
        expected = torch.zeros_like(exact)
        expected[0], expected[1], expected[2] = exact[1], exact[0], 2 * exact[2]
        assert relative(slope[0].flatten(1), expected) < 0.01


def relative(total: Tensor, expected: Tensor) -> float:
    return float((total.detach().double() - expected).norm() / expected.norm())


def test_gradient_of_the_gram_matrix():
    features = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(gram_sum, (features,))
    assert torch.autograd.gradcheck(lambda f: gram_sum(f, weights), (features,))


def test_positions_are_a_fixed_fair_sample():
    at = statistics.sample_positions(50, 12, 13)
    assert torch.equal(at, statistics.sample_positions(50, 12, 13))
    assert len(at.unique()) == 50
    weights = torch.zeros(1, 1, 12, 13)
    weights[..., :4, :] = 1.0
    assert int(statistics.sample_positions(500, 12, 13, weights).max()) < 4 * 13
    weights[..., 4:, :] = 3.0
    drawn = statistics.sample_positions(78, 12, 13, weights)
    assert float((drawn >= 4 * 13).double().mean()) > 0.7


def test_rows_of_parts_add_up():
    features = torch.rand(1, 3, 6, 8)
    at = statistics.sample_positions(20, 6, 8)
    whole = statistics.gather_positions(features, at, (slice(0, 6), slice(0, 8)), 8)
    torch.testing.assert_close(whole, features[0].flatten(1)[:, at].T)
    parts = [(slice(a, b), slice(c, d)) for a, b in ((0, 2), (2, 6)) for c, d in ((0, 5), (5, 8))]
    found = sum(statistics.gather_positions(features[(..., *part)], at, part, 8) for part in parts)
    torch.testing.assert_close(found, whole)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_gram_and_moments(dtype, tolerance, masked):
    features = values(1, 5, 6, 7)
    weights = values(1, 1, 6, 7, seed=1, positive=True) if masked else None
    given = None if weights is None else weights.to(dtype)
    mean, second = moments(features.to(dtype), given)
    twin = oracles.moments(array(features[0]), None if weights is None else array(weights[0, 0]))
    assert mean.shape == (5,)
    np.testing.assert_allclose(array(mean), twin[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(array(second), twin[1], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        array(gram(features.to(dtype), given)), twin[1], rtol=tolerance, atol=tolerance
    )


def test_gram_knows_no_size_and_averages_linearly():
    features = values(1, 4, 6, 6)
    wide = torch.cat([features, features], dim=3)
    torch.testing.assert_close(gram(wide), gram(features))
    other = values(1, 4, 6, 6, seed=1)
    torch.testing.assert_close(
        gram(torch.cat([features, other], 3)), 0.5 * gram(features) + 0.5 * gram(other)
    )


@pytest.mark.parametrize("headed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_distance_before_the_head_is_that_after_it(headed, weighted):
    f, g, weights = values(1, 3, 4, 5), values(1, 3, 4, 5, seed=1), values(1, 1, 4, 5, seed=2).square()
    head = values(2, 3, seed=3) if headed else None
    a, b = (Features({"relu1_1": x}, lambda layer: head) for x in (f.requires_grad_(), g))
    t = weights if weighted else torch.ones(1, 1, 4, 5)
    after = (t * (a["relu1_1"] - b["relu1_1"]).square()).sum()
    found = layer_distance_sum(a, b, "relu1_1", weights if weighted else None)
    assert found.tolist() == pytest.approx([after.item()], rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda x: layer_distance_sum(Features({"relu1_1": x}, lambda layer: head), b, "relu1_1", t), f
    )
    from_zero = layer_distance_sum(b, None, "relu1_1", t)
    assert float(from_zero) == pytest.approx(float((t * b["relu1_1"].square()).sum()), rel=1e-12)
