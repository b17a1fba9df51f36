"""The planned colours of broad areas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes import array, picture
from impasto.pictures.geometry import tiles
from impasto.scene import ColourPlan

CPU = torch.device("cpu")


def means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Twin of :meth:`ColourPlan.of`, area by area."""
    height, width = pixels.shape[1:]
    result = np.zeros((3, rows, columns))
    for r in range(rows):
        for c in range(columns):
            y, x = np.arange(height)[:, None], np.arange(width)
            down = np.maximum(0.0, 1 - abs((y + 0.5) / height - (r + 0.5) / rows) * min(rows, height))
            across = np.maximum(0.0, 1 - abs((x + 0.5) / width - (c + 0.5) / columns) * min(columns, width))
            weights = down * across
            result[:, r, c] = (weights * pixels).sum((1, 2)) / weights.sum()
    return result


@pytest.mark.parametrize("size", [(20, 33), (7, 5)])
def test_an_area_falls_off_linearly_from_its_centre(size):
    pixels = picture(*size, 2).double()
    plan = ColourPlan.of(pixels)
    assert max(plan.means.shape[1:]) == 32
    expected = means(array(pixels[0]), *plan.means.shape[1:])
    np.testing.assert_allclose(array(plan.means), expected, rtol=1e-12)


@pytest.mark.parametrize("tile", [None, 16])
def test_a_canvas_with_a_margin_adds_up_from_tiles_and_its_margin_counts_for_nothing(tile):
    canvas = picture(40, 56, 1).double()
    plan = ColourPlan.of(canvas[..., 4:-4, 4:-4])
    canvas[..., :4, :] = 9.0
    at = plan.at((32, 48), 4, CPU)
    parts = [(*part.inner(1), part) for part in tiles((40, 56), tile, 1, 1)]
    total = sum(at.colours(part.cut(canvas)[..., rows, columns], part) for rows, columns, part in parts)
    torch.testing.assert_close(total, plan.means)


def test_a_plan_holds_for_canvases_of_any_size():
    small = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    large = torch.linspace(0, 1, 640).expand(1, 3, 480, 640)
    torch.testing.assert_close(ColourPlan.of(small).means, ColourPlan.of(large).means, atol=0.01, rtol=0)
