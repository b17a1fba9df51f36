"""Style losses beyond the Gram matrix: float64 twins, gradients, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import oracles
from impasto import descriptors, losses


def cloud(n: int = 40, c: int = 5, seed: int = 0) -> Tensor:
    random = np.random.RandomState(seed)
    return torch.from_numpy(random.standard_normal((n, c)) @ random.standard_normal((c, c)) + seed)


def packed(points: Tensor) -> Tensor:
    return descriptors.moment_sum(points.T[None, :, :, None]) / len(points)


ON_CLOUDS = {
    "wasserstein": (lambda a, b: losses.wasserstein_loss(packed(a), packed(b)), oracles.wasserstein_loss),
    "histogram": (losses.histogram_loss, oracles.sorted_gap),
    "remd": (losses.relaxed_emd_loss, oracles.relaxed_emd),
    "self-similarity": (losses.self_similarity_loss, oracles.self_similarity),
}


@pytest.mark.parametrize("name", ON_CLOUDS)
def test_twins_gradients_and_zero(name):
    loss, twin = ON_CLOUDS[name]
    a, b = cloud(12), cloud(12, seed=1)
    assert float(loss(a, b)) == pytest.approx(twin(a.numpy(), b.numpy()), rel=1e-7)
    assert float(loss(a.float(), b.float())) == pytest.approx(twin(a.numpy(), b.numpy()), rel=1e-3)
    assert float(loss(b, b)) == pytest.approx(0.0, abs=1e-9)
    assert gradcheck(lambda x: loss(x, b), a.requires_grad_(), rtol=1e-3)


def test_sliced_is_the_histograms_along_other_axes():
    a, b = cloud(12), cloud(12, seed=1)
    found = float(losses.sliced_loss(a, b))
    noise = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = np.linalg.qr(noise.numpy())[0]
    assert found == pytest.approx(oracles.sorted_gap(a.numpy() @ frame, b.numpy() @ frame), rel=1e-7)
    assert gradcheck(lambda x: losses.sliced_loss(x, b), a.requires_grad_(), rtol=1e-3)
    assert float(losses.sliced_loss(b[torch.randperm(12)], b)) == pytest.approx(0.0, abs=1e-12)


def test_more_points_of_the_same_cloud_are_the_same_cloud():
    a = cloud(64)
    assert float(losses.sliced_loss(a.repeat(3, 1), a)) < 2e-3
    assert float(losses.histogram_loss(cloud(4000, seed=2)[:1500], cloud(4000, seed=2))) < 5e-3


def test_nearest_loss():
    f, t, c = (torch.from_numpy(np.random.RandomState(s).standard_normal((1, 3, 4, 5))) for s in range(3))
    centre, weights = c[0, :, 0, 0], c[:, :1].abs()
    twin = sum(
        float(weights[0, 0, y, x])
        * oracles.cosine_distance(*((one[0, :, y, x] - centre).numpy() for one in (f, t)))
        for y in range(4) for x in range(5)
    )  # fmt: skip
    assert float(losses.nearest_loss(f, t, centre, weights)) == pytest.approx(twin, rel=1e-9)
    assert float(losses.nearest_loss(t, t, centre)) == pytest.approx(0.0, abs=1e-9)
    assert gradcheck(lambda x: losses.nearest_loss(x, t, centre, weights), f.requires_grad_())


@pytest.mark.parametrize("dead", ["own", "target", "both"])
def test_dead_layers_do_no_harm(dead):
    a = torch.zeros(12, 5) if dead != "target" else cloud(12).float()
    b = torch.zeros(12, 5) if dead != "own" else cloud(12, seed=1).float()
    for loss in (*(pair[0] for pair in ON_CLOUDS.values()), losses.sliced_loss):
        leaf = a.clone().requires_grad_()
        value = loss(leaf, b)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert bool(torch.isfinite(value))
        assert bool(torch.isfinite(gradient).all())


def test_gram_cannot_tell_what_the_others_can():
    # Two clouds with the same second moments: a Gaussian and points on its axes' ends.
    points = torch.cat([torch.eye(4), -torch.eye(4)]).double() * 2.0
    smooth = torch.from_numpy(np.random.RandomState(0).standard_normal((8000, 4)))
    smooth = smooth @ torch.linalg.inv(torch.linalg.cholesky(smooth.T @ smooth / 8000).T)
    a, b = smooth, points[torch.arange(8000) % 8]
    grams = [descriptors.gram(one.T[None, :, :, None]) for one in (a, b)]
    assert float(losses.gram_loss(*grams)) < 1e-9
    assert float(losses.wasserstein_loss(packed(a), packed(b))) < 1e-3
    assert float(losses.histogram_loss(a, b)) > 0.1


def test_positions_are_a_fixed_fair_sample():
    at = descriptors.positions(50, 12, 13)
    assert torch.equal(at, descriptors.positions(50, 12, 13))
    assert len(at.unique()) == 50
    weights = torch.zeros(1, 1, 12, 13)
    weights[..., :4, :] = 1.0
    assert int(descriptors.positions(500, 12, 13, weights).max()) < 4 * 13
    weights[..., 4:, :] = 3.0
    drawn = descriptors.positions(78, 12, 13, weights)
    assert float((drawn >= 4 * 13).double().mean()) > 0.7


def test_rows_of_parts_add_up():
    features = torch.rand(1, 3, 6, 8)
    at = descriptors.positions(20, 6, 8)
    whole = descriptors.rows(features, at, (slice(0, 6), slice(0, 8)), 8)
    torch.testing.assert_close(whole, features[0].flatten(1)[:, at].T)
    parts = [(slice(a, b), slice(c, d)) for a, b in ((0, 2), (2, 6)) for c, d in ((0, 5), (5, 8))]
    found = sum(descriptors.rows(features[(..., *part)], at, part, 8) for part in parts)
    torch.testing.assert_close(found, whole)
