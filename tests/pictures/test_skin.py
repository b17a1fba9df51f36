"""The likelihood of skin: colours of skin, light and dark, and of what is not skin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from fakes import array
from impasto.pictures.skin import skin_likelihood


def likelihood(*rgb: float) -> float:
    return float(skin_likelihood(torch.tensor(rgb).view(1, 3, 1, 1) / 255.0))


# Light to dark, in light and in half shadow.
@pytest.mark.parametrize(
    "rgb", [(255, 219, 193), (234, 192, 165), (198, 134, 102), (141, 85, 54), (107, 68, 46), (160, 118, 98)]
)
def test_skin(rgb):
    assert likelihood(*rgb) > 0.8


@pytest.mark.parametrize(
    "rgb",
    [
        (110, 160, 220),  # sky
        (235, 240, 250),  # cloud
        (60, 110, 90),  # sea
        (70, 120, 40),  # leaf
        (128, 128, 128),
        (250, 210, 20),  # yellow petal
        (220, 20, 20),  # red paint
        (25, 14, 10),  # too dark to tell
    ],
)
def test_not_skin(rgb):
    assert likelihood(*rgb) < 0.1


@given(st.integers(0, 10_000))
def test_it_is_its_formula(seed):
    picture = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    expected = oracles.skin_likelihood(array(picture))
    np.testing.assert_allclose(array(skin_likelihood(picture)), expected, atol=2e-4)


def test_grey_pictures_have_none():
    assert float(skin_likelihood(torch.rand(1, 1, 9, 9).expand(1, 3, 9, 9)).max()) < 1e-3
