"""Folded distances, and canvases that are being painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from impasto.training.policy import Canvases, folded_gram_distance, inner
from impasto.training.teacher import Teacher
from small_training import make_trainer


def test_folded_distances_are_those_of_the_wide_matrices() -> None:
    g = torch.Generator().manual_seed(0)
    w = torch.randn(40, 7, generator=g, dtype=torch.float64)
    a, b = (torch.randn(3, 7, 5, 6, generator=g, dtype=torch.float64) for _ in range(2))
    wide = [np.einsum("ij,njhw->nihw", w.numpy(), x.numpy()).reshape(3, 40, -1) for x in (a, b)]
    expected = [
        np.sum((x @ x.T / x.shape[1] - y @ y.T / y.shape[1]) ** 2) for x, y in zip(*wide, strict=True)
    ]
    distances = folded_gram_distance(w.T @ w, (inner(a, a) - inner(b, b)).double())
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-4)


@pytest.mark.slow
def test_canvases_come_closer_to_what_they_are_painted_for(folders: Path, teacher: Teacher) -> None:
    trainer = make_trainer(folders, teacher)
    canvases = Canvases(trainer.photos, trainer.paintings, 3, 32, seed=3)
    for slot in canvases.slots:
        slot.remaining = 1000

    def loss() -> tuple[float, torch.Tensor]:
        images = canvases.images.clone().requires_grad_(True)
        value = canvases.loss(trainer.student, trainer.student.features(images), [0, 1, 2])
        (gradient,) = torch.autograd.grad(value, images)
        return float(value.detach()), gradient

    before, gradient = loss()
    for _ in range(25):
        canvases.step([0, 1, 2], gradient)
        after, gradient = loss()
    assert after < 0.7 * before
    canvases.slots[1].remaining = 1
    old = canvases.images[1].clone()
    canvases.step([1], gradient[1:2])
    assert float((canvases.images[1] - old).abs().mean()) > 0.02, "a finished canvas is replaced"
