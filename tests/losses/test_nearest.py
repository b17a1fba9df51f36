"""The term of nearest features: what is matched, what is pulled, and what it remembers of the styles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, checks, picture, tiny_encoder, tiny_state
from impasto.losses.nearest import NearestTerm, nearest
from impasto.losses.objective import Objective
from impasto.losses.tiled import TiledEncoder
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style


def term(*layers: str, **settings: object) -> NearestTerm:
    return NearestTerm(layers=layers, layer_weights=dict.fromkeys(layers, 1 / len(layers)), **settings)


def scene(content: Tensor | None, *styles: Style, **changes: object) -> Scene:
    return Scene(content, regions=(Region("", None, styles),), **changes)


def test_the_loss_is_the_mean_cosine_distance_to_the_matched_features():
    # relu1_1 alone: cells are single pixels, and the bank is the style's features themselves.
    encoder, style, content = tiny_encoder(dtype=torch.float64), checks(16, 16, 3), picture(10, 12, 1)
    nearest_term = term("relu1_1", match_content=1.0)
    given = scene(content.double(), Style(style.double()))
    image = picture(10, 12, 2).double()
    found = Objective(encoder, given, [nearest_term]).losses(image)
    pulled = nearest_term.prepare(given, TiledEncoder(encoder))["relu1_1/nearest"].pull
    state = {key: array(value) for key, value in tiny_state().items() if "conv1_1" in key}
    own, of_content, of_style = (
        oracles.encode(state, array(pixels[0]), ["relu1_1"])["relu1_1"] for pixels in (image, content, style)
    )
    bank = array(pulled.bank)
    # The bank holds every feature of the style once, in some order.
    expected_rows = of_style.reshape(4, -1).T
    assert np.allclose(np.sort(bank.round(9), 0), np.sort(expected_rows.round(9), 0), atol=1e-6)
    centre, total = expected_rows.mean(0), 0.0
    for row in range(10):
        for column in range(12):
            chosen = bank[int(pulled.matches[row, column])]
            total += oracles.cosine_distance(own[:, row, column] - centre, chosen - centre)
    assert found["style/relu1_1/nearest"] == pytest.approx(total / 120, rel=1e-6)
    # What was matched: by directions from the mean, nearly as near as the nearest.
    queries, keys = of_content.reshape(4, -1).T, bank
    queries, keys = queries - queries.mean(0), keys - keys.mean(0)
    for query, match in zip(queries, pulled.matches.flatten(), strict=True):
        distances = [oracles.cosine_distance(query, key) for key in keys]
        assert distances[int(match)] <= 1.2 * min(distances) + 1e-9


def test_the_canvas_is_matched_where_there_is_no_content_and_as_much_as_the_setting_says():
    encoder, style = TiledEncoder(tiny_encoder()), Style(checks(32, 32))
    content, canvas = picture(24, 32, 1), picture(24, 32, 2)

    def matches(content: Tensor | None, canvas: Tensor | None, share: float) -> Tensor:
        given = scene(content, style, start=canvas, aspect=(24, 32))
        layers = ("relu1_1", "relu2_1")
        return term(*layers, match_content=share).prepare(given, encoder)["relu1_1/nearest"].pull.matches

    by_content, by_canvas = matches(content, None, 1.0), matches(None, canvas, 0.75)
    assert not torch.equal(by_content, by_canvas)
    assert torch.equal(matches(content, canvas, 1.0), by_content)
    assert torch.equal(matches(content, canvas, 0.0), by_canvas)


def test_each_region_has_banks_of_its_own_styles():
    mask = torch.zeros(1, 1, 24, 32)
    mask[..., :16] = 1.0
    regions = (
        Region("left", mask, (Style(checks(32, 32)),), weight=3.0),
        Region("right", 1 - mask, (Style(picture(32, 32, 5)),)),
    )
    given, encoder = Scene(picture(24, 32), regions=regions), TiledEncoder(tiny_encoder())
    nearest_term = term("relu1_1")
    prepared = nearest_term.prepare(given, encoder)
    assert list(prepared) == ["relu1_1/nearest/left", "relu1_1/nearest/right"]
    assert [pulled.share for pulled in prepared.values()] == pytest.approx([1.5, 0.5])
    assert [pulled.grid.total_weight for pulled in prepared.values()] == pytest.approx([24 * 16] * 2)
    alone = nearest_term.style_statistics(scene(None, Style(checks(32, 32))), encoder)["relu1_1/nearest"]
    assert torch.equal(prepared["relu1_1/nearest/left"].pull.bank, alone)


def test_settings_of_the_recipe_reach_the_term():
    recipe = Recipe(style_loss="nearest", match_content=0.25, seed=7)
    built = nearest({"relu1_1": 0.25, "relu3_1": 0.75}, 2.0, recipe)
    assert built == NearestTerm(
        weight=2.0, layers=("relu1_1", "relu3_1"), layer_weights={"relu1_1": 0.25, "relu3_1": 0.75},
        match_content=0.25, seed=7,
    )  # fmt: skip
    assert built.cell == 4
    assert not built.applies(Scene(picture(24, 32)))
    assert built.applies(Scene(picture(24, 32), (Style(checks()),)))


def test_moved_cells_are_found_again():
    # A picture whose halves change places is made of the style's cells: nearest sees that, Gram cannot say.
    style = torch.cat([picture(48, 32, 3), checks(48, 32)], 3)
    swapped = torch.cat([style[..., 32:], style[..., :32]], 3)

    def loss(image: Tensor) -> float:
        given = scene(None, Style(style), start=image, aspect=(48, 64))
        return Objective(tiny_encoder(), given, [term("relu1_1", "relu2_1")]).evaluate(image)[0]

    assert loss(swapped) < 0.1 * loss(picture(48, 64, 9))


def test_an_even_content_is_not_given_the_same_cell_everywhere():
    # Repeated, its 4×4 pixels would show as a grid.
    encoder, style = TiledEncoder(tiny_encoder()), picture(96, 96, 3)
    even = torch.full((1, 3, 96, 96), 0.5) + 1e-4 * picture(96, 96, 4)
    matches, again = (
        term("relu1_1", "relu3_1").prepare(scene(even, Style(style)), encoder)["relu1_1/nearest"].pull.matches
        for _ in range(2)
    )
    assert matches.shape == (24, 24)
    assert float((matches[:, 1:] == matches[:, :-1]).float().mean()) < 0.5
    assert torch.equal(matches, again)


def test_an_objective_with_tiles_may_be_evaluated_whole_first():
    tiled = Objective(
        tiny_encoder(dtype=torch.float64),
        scene(picture(48, 64).double(), Style(checks(48, 48).double())),
        [term("relu1_1", "relu2_1", weight=1.0)],
        tile=16,
    )
    canvas = picture(48, 64, seed=2).double()
    whole = float(tiled(canvas)[0])
    assert tiled.evaluate(canvas)[0] == pytest.approx(whole, rel=1e-9)
