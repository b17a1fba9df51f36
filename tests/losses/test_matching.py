"""Matching of cells: banks, hypercolumns, the nearest of them, and the loss that pulls towards them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, values
from impasto.losses import matching
from impasto.losses.grids import Grid
from impasto.losses.matching import Matcher, Pull, assign, bank_rows, cell_side, hypercolumn
from impasto.networks.layers import geometry
from impasto.pictures.geometry import tiles

SIZE = (24, 40)
(WHOLE,) = tiles(SIZE, None, 1, 0)
PARTS = tiles(SIZE, 8, 8, 8)


def layer_features(layer: str, channels: int = 3, seed: int = 0) -> Tensor:
    """Random features of a picture of ``SIZE``."""
    stride = geometry(layer).stride
    return values(1, channels, SIZE[0] // stride, SIZE[1] // stride, seed=seed)


@pytest.mark.parametrize(
    ("layers", "side"),
    [(("relu1_1",), 1), (("relu1_1", "relu2_1"), 2), (("relu1_1", "relu3_1"), 4), (("relu5_1",), 4)],
)
def test_a_cell_is_four_pixels_wide_unless_every_layer_is_finer(layers, side):
    assert cell_side(layers) == side


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1", "relu4_1"])
def test_a_bank_holds_the_features_in_each_sampled_cell(layer):
    features, cells = layer_features(layer), Grid.on(SIZE, 4, None)
    rows, stride = bank_rows(features, layer, cells, WHOLE, SIZE), geometry(layer).stride
    assert len(rows) == len(cells.sample_indices) == 6 * 10
    for row, index in zip(array(rows), cells.sample_indices.tolist(), strict=True):
        y, x = index // 10 * 4, index % 10 * 4  # the cell's first pixel
        if stride <= 4:
            patch = array(features[0])[:, y // stride : (y + 4) // stride, x // stride : (x + 4) // stride]
            np.testing.assert_array_equal(row, patch.reshape(-1))
        else:  # relu4_1: the one position that the cell lies in
            np.testing.assert_array_equal(row, array(features[0])[:, y // stride, x // stride])


@pytest.mark.parametrize("layer", ["relu1_1", "relu3_1", "relu4_1"])
def test_the_banks_of_tiles_add_up(layer):
    features, cells = layer_features(layer), Grid.on(SIZE, 4, None)
    stride = geometry(layer).stride
    assert len(PARTS) == 15
    parts = [bank_rows(features[(..., *tile.grid(stride))], layer, cells, tile, SIZE) for tile in PARTS]
    torch.testing.assert_close(sum(parts), bank_rows(features, layer, cells, WHOLE, SIZE))


def test_a_hypercolumn_is_the_mean_feature_of_each_cell():
    features = {layer: layer_features(layer) for layer in ("relu1_1", "relu3_1", "relu4_1")}
    columns = hypercolumn(features, 4, (6, 10))
    for y in range(6):
        for x in range(10):
            fine = array(features["relu1_1"][0])[:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((1, 2))
            np.testing.assert_allclose(array(columns["relu1_1"][10 * y + x]), fine, rtol=1e-12)
            same = array(features["relu3_1"][0])[:, y, x]
            np.testing.assert_array_equal(array(columns["relu3_1"][10 * y + x]), same)
            deep = array(features["relu4_1"][0])[:, y // 2, x // 2]
            np.testing.assert_array_equal(array(columns["relu4_1"][10 * y + x]), deep)


def test_where_a_pooling_drops_the_last_row_the_deep_feature_before_it_is_repeated():
    # 28 pixels are 7 cells of 4, and 3 positions of a layer with a stride of 8: cell 6 lies in none.
    deep = values(1, 2, 3, 1)
    columns = hypercolumn({"relu4_1": deep}, 4, (7, 2))["relu4_1"].view(7, 2, 2)
    assert torch.equal(columns[:, 0], deep[0, :, [0, 0, 1, 1, 2, 2, 2], 0].T)


def matcher_of(bank: Tensor, canvas: Tensor) -> Matcher:
    """A matcher of one layer for hypercolumns (n, C) of the whole canvas."""
    mean, energy = canvas.mean(0), canvas.var(0, unbiased=False).sum()
    layer, channels = "relu1_1", bank.shape[1]
    return Matcher({layer: bank}, {layer: channels}, {layer: 1.0}, {layer: mean}, {layer: energy})


def distances(bank: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Cosine distances (n, m) of canvas (n, C) and bank (m, C), each around its own mean."""
    bank, canvas = bank - bank.mean(0), canvas - canvas.mean(0)
    return np.array([[oracles.cosine_distance(a, b) for b in bank] for a in canvas])


def test_the_nearest_by_angle_around_the_means_is_found(monkeypatch):
    bank, canvas = values(30, 4), 5.0 + 3.0 * values(20, 4, seed=1)
    monkeypatch.setattr(matching, "MAX_CANDIDATES", 1)
    match = matcher_of(bank, canvas)
    found = match({"relu1_1": canvas}, torch.zeros(20, dtype=torch.float64))
    np.testing.assert_array_equal(found.numpy(), distances(array(bank), array(canvas)).argmin(1))
    chunked = match({"relu1_1": canvas}, torch.zeros(20, dtype=torch.float64), chunk=3)
    assert torch.equal(chunked, found)


