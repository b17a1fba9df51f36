"""Content terms: their formulas, the content's mask, and features that are kept or computed again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from fakes import array, picture, tiny_encoder, tiny_state
from impasto.losses import content
from impasto.losses.content import ContentTerm, SelfSimilarityTerm
from impasto.losses.objective import Objective
from impasto.losses.tiled import TiledEncoder
from impasto.recipe import Recipe
from impasto.scene import Scene

SIZE = (20, 28)
IMAGE, CONTENT = picture(*SIZE, 2).double(), picture(*SIZE, 1).double()
MASK = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SHARES = {"relu1_1": 0.25, "conv2_1": 0.75}


def features(image: torch.Tensor) -> dict[str, np.ndarray]:
    state = {key: array(value) for key, value in tiny_state().items() if key[4:7] in ("1_1", "1_2", "2_1")}
    return oracles.encode(state, array(image[0]), list(SHARES))


def losses(
    term: ContentTerm | SelfSimilarityTerm, tile: int | None, *, masked: bool = False
) -> dict[str, float]:
    scene = Scene(CONTENT, content_mask=MASK if masked else None)
    return Objective(tiny_encoder(dtype=torch.float64), scene, [term], tile=tile).evaluate(IMAGE)[2]


@pytest.mark.parametrize("tile", [None, 8])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("normalisation", ["relative", "gatys", "neural-style"])
def test_content_is_its_formula_at_each_layer(tile, masked, normalisation):
    term = ContentTerm(weight=2.0, layers=tuple(SHARES), layer_weights=SHARES, normalisation=normalisation)
    own, target = features(IMAGE), features(CONTENT)
    mask = array(MASK[0, 0]) if masked else None
    twin = {
        f"content/{layer}": 2.0 * share * oracles.content_loss(own[layer], target[layer], normalisation, mask)
        for layer, share in SHARES.items()
    }
    assert losses(term, tile, masked=masked) == pytest.approx(twin, rel=1e-6)


@pytest.mark.parametrize("tile", [None, 8])
def test_self_similarity_is_its_formula_over_all_positions(tile):
    # 560 and 140 positions: fewer than are sampled, so all of them count, in whatever order.
    term = SelfSimilarityTerm(weight=2.0, layers=tuple(SHARES), layer_weights=SHARES)
    own, target = features(IMAGE), features(CONTENT)
    twin = {}
    for layer, share in SHARES.items():
        tables = []
        for features_of in (own, target):
            rows = features_of[layer].reshape(len(features_of[layer]), -1).T
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            distances = 1.0 - rows @ rows.T
            tables.append(distances / distances.sum(0))
        twin[f"content/{layer}"] = 2.0 * share * np.abs(tables[0] - tables[1]).sum(0).mean()
    assert losses(term, tile) == pytest.approx(twin, rel=1e-6)


def test_self_similarity_compares_a_bounded_number_of_positions_under_the_mask(monkeypatch):
    monkeypatch.setattr(content, "SIMILARITY_SAMPLES", 30)
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    mask[..., :14] = 1.0
    term = SelfSimilarityTerm(layers=("relu1_1",), layer_weights={"relu1_1": 1.0})
    encoder = TiledEncoder(tiny_encoder(dtype=torch.float64))
    grids, target = term.prepare(Scene(CONTENT, content_mask=mask), encoder)
    indices = grids["relu1_1"].sample_indices[:30]
    assert target["relu1_1"].shape == (30, 4)
    assert int((indices % 28).max()) < 14
    expected = features(CONTENT)["relu1_1"].reshape(4, -1).T[indices.numpy()]
    np.testing.assert_allclose(array(target["relu1_1"]), expected, rtol=1e-6, atol=1e-9)


def test_features_of_the_content_are_kept_only_if_they_take_little_memory(monkeypatch):
    term = ContentTerm(layers=tuple(SHARES), layer_weights=SHARES)
    kept = losses(term, 8)
    encoder = TiledEncoder(tiny_encoder(dtype=torch.float64), 8)
    assert term.prepare(Scene(CONTENT), encoder).features is not None
    # 8 bytes a value: 4 channels at every pixel, and 5 at every fourth.
    monkeypatch.setattr(content, "CONTENT_CACHE_BYTES_PER_PIXEL", 8 * (4 + 5 / 4))
    assert term.prepare(Scene(CONTENT), encoder).features is not None
    monkeypatch.setattr(content, "CONTENT_CACHE_BYTES_PER_PIXEL", 8 * (4 + 5 / 4) - 0.1)
    assert term.prepare(Scene(CONTENT), encoder).features is None
    assert losses(term, 8) == pytest.approx(kept, rel=1e-12)


@pytest.mark.parametrize("build", [content.features, content.self_similarity])
def test_a_content_term_needs_a_content_and_takes_the_recipes_settings(build):
    term = build(SHARES, 3.0, Recipe(normalisation="gatys"))
    assert (term.name, term.weight, term.layers, term.layer_weights) == (
        "content",
        3.0,
        tuple(SHARES),
        SHARES,
    )
    assert term.applies(Scene(CONTENT))
    assert not term.applies(Scene(None, aspect=SIZE))


def test_normalisation_is_the_recipes():
    assert content.features(SHARES, 1.0, Recipe(normalisation="gatys")).normalisation == "gatys"
