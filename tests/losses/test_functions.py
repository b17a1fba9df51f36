"""Loss functions against their slow twins in `oracles.py`, their gradients, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import oracles
from fakes import array, values
from impasto.errors import RecipeError
from impasto.losses import functions, statistics
from impasto.losses.functions import (
    NORMALISATIONS,
    content_from_sums,
    gram_loss,
    temporal_loss,
    total_variation,
)
from impasto.losses.grids import Grid
from impasto.losses.statistics import gram, layer_distance_sum, moments
from impasto.networks.encoder import Features

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def content_loss(
    features: Tensor, target: Tensor, normalisation: str = "relative", mask: Tensor | None = None
) -> Tensor:
    """Of features (1, C, h, w), from the sums that the content's term adds up."""
    own, goal = Features({"relu1_1": features}), Features({"relu1_1": target})
    weights = Grid.on((features.shape[-2], features.shape[-1]), 1, mask).weights
    error = layer_distance_sum(own, goal, "relu1_1", weights)
    energy = layer_distance_sum(goal, None, "relu1_1", weights)
    count = energy.new_tensor([target.numel()])
    return content_from_sums(torch.cat([error, energy, count]), normalisation)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_content_loss(dtype, tolerance, normalisation, masked):
    features, target = values(1, 5, 6, 7), values(1, 5, 6, 7, seed=1)
    mask = torch.rand(1, 1, 13, 15, generator=torch.Generator().manual_seed(0)) if masked else None
    found = content_loss(
        features.to(dtype), target.to(dtype), normalisation, None if mask is None else mask.to(dtype)
    )
    twin = oracles.content_loss(
        array(features[0]), array(target[0]), normalisation, None if mask is None else array(mask[0, 0])
    )
    assert float(found) == pytest.approx(twin, rel=max(tolerance, 1e-7 if masked else 0))


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gram_loss(dtype, tolerance, normalisation):
    own, target = gram(values(1, 5, 6, 7)), gram(values(1, 5, 6, 7, seed=1))
    found = gram_loss(own.to(dtype), target.to(dtype), normalisation)
    assert float(found) == pytest.approx(
        oracles.gram_loss(array(own), array(target), normalisation), rel=tolerance
    )


