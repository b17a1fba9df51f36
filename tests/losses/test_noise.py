"""Noise that a canvas is seen under: how loud it is, and that it depends on place and evaluation alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fakes import array, picture, tiny_encoder
from impasto.losses.noise import BLOCK, under_noise
from impasto.losses.objective import Objective
from impasto.losses.terms import Term
from impasto.scene import Scene


def deviation(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


@given(st.integers(0, 600), st.integers(1, 200))
def test_neighbouring_evaluations_have_nothing_in_common(evaluation, later):
    blank = torch.zeros(1, 3, BLOCK, BLOCK, dtype=torch.float64)
    first, second = (under_noise(blank, deviation(2.0), e) for e in (evaluation, evaluation + later))
    assert float(first.std()) == pytest.approx(2.0, rel=0.01)
    assert float(first.mean()) == pytest.approx(0.0, abs=0.02)
    assert abs(float((first * second).mean())) < 0.06


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 300))
def test_noise_depends_on_the_place_alone(height, width, evaluation):
    blank = torch.zeros(1, 3, BLOCK + 40, BLOCK + 40)
    whole = under_noise(blank, deviation(1.0), evaluation)
    part = under_noise(blank[..., :height, :width], deviation(1.0), evaluation)
    assert torch.equal(part, whole[..., :height, :width])
    assert not torch.equal(whole[..., BLOCK:, :40], whole[..., :40, :40])


def test_the_deviation_may_differ_from_place_to_place():
    image, where = picture(20, 30), torch.zeros(1, 1, 20, 30)
    where[..., 10:] = 0.25
    noisy = under_noise(image, where, 3)
    assert torch.equal(noisy[..., :10], image[..., :10])
    assert 0.2 < float((noisy - image)[..., 10:].std()) < 0.3


@dataclass(frozen=True, kw_only=True)
class Squares(Term):
    """The sum of squares, seen under noise."""

    name: str = "squares"

    def noise(self, memory: None) -> Tensor:
        return deviation(0.1)

    def gather(self, part, memory):
        return part.without_halo(part.image).square().sum()

    def judge(self, gathered, memory):
        return gathered


@pytest.mark.parametrize("tile", [None, 16])
def test_an_objective_is_evaluated_under_noise_but_compared_without(tile):
    image = picture(24, 40).double()
    objective = Objective(
        tiny_encoder(dtype=torch.float64), Scene(None, aspect=(24, 40)), [Squares()], tile=tile
    )
    for evaluation in range(3):
        total, gradient, _ = objective.evaluate(image)
        noisy = under_noise(image, deviation(0.1), evaluation)
        assert total == pytest.approx(float(noisy.square().sum()), rel=1e-12)
        torch.testing.assert_close(gradient, 2.0 * noisy)
        assert not np.allclose(array(noisy), array(image))
    assert objective.losses(image)["squares"] == pytest.approx(float(image.square().sum()), rel=1e-12)