def test_a_match_is_drawn_evenly_among_those_nearly_as_near():
    # Rows around an axis at these angles, and their opposites: the mean is zero. The distance 1 − cos of 0.54
    # is 1.16 times that of 0.5, that of 0.56 is 1.25 times.
    angles = torch.tensor([0.5, 0.5, 0.52, 0.54, 0.56, 0.9], dtype=torch.float64)
    turns = torch.arange(6, dtype=torch.float64)
    rows = torch.stack([angles.sin() * turns.cos(), angles.sin() * turns.sin(), angles.cos()], 1)
    axis = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    match = matcher_of(torch.cat([rows, -rows]), torch.cat([axis, -axis]))
    draws = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    counts = match({"relu1_1": axis.repeat(4000, 1)}, draws).bincount(minlength=12)
    assert counts[4:].tolist() == [0] * 8
    assert counts[:4].tolist() == pytest.approx([1000] * 4, abs=120)  # more than four standard deviations


def test_layers_count_by_their_weights_whatever_their_scale():
    # In relu1_1 cell 0 is like row 0, in relu3_1 like row 1; a thousandfold scale changes nothing.
    shallow, deep = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64).roll(1, 0)
    for weights, expected in (((0.9, 0.1), [0, 1, 2]), ((0.1, 0.9), [1, 2, 0])):
        for scale in (1.0, 1000.0):
            bank = {"relu1_1": shallow * scale, "relu3_1": deep}
            columns = {"relu1_1": shallow * scale, "relu3_1": torch.eye(3, dtype=torch.float64)}
            mean = {layer: rows.mean(0) for layer, rows in columns.items()}
            energy = {layer: (rows - rows.mean(0)).square().sum(1).mean() for layer, rows in columns.items()}
            layers = dict(zip(bank, weights, strict=True))
            match = Matcher(bank, dict.fromkeys(bank, 3), layers, mean, energy)
            assert match(columns, torch.zeros(3)).tolist() == expected


def test_matches_in_tiles_are_those_of_the_whole(monkeypatch):
    features, mask = layer_features("relu1_1"), torch.rand(1, 1, *SIZE, dtype=torch.float64)
    cells, bank = Grid.on(SIZE, 4, mask), {"relu1_1": values(50, 3, seed=1)}

    def columns(tile):
        rows, across = tile.grid(4)
        shape = (rows.stop - rows.start, across.stop - across.start)
        return hypercolumn({"relu1_1": features[(..., *tile.grid(1))]}, 4, shape)

    whole = assign([WHOLE], cells, bank, {"relu1_1": 1.0}, columns, seed=3)
    assert whole.shape == (6, 10)
    assert torch.equal(assign(PARTS, cells, bank, {"relu1_1": 1.0}, columns, seed=3), whole)
    assert not torch.equal(assign([WHOLE], cells, bank, {"relu1_1": 1.0}, columns, seed=4), whole)
    # Centred on the mean under the mask.
    monkeypatch.setattr(matching, "MAX_CANDIDATES", 1)
    nearest = assign([WHOLE], cells, bank, {"relu1_1": 1.0}, columns, seed=3)
    rows, weights = array(columns(WHOLE)["relu1_1"]), array(cells.weights).flatten()
    rows = rows - (rows * weights[:, None]).sum(0) / weights.sum()
    keys = array(bank["relu1_1"]) - array(bank["relu1_1"]).mean(0)
    table = np.array([[oracles.cosine_distance(a, b) for b in keys] for a in rows])
    np.testing.assert_array_equal(nearest.flatten().numpy(), table.argmin(1))


@pytest.mark.parametrize("layer", ["relu1_1", "relu3_1", "relu4_1"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_layer_is_pulled_to_the_features_of_its_matched_cells(layer, masked):
    stride = geometry(layer).stride
    height, width, k = SIZE[0] // stride, SIZE[1] // stride, max(1, 4 // stride)
    bank, features = values(20, 3 * k * k, seed=1), layer_features(layer)
    matches = torch.from_numpy(np.random.RandomState(2).randint(0, 20, (6, 10)))
    weights = values(1, 1, height, width, seed=3, positive=True) if masked else None
    pull, patches = Pull(layer, bank, matches, 4), array(bank).reshape(20, 3, k, k)
    centre, twin = patches.mean((0, 2, 3)), 0.0
    for y in range(height):
        for x in range(width):
            if stride <= 4:
                target = patches[int(matches[y // k, x // k]), :, y % k, x % k]
            else:  # of the 2×2 cells in a position of relu4_1, the one below and right of its middle
                target = patches[int(matches[2 * y + 1, 2 * x + 1]), :, 0, 0]
            weight = 1.0 if weights is None else float(weights[0, 0, y, x])
            own = array(features[0, :, y, x])
            twin += weight * oracles.cosine_distance(own - centre, target - centre)
    assert float(pull(features, WHOLE, weights)) == pytest.approx(twin, rel=1e-9)
    pull, total = Pull(layer, bank, matches, 4), 0.0
    for tile in PARTS:
        grid = tile.grid(stride)
        in_tile = None if weights is None else weights[(..., *grid)]
        total += float(pull(features[(..., *grid)], tile, in_tile))
    assert total == pytest.approx(twin, rel=1e-9)


def test_rows_that_fill_no_cell_are_not_pulled():
    # 10 rows and 11 columns of pixels are 2×2 cells.
    (tile,) = tiles((10, 11), None, 1, 0)
    pull = Pull("relu1_1", values(5, 2 * 16), torch.zeros(2, 2, dtype=torch.long), 4)
    features = values(1, 2, 10, 11, seed=1)
    features.requires_grad_(True)
    (gradient,) = torch.autograd.grad(pull(features, tile, None).sum(), features)
    assert bool((gradient[..., :8, :8] != 0).any(1).all())
    assert not bool(gradient[..., 8:, :].any())
    assert not bool(gradient[..., 8:].any())