def test_neural_style_is_four_over_c_squared_times_gatys():
    own, target = gram(values(1, 5, 6, 7)), gram(values(1, 5, 6, 7, seed=1))
    ratio = gram_loss(own, target, "neural-style") / gram_loss(own, target, "gatys")
    assert float(ratio) == pytest.approx(4 / 5**2)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_relative_losses_have_no_units(scale):
    a, b = values(1, 5, 6, 7), values(1, 5, 6, 7, seed=1)
    assert float(content_loss(a * scale, b * scale)) == pytest.approx(
        float(content_loss(a, b)), rel=1e-1**1.5
    )
    assert float(gram_loss(gram(a * scale), gram(b * scale))) == pytest.approx(
        float(gram_loss(gram(a), gram(b))), rel=1e-3
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_losses_of_the_target_itself_are_zero_and_of_a_dead_target_finite(normalisation):
    a, dead = values(1, 5, 6, 7), torch.zeros(1, 5, 6, 7, dtype=torch.float64)
    assert float(content_loss(a, a, normalisation)) == 0.0
    assert float(gram_loss(gram(a), gram(a), normalisation)) == 0.0
    for loss in (content_loss(a, dead, normalisation), gram_loss(gram(a), gram(dead), normalisation)):
        assert 0.0 < float(loss) < float("inf")


def test_an_unknown_normalisation_is_named_in_the_error():
    with pytest.raises(RecipeError, match=r"'gatis'.*relative, gatys, neural-style"):
        content_loss(values(1, 2, 3, 3), values(1, 2, 3, 3), "gatis")
    with pytest.raises(RecipeError, match="'gatis'"):
        gram_loss(values(2, 2), values(2, 2), "gatis")


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_total_variation(dtype, tolerance):
    image = values(1, 3, 5, 7)
    assert float(total_variation(image.to(dtype))) == pytest.approx(
        oracles.total_variation(array(image[0])), rel=tolerance
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_the_losses(normalisation, masked):
    features, target = values(1, 3, 4, 5).requires_grad_(), values(1, 3, 4, 5, seed=1)
    mask = values(1, 1, 4, 5, seed=2, positive=True) if masked else None
    assert gradcheck(lambda f: content_loss(f, target, normalisation, mask), features)
    assert gradcheck(lambda f: gram_loss(gram(f, mask), gram(target), normalisation), features)
    assert gradcheck(lambda f: moments(f, mask), features)


def test_gradient_of_the_total_variation():
    assert gradcheck(total_variation, values(1, 3, 4, 5).requires_grad_())


def test_temporal_loss_against_numpy() -> None:
    random = np.random.RandomState(0)
    image, past, trust = random.rand(3, 5, 7), random.rand(3, 5, 7), random.rand(5, 7)
    slow = 0.0
    for c in range(3):
        for y in range(5):
            for x in range(7):
                slow += trust[y, x] * (image[c, y, x] - past[c, y, x]) ** 2
    found = temporal_loss(
        *(torch.from_numpy(one)[None] for one in (image, past)), torch.from_numpy(trust)[None, None]
    )
    assert float(found) == pytest.approx(slow / (3 * 5 * 7), rel=1e-12)


def test_temporal_gradient_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    image, past = (torch.rand(1, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    trust = torch.rand(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    assert gradcheck(lambda x: temporal_loss(x, past, trust), image.requires_grad_(True))


def cloud(n: int = 40, c: int = 5, seed: int = 0) -> Tensor:
    random = np.random.RandomState(seed)
    return torch.from_numpy(random.standard_normal((n, c)) @ random.standard_normal((c, c)) + seed)


def packed(points: Tensor) -> Tensor:
    return statistics.moment_sum(points.T[None, :, :, None]) / len(points)


ON_CLOUDS = {
    "wasserstein": (lambda a, b: functions.wasserstein_loss(packed(a), packed(b)), oracles.wasserstein_loss),
    "histogram": (functions.histogram_loss, oracles.sorted_gap),
    "remd": (functions.relaxed_emd_loss, oracles.relaxed_emd),
    "self-similarity": (functions.self_similarity_loss, oracles.self_similarity),
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
    found = float(functions.sliced_loss(a, b))
    noise = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = np.linalg.qr(noise.numpy())[0]
    assert found == pytest.approx(oracles.sorted_gap(a.numpy() @ frame, b.numpy() @ frame), rel=1e-7)
    assert gradcheck(lambda x: functions.sliced_loss(x, b), a.requires_grad_(), rtol=1e-3)
    assert float(functions.sliced_loss(b[torch.randperm(12)], b)) == pytest.approx(0.0, abs=1e-12)


def test_more_points_of_the_same_cloud_are_the_same_cloud():
    a = cloud(64)
    assert float(functions.sliced_loss(a.repeat(3, 1), a)) < 2e-3
    assert float(functions.histogram_loss(cloud(4000, seed=2)[:1500], cloud(4000, seed=2))) < 5e-3


def test_nearest_loss():
    f, t, c = (torch.from_numpy(np.random.RandomState(s).standard_normal((1, 3, 4, 5))) for s in range(3))
    centre, weights = c[0, :, 0, 0], c[:, :1].abs()
    twin = sum(
        float(weights[0, 0, y, x])
        * oracles.cosine_distance(*((one[0, :, y, x] - centre).numpy() for one in (f, t)))
        for y in range(4) for x in range(5)
    )  # fmt: skip
    unit = functions.directions(t, centre)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(1, 4, 5, dtype=torch.float64))
    assert float(functions.nearest_loss(f, unit, centre, weights)) == pytest.approx(twin, rel=1e-9)
    assert float(functions.nearest_loss(t, unit, centre)) == pytest.approx(0.0, abs=1e-9)
    assert gradcheck(lambda x: functions.nearest_loss(x, unit, centre, weights), f.requires_grad_())
    assert gradcheck(lambda x: functions.nearest_loss(x, unit, centre), f)


@pytest.mark.parametrize("dead", ["own", "target", "both"])
def test_dead_layers_do_no_harm(dead):
    a = torch.zeros(12, 5) if dead != "target" else cloud(12).float()
    b = torch.zeros(12, 5) if dead != "own" else cloud(12, seed=1).float()
    for loss in (*(pair[0] for pair in ON_CLOUDS.values()), functions.sliced_loss):
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
    grams = [statistics.gram(one.T[None, :, :, None]) for one in (a, b)]
    assert float(functions.gram_loss(*grams)) < 1e-9
    assert float(functions.wasserstein_loss(packed(a), packed(b))) < 1e-3
    assert float(functions.histogram_loss(a, b)) > 0.1
