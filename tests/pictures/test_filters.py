"""Linear filters against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from impasto.pictures.filters import box_mean, gaussian_blur, gaussian_radius


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.5])
def test_gaussian_blur_is_scipys(sigma):
    values = np.random.default_rng(0).random((2, 3, 21, 17))
    expected = ndimage.gaussian_filter(
        values, (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, *(gaussian_radius(sigma),) * 2)
    )
    np.testing.assert_allclose(gaussian_blur(torch.from_numpy(values), sigma).numpy(), expected, atol=1e-12)


def test_box_mean_is_scipys():
    values = np.random.default_rng(1).random((1, 2, 5, 30))
    expected = ndimage.uniform_filter(values, (0, 0, 7, 7), mode="nearest")
    np.testing.assert_allclose(box_mean(torch.from_numpy(values), 3).numpy(), expected, atol=1e-12)
