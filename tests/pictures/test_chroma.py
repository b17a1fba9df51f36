"""The finest band of chroma, and the filter that limits it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

import oracles
from fakes import array, picture
from impasto.pictures import chroma
from impasto.pictures.chroma import finest_chroma, finest_lightness, limit_finest_chroma
from impasto.pictures.colour import to_oklab


@pytest.fixture
def speckled() -> torch.Tensor:
    """Orange beside darker blue with an edge between them, and coloured grain over both; (1, 3, 48, 64)."""
    blocks = torch.empty(1, 3, 48, 64)
    blocks[..., :30] = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1)
    blocks[..., 30:] = torch.tensor([0.15, 0.2, 0.5]).view(1, 3, 1, 1)
    grain = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1)) - 0.5
    return (blocks + 0.15 * grain).clamp(0, 1)


def rms_of_band(image: torch.Tensor) -> float:
    ab = to_oklab(image.double()).numpy()[0, 1:]
    blurred = ndimage.gaussian_filter(ab, (0, 1.0, 1.0), mode="nearest", radius=(0, 3, 3))
    return float(np.sqrt(np.mean((ab - blurred) ** 2)))


def test_the_finest_band_is_measured_as_scipy_measures_it(speckled):
    assert finest_chroma(speckled) == pytest.approx(rms_of_band(speckled), rel=1e-9)


def test_the_limit_is_met_and_lightness_and_the_edge_stay(speckled):
    limit = 0.6 * finest_chroma(speckled)
    limited = limit_finest_chroma(speckled, limit)
    assert rms_of_band(limited) == pytest.approx(limit, rel=0.02)
    before, after = to_oklab(speckled.double()), to_oklab(limited.double())
    assert (after[:, 0] - before[:, 0]).abs().max() < 2e-3
    # A blur strong enough for the limit would mix both colours beside the edge.
    for column in (28, 32):
        drift = (after - before)[0, 1:, :, column].mean(-1).abs().max()
        assert drift < 0.01


def test_a_picture_within_the_limit_is_returned_as_it_is(speckled):
    assert limit_finest_chroma(speckled, 1.01 * finest_chroma(speckled)) is speckled


def test_below_what_edges_have_the_filters_output_is_the_result(speckled):
    least = limit_finest_chroma(speckled, 1e-9)
    assert 0 < finest_chroma(least) < 0.6 * finest_chroma(speckled)
    assert torch.equal(least, limit_finest_chroma(speckled, 1e-6))


def test_tiles_give_the_same(speckled, monkeypatch: pytest.MonkeyPatch):
    limit = 0.6 * finest_chroma(speckled)
    whole = limit_finest_chroma(speckled, limit)
    monkeypatch.setattr(chroma, "TILE", 20)
    assert finest_chroma(speckled) == pytest.approx(rms_of_band(speckled), rel=1e-9)
    torch.testing.assert_close(limit_finest_chroma(speckled, limit), whole, atol=1e-6, rtol=0)


def test_a_picture_that_tiles_is_filtered_across_its_edges(speckled):
    limit = 0.5 * finest_chroma(speckled)
    limited = limit_finest_chroma(speckled, limit, wrap=True)
    rolled = limit_finest_chroma(speckled.roll((20, 25), (-2, -1)), limit, wrap=True)
    # The share is measured with the margin, so it differs a little; without wrapping, the edges differ by .1.
    torch.testing.assert_close(rolled.roll((-20, -25), (-2, -1)), limited, atol=0.02, rtol=0)


def test_finest_lightness_is_its_formula(monkeypatch):
    image = picture(23, 31).double()
    assert finest_lightness(image) == pytest.approx(oracles.finest_lightness(array(image[0])), rel=1e-6)
    left = torch.zeros(1, 1, 23, 31, dtype=torch.float64)
    left[..., :12] = 1.0
    beyond = image.clone()
    beyond[..., 16:] = 0.5  # farther away than the blur reaches
    assert finest_lightness(beyond, left) == pytest.approx(finest_lightness(image, left))
    assert finest_lightness(torch.full_like(image, 0.3)) == pytest.approx(0.0, abs=1e-7)
    monkeypatch.setattr(chroma, "TILE", 16)
    assert finest_lightness(beyond, left) == pytest.approx(finest_lightness(image, left), rel=1e-9)
