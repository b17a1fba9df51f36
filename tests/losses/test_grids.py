"""A layer's grid on a picture: its size, its weights from a mask, and its sample of positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from fakes import array
from impasto.losses import grids
from impasto.losses.grids import Grid, layer_grid
from impasto.pictures.geometry import tiles

SIZE = (37, 42)
MASK = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("layer", "stride", "shape"),
    [("relu1_1", 1, (37, 42)), ("conv2_2", 2, (18, 21)), ("relu3_1", 4, (9, 10)), ("relu5_1", 16, (2, 2))],
)
def test_a_grid_has_the_layers_positions_and_the_masks_means(layer, stride, shape):
    grid = layer_grid(layer, SIZE, MASK)
    assert (grid.stride, grid.height, grid.width) == (stride, *shape)
    expected = oracles.mask_on_grid(array(MASK[0, 0]), *shape)
    np.testing.assert_allclose(array(grid.weights[0, 0]), expected, rtol=1e-12)
    assert grid.total_weight == pytest.approx(expected.sum())


def test_without_a_mask_every_position_counts_once():
    grid = layer_grid("relu2_1", SIZE, None)
    assert grid.weights is None
    assert grid.total_weight == 18 * 21
    assert grid.weights_in(tiles(SIZE, 16, 2, 4)[0]) is None
    assert sorted(grid.sample_indices.tolist()) == list(range(18 * 21))


def test_a_mask_of_zeros_leaves_a_weight_that_can_be_divided_by():
    assert 0.0 < layer_grid("relu1_1", SIZE, torch.zeros(1, 1, *SIZE)).total_weight < 1e-9


def test_inside_counts_only_features_that_see_nothing_beyond_the_mask():
    # relu2_1 has a stride of 2 and sees 4 pixels beyond its own.
    mask = torch.zeros(1, 1, 32, 48)
    mask[..., 6:26, 8:40] = 1.0
    weights = layer_grid("relu2_1", (32, 48), mask, inside=True).weights[0, 0]
    expected = np.zeros((16, 24))
    for row in range(16):
        for column in range(24):
            seen_rows = (max(0, 2 * row - 4), min(32, 2 * row + 6))
            seen_columns = (max(0, 2 * column - 4), min(48, 2 * column + 6))
            expected[row, column] = mask[0, 0, slice(*seen_rows), slice(*seen_columns)].min()
    assert 0 < expected.sum() < 10 * 16
    np.testing.assert_array_equal(array(weights), expected)
    # Without a mask there is nothing to be inside of.
    assert layer_grid("relu2_1", (32, 48), None, inside=True).weights is None


def test_the_weights_of_tiles_put_together_are_those_of_the_picture():
    grid = layer_grid("relu2_1", SIZE, MASK)
    together = torch.full_like(grid.weights, -1.0)
    parts = tiles(SIZE, 16, 2, 4)
    assert len(parts) == 9
    for tile in parts:
        weights = grid.weights_in(tile)
        together[(..., *tile.grid(2))] = weights
    assert torch.equal(together, grid.weights)


def test_a_sample_is_bounded_and_drawn_from_where_the_weights_are(monkeypatch):
    monkeypatch.setattr(grids, "MAX_SAMPLES", 50)
    mask = torch.zeros(1, 1, 20, 30)
    mask[..., 10:, :] = 1.0
    indices = Grid.on((20, 30), 1, mask).sample_indices
    assert len(indices) == len(indices.unique()) == 50
    assert int(indices.min()) >= 10 * 30
    # Of five rows of cells two and a half are masked; the half counts too.
    assert len(Grid.on((20, 30), 4, mask).sample_indices) == 3 * 7
