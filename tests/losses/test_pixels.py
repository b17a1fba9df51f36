"""Terms on pixels, total variation and agreement with earlier frames: their formulas, whole and in tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from fakes import array, picture, tiny_encoder
from impasto.losses.objective import Objective
from impasto.losses.pixels import TemporalTerm, TotalVariationTerm
from impasto.scene import Past, Scene

IMAGE = picture(20, 27, 4).double()


def objective(*terms, tile=None, padding="reflect", **scene) -> Objective:
    encoder = tiny_encoder(dtype=torch.float64, padding=padding)
    return Objective(encoder, Scene(None, aspect=(20, 27), **scene), terms, tile=tile)


@pytest.mark.parametrize("tile", [None, 8])
def test_total_variation_is_its_formula(tile):
    total = objective(TotalVariationTerm(weight=3.0), tile=tile).evaluate(IMAGE)[0]
    assert total == pytest.approx(3.0 * oracles.total_variation(array(IMAGE[0])), rel=1e-12)


@pytest.mark.parametrize("tile", [None, 8])
def test_in_a_picture_that_repeats_opposite_edges_are_neighbours(tile):
    total = objective(TotalVariationTerm(), tile=tile, padding="circular").evaluate(IMAGE)[0]
    pixels = array(IMAGE[0])
    steps = [pixels - np.roll(pixels, 1, axis) for axis in (1, 2)]
    assert total == pytest.approx(sum((step**2).sum() for step in steps) / pixels.size, rel=1e-12)


@pytest.mark.parametrize("tile", [None, 8])
def test_every_earlier_frame_has_its_weight_and_its_certainty(tile):
    generator = torch.Generator().manual_seed(0)
    certainty = torch.rand(1, 1, 20, 27, generator=generator, dtype=torch.float64)
    past = (
        Past(picture(20, 27, 1).double(), certainty, 2.0),
        Past(picture(20, 27, 2).double(), 1 - certainty, 0.5),
    )
    total, gradient, losses = objective(TemporalTerm(weight=3.0), tile=tile, past=past).evaluate(IMAGE)
    pixels, gaps = array(IMAGE[0]), 0.0
    slope = np.zeros_like(pixels)
    for earlier in past:
        difference = pixels - array(earlier.pixels[0])
        gaps += earlier.weight * (array(earlier.certainty[0]) * difference**2).sum()
        slope += 2 * earlier.weight * array(earlier.certainty[0]) * difference
    assert total == losses["temporal"] == pytest.approx(3.0 * gaps / pixels.size, rel=1e-12)
    np.testing.assert_allclose(array(gradient[0]), 3.0 * slope / pixels.size, rtol=1e-9, atol=1e-15)


def test_without_earlier_frames_the_temporal_term_does_not_apply():
    scene = Scene(None, aspect=(20, 27))
    assert not TemporalTerm().applies(scene)
    assert TotalVariationTerm().applies(scene)
    assert set(objective(TemporalTerm(), TotalVariationTerm()).losses(IMAGE)) == {"tv"}
