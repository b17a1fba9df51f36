"""The decoder's noise: fixed to its place, periodic, of unit variance, and without high frequencies."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from impasto.feedforward.noise import PERIOD, _periodic_noise, noise_field


def test_noise_belongs_to_its_place():
    whole = noise_field(3, 100, 90)
    torch.testing.assert_close(noise_field(3, 20, 30, 40, 50), whole[..., 40:60, 50:80])
    torch.testing.assert_close(noise_field(3, 4, 4, PERIOD, PERIOD), whole[..., :4, :4])
    assert not torch.equal(noise_field(3, 8, 8, seed=1), whole[..., :8, :8])


def test_it_has_unit_variance_and_the_spectrum_of_a_gaussian_blur():
    field = noise_field(64, PERIOD, PERIOD)[0].double().numpy()
    assert field.std() == pytest.approx(1.0, rel=1e-3)
    # Neighbours of white noise blurred by σ = 1 correlate by exp(-d² / 4σ²).
    for distance in (1, 2, 3):
        neighbours = (field * np.roll(field, distance, axis=2)).mean()
        assert neighbours == pytest.approx(np.exp(-(distance**2) / 4), abs=0.02)


def test_there_is_no_seam_where_it_repeats():
    # A window across the edge of a period has steps as small as any other.
    field = noise_field(16, 2 * PERIOD, 2 * PERIOD)
    steps = (field[..., 1:] - field[..., :-1]).square().mean((0, 1, 2))
    assert float(steps[PERIOD - 1]) == pytest.approx(float(steps.mean()), rel=0.25)


def test_a_process_that_paints_many_seeds_does_not_keep_them_all():
    first = weakref.ref(_periodic_noise(8, 0))
    for seed in range(40):
        noise_field(8, 4, 4, seed=seed)
    gc.collect()
    assert first() is None
