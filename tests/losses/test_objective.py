"""The objective: the sum of the formulas, its gradient, and the same of both in tiles as of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

import oracles
from fakes import array, checks, objective, picture, tiny_encoder, tiny_state
from impasto.losses import content as content_losses
from impasto.losses.build import objective_of
from impasto.losses.functions import NORMALISATIONS
from impasto.losses.objective import Objective
from impasto.losses.tiled import TiledEncoder
from impasto.networks.layers import geometry
from impasto.pictures.geometry import tiles
from impasto.recipe import PAINTING, Recipe
from impasto.scene import Past, Scene, Style

SIZE = (112, 176)
#: The longer side is more than a tile and its halo, so that halos are cut there; the shorter one saves time.
WIDE, TALL = (64, 176), (176, 64)


def _pictures(size: tuple[int, int] = SIZE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    content, image = (torch.rand(1, 3, *size, generator=g, dtype=torch.float64) for _ in range(2))
    style = torch.rand(1, 3, 90, 70, generator=g, dtype=torch.float64)
    mask = (torch.rand(1, 1, *size, generator=g, dtype=torch.float64) > 0.3).double()
    return content, image, style, mask


def _evaluated(  # type: ignore[no-untyped-def]
    recipe: Recipe, *tile_sides: int, masked: bool = False, past: bool = False, size=SIZE
) -> list[Any]:
    """Loss, gradient and terms of the whole picture, then of the same in tiles of each side."""
    content, image, style, mask = _pictures(size)
    encoder = tiny_encoder().double().compute_in(torch.float64)
    encoder.padding = recipe.padding
    memories = (Past(content.flip(-1), mask, 0.7),) if past else ()

    def make(side: int | None) -> Objective:
        return objective(
            encoder, recipe, content, (Style(style),), mask if masked else None, memories, tile=side
        )

    return [make(side).evaluate(image) for side in (None, *tile_sides)]


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
def test_tiled_equals_whole(name: str) -> None:
    size = (WIDE, TALL)[list(RECIPES).index(name) % 2]
    whole, *tiled = _evaluated(RECIPES[name], 48, 96, masked=name == "all terms", size=size)
    for found in tiled:
        _assert_alike(whole, found)


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
    _assert_alike(*_evaluated(RECIPES[name], 64, size=WIDE))


def test_tiled_equals_whole_with_the_past() -> None:
    (loss, gradient, _), (loss2, gradient2, _) = _evaluated(RECIPES["all terms"], 64, past=True, masked=True)
    assert loss2 == pytest.approx(loss, rel=1e-11)
    torch.testing.assert_close(gradient2, gradient, rtol=0, atol=1e-11 * float(gradient.abs().max()))


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.integers(33, 150), st.integers(33, 150), st.integers(16, 120))
def test_odd_sizes(height: int, width: int, tile: int) -> None:
    (loss, gradient, _), (loss2, gradient2, _) = _evaluated(RECIPES["all terms"], tile, size=(height, width))
    assert loss2 == pytest.approx(loss, rel=1e-10)
    torch.testing.assert_close(gradient2, gradient, rtol=0, atol=1e-10 * float(gradient.abs().max()))


@pytest.mark.parametrize("size", [WIDE, TALL])
def test_a_halo_too_small_is_noticed(size: tuple[int, int]) -> None:
    """The comparison above can fail: with a third of the halo the gradient is another one."""
    stride, radius = geometry("relu5_1").stride, geometry("relu5_1").radius
    content, image, style, _ = _pictures(size)
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


# ---------------------------------------------------------------------------------------- the formulas alone

GATYS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SMALL = (37, 42)


MASK = torch.from_numpy(np.random.RandomState(3).uniform(0.1, 1.0, (1, 1, *SMALL)))


def small_objective(recipe: Recipe, *, masked: bool = False, dtype: torch.dtype = torch.float64) -> Objective:
    styles = (Style(checks(34, 40).to(dtype)), Style(picture(48, 33, 5).to(dtype)))
    if masked:
        masks = [torch.rand(1, 1, 34, 40, generator=torch.Generator().manual_seed(1)), None]
        styles = tuple(
            Style(s.pixels, None if m is None else m.to(dtype)) for s, m in zip(styles, masks, strict=True)
        )
    content = picture(*SMALL, 1).to(dtype)
    mask = MASK.to(dtype) if masked else None
    return objective(tiny_encoder(dtype=dtype), recipe, content, styles, mask)


def twin_of(recipe: Recipe, image: np.ndarray, *, masked: bool) -> dict[str, float]:
    """The objective's terms from the formulas alone; shares and blends written out again."""
    state = {key: array(value) for key, value in tiny_state().items()}
    styles = [array(checks(34, 40)[0]), array(picture(48, 33, 5)[0])]
    style_mask = torch.rand(1, 1, 34, 40, generator=torch.Generator().manual_seed(1))
    masks = [array(style_mask)[0, 0] if masked else None, None]
    own_mask = array(MASK)[0, 0] if masked else None

    def masked_gram(features: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        weights = None if mask is None else oracles.mask_on_grid(mask, *features.shape[1:])
        return oracles.gram(features, weights)

    own = oracles.encode(state, image, (*recipe.content_layers, *recipe.style_layers))
    content = oracles.encode(state, array(picture(*SMALL, 1)[0]), recipe.content_layers)
    style = [oracles.encode(state, one, recipe.style_layers) for one in styles]
    blend = np.array(recipe.style_blend or (1.0, 1.0))
    terms = {}
    for layer, weight in zip(recipe.content_layers, recipe.content_layer_weights, strict=True):
        loss = oracles.content_loss(own[layer], content[layer], recipe.normalisation, own_mask)
        terms[f"content/{layer}"] = recipe.content_weight * weight / sum(recipe.content_layer_weights) * loss
    for layer, weight in zip(recipe.style_layers, recipe.style_layer_weights, strict=True):
        target = sum(
            b / blend.sum() * masked_gram(s[layer], m) for b, s, m in zip(blend, style, masks, strict=True)
        )
        loss = oracles.gram_loss(masked_gram(own[layer], own_mask), target, recipe.normalisation)
        terms[f"style/{layer}"] = recipe.style_weight * weight / sum(recipe.style_layer_weights) * loss
    terms["tv"] = recipe.tv_weight * oracles.total_variation(image)
    return terms


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_whole_objective(dtype, tolerance, normalisation, masked):
    recipe = Recipe(
        content_weight=0.3, content_layers=("conv2_2", "relu3_2"), content_layer_weights=(1, 3),
        style_weight=20.0, style_layers=GATYS, style_layer_weights=(5, 4, 3, 2, 1), style_blend=(1, 2),
        tv_weight=7.0, normalisation=normalisation,
    )  # fmt: skip
    image = picture(*SMALL, 2)
    total, terms = small_objective(recipe, masked=masked, dtype=dtype)(image.to(dtype))
    twin = twin_of(recipe, array(image[0]), masked=masked)
    assert list(terms) == list(twin)
    for name, value in terms.items():
        assert float(value) == pytest.approx(twin[name], rel=tolerance), name
    assert float(total) == pytest.approx(sum(twin.values()), rel=tolerance)


def test_a_weight_of_zero_leaves_its_terms_out():
    image = picture(*SMALL, 2).double()
    both = small_objective(Recipe(tv_weight=1.0))(image)[1]
    assert {name.split("/")[0] for name in both} == {"content", "style", "tv"}
    assert set(small_objective(Recipe(content_weight=0))(image)[1]) == {f"style/{layer}" for layer in GATYS}
    assert set(small_objective(Recipe(style_weight=0))(image)[1]) == {"content/relu3_2"}
    assert set(small_objective(Recipe(content_weight=0, style_weight=0, tv_weight=2))(image)[1]) == {"tv"}


def test_the_content_itself_costs_no_content_and_the_style_itself_no_style():
    content = picture(*SMALL, 1).double()
    assert float(small_objective(Recipe(style_weight=0))(content)[0]) == 0.0
    style = checks(32, 32).double()
    alone = objective(tiny_encoder(dtype=torch.float64), Recipe(content_weight=0), None, [Style(style)])
    assert float(alone(style)[0]) == 0.0
    assert float(alone(picture(32, 32).double())[0]) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradient_of_the_whole_objective(normalisation):
    recipe = Recipe(content_weight=0.3, tv_weight=0.5, normalisation=normalisation)
    styles = [Style(checks(16, 16).double())]
    mask = MASK[..., :16, :17]
    content, encoder = picture(16, 17, 1).double(), tiny_encoder(dtype=torch.float64)
    judged = objective(encoder, recipe, content, styles, mask)
    image = picture(16, 17, 2).double().requires_grad_()
    assert gradcheck(lambda x: judged(x)[0], image, rtol=1e-5, atol=1e-9, fast_mode=True)


@pytest.mark.parametrize("finishing", [False, True])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_derivatives_that_wait_give_the_same_bytes(
    pooling: str, finishing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statistic that can wait, beside those that cannot, added up in autograd's order."""
    encoder, recipe = tiny_encoder(pooling=pooling), Recipe(**PAINTING, tv_weight=0.1)
    content, canvas = picture(61, 46), picture(61, 46, seed=1)
    scene = Scene(content, (Style(picture(50, 44, seed=2)),), start=canvas)
    scene = scene.at((61, 46), 0, torch.device("cpu"))
    waiting = objective_of(encoder, scene, recipe, finishing=finishing).evaluate(canvas)
    part, seen = TiledEncoder.part, []

    def at_once(*arguments: Any, sparing: bool = False, **options: Any) -> Any:
        seen.append(sparing)
        return part(*arguments, **options)

    monkeypatch.setattr(TiledEncoder, "part", at_once)
    plain = objective_of(encoder, scene, recipe, finishing=finishing).evaluate(canvas)
    assert any(seen)
    assert float(plain[1].abs().max()) > 0
    assert waiting[1].equal(plain[1])
    assert waiting[0] == plain[0]
