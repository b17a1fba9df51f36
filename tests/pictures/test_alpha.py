"""Masks of transparency on a layer's grid, and what replaces the pixels under them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from fakes import picture
from impasto.errors import PictureError
from impasto.pictures.alpha import fill, mask_on_grid, require_coverage


@pytest.mark.parametrize("size", [(3, 4), (6, 7), (1, 1), (13, 15)])
def test_masks_reach_a_grid_by_area(size):
    mask = torch.rand(1, 1, 13, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(
        mask_on_grid(mask, size)[0, 0].numpy(), oracles.mask_on_grid(mask[0, 0].numpy(), *size), rtol=1e-12
    )


def test_a_mask_that_hides_everything_is_refused():
    require_coverage(torch.full((1, 1, 10, 10), 0.01), "style")
    with pytest.raises(PictureError, match="style picture is transparent"):
        require_coverage(torch.zeros(1, 1, 10, 10), "style")


def test_filling_changes_nothing_visible_and_continues_smoothly():
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    mask = ((y - 24) ** 2 + (x - 32) ** 2 < 15**2).float()[None, None]
    pixels = picture(48, 64)
    filled = fill(pixels * mask + (1 - mask), mask)
    assert torch.equal(
        torch.where(mask > 0, filled, torch.zeros(())), torch.where(mask > 0, pixels, torch.zeros(()))
    )
    visible = pixels[mask.expand_as(pixels) > 0]
    assert float(visible.min()) - 1e-5 <= float(filled.min())
    assert float(filled.max()) <= float(visible.max()) + 1e-5
    assert fill(pixels, torch.ones(1, 1, 48, 64)) is pixels
    single = torch.zeros(1, 1, 5, 7)
    single[..., 3, 2] = 0.01
    spot = picture(5, 7)
    torch.testing.assert_close(fill(spot, single), spot[..., 3:4, 2:3].expand_as(spot))
