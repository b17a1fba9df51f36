"""Tiling is exact: the same total, terms and gradient as the picture judged whole, whatever the tile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import objective, tiny_encoder
from impasto.losses import content as content_losses
from impasto.losses.build import objective_of
from impasto.losses.objective import Objective
from impasto.networks.layers import geometry
from impasto.pictures.geometry import tiles
from impasto.recipe import Recipe
from impasto.scene import Past, Scene, Style

SIZE = (112, 176)


def _pictures(size: tuple[int, int] = SIZE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    content, image = (torch.rand(1, 3, *size, generator=g, dtype=torch.float64) for _ in range(2))
    style = torch.rand(1, 3, 90, 70, generator=g, dtype=torch.float64)
    mask = (torch.rand(1, 1, *size, generator=g, dtype=torch.float64) > 0.3).double()
    return content, image, style, mask


def _both(recipe: Recipe, tile: int, *, masked: bool = False, past: bool = False, size=SIZE):  # type: ignore[no-untyped-def]
    content, image, style, mask = _pictures(size)
    encoder = tiny_encoder().double().compute_in(torch.float64)
    encoder.padding = recipe.padding
    memories = (Past(content.flip(-1), mask, 0.7),) if past else ()

    def make(side: int | None) -> Objective:
        return objective(
            encoder, recipe, content, (Style(style),), mask if masked else None, memories, tile=side
        )

    return make(None).evaluate(image), make(tile).evaluate(image)


RECIPES = {
    "all terms": Recipe(tv_weight=0.3),
    "deep content": Recipe(content_layers="relu4_2,conv2_2", content_weight=2),
    "gatys": Recipe(normalisation="gatys", tv_weight=1),
    "neural-style": Recipe(normalisation="neural-style"),
    "style alone": Recipe(content_weight=0),
    "content alone": Recipe(style_weight=0),
    "tv alone": Recipe(style_weight=0, content_weight=0, tv_weight=1),
    "wasserstein": Recipe(style_loss="wasserstein"),
    "sliced": Recipe(style_loss="sliced"),
    "histogram": Recipe(style_loss="histogram"),
    "remd": Recipe(style_loss="remd"),
    "nearest": Recipe(style_loss="nearest"),
    "nearest, two styles' layers": Recipe(style_loss="nearest", style_layers="relu1_1,relu2_1"),
    "two losses": Recipe(style_loss="gram,nearest", style_loss_weights=(1, 3), padding="circular"),
    "self-similarity": Recipe(content_loss="self-similarity"),
    "circular": Recipe(padding="circular", tv_weight=0.3),
    "zeros": Recipe(padding="zeros"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("tile", [48, 96])
def test_tiled_equals_whole(name: str, tile: int) -> None:
    _assert_alike(*_both(RECIPES[name], tile, masked=name == "all terms"))


def _assert_alike(whole: Any, tiled: Any) -> None:
    (loss, gradient, terms), (loss2, gradient2, terms2) = whole, tiled
    assert loss2 == pytest.approx(loss, rel=1e-11)
    assert terms2.keys() == terms.keys()
    for key, value in terms.items():
        assert terms2[key] == pytest.approx(value, rel=1e-10)
    scale = float(gradient.abs().max())
    assert scale > 0
    torch.testing.assert_close(gradient2, gradient, rtol=0, atol=1e-11 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all terms", "deep content", "self-similarity", "circular"])
def test_tiled_equals_whole_where_the_content_is_not_held(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_losses, "CONTENT_CACHE_BYTES_PER_PIXEL", 0)
    _assert_alike(*_both(RECIPES[name], 64))


def test_tiled_equals_whole_with_the_past() -> None:
    (loss, gradient, _), (loss2, gradient2, _) = _both(RECIPES["all terms"], 64, past=True, masked=True)
    assert loss2 == pytest.approx(loss, rel=1e-11)
    torch.testing.assert_close(gradient2, gradient, rtol=0, atol=1e-11 * float(gradient.abs().max()))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(33, 150), st.integers(33, 150), st.integers(16, 120))
def test_odd_sizes(height: int, width: int, tile: int) -> None:
    (loss, gradient, _), (loss2, gradient2, _) = _both(RECIPES["all terms"], tile, size=(height, width))
    assert loss2 == pytest.approx(loss, rel=1e-10)
    torch.testing.assert_close(gradient2, gradient, rtol=0, atol=1e-10 * float(gradient.abs().max()))


def test_a_halo_too_small_is_noticed() -> None:
    """The comparison above can fail: with half the halo the gradient is another one."""
    stride, radius = geometry("relu5_1").stride, geometry("relu5_1").radius
    content, image, style, _ = _pictures()
    encoder = tiny_encoder().double().compute_in(torch.float64)
    whole = objective(encoder, Recipe(), content, (Style(style),)).evaluate(image)[1]
    tiled = objective(encoder, Recipe(), content, (Style(style),), tile=48)
    tiled.encoder.tiles = lambda size, layers, wrap: tiles(size, 48, stride, radius // 3, wrap=wrap)  # type: ignore[method-assign]
    short = tiled.evaluate(image)[1]
    assert float((short - whole).abs().max()) > 1e-6 * float(whole.abs().max())


def test_the_objective_of_a_tile_does_not_see_where_it_is_cut() -> None:
    encoder = tiny_encoder()
    encoder.padding = "circular"
    recipe = Recipe(content_weight=0.0, padding="circular", tv_weight=0.1)
    style = Style(torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1)))
    scene = Scene(None, (style,), aspect=(32, 32)).at((32, 32), 0, torch.device("cpu"))
    judge = objective_of(encoder, scene, recipe)
    picture = torch.rand(1, 3, 32, 32)
    assert float(judge(picture)[0]) == pytest.approx(
        float(judge(picture.roll((16, 16), (-2, -1)))[0]), rel=1e-5
    )
