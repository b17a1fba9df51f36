"""Textures without content, and tiles that repeat without a seam."""

from __future__ import annotations

import pytest
import torch

from fakes import tiny_encoder
from impasto.errors import RecipeError
from impasto.losses.build import objective_of
from impasto.painting import engine, schedule
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


def texture(**settings: object) -> Recipe:
    return Recipe(**{"content_weight": 0.0, "init": "noise", "coarsest": 16, "iterations": (3,)} | settings)


def style() -> tuple[Style, ...]:
    return (Style(torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))),)


def test_a_texture_has_the_canvas_and_no_content_term() -> None:
    sources = Scene(None, style(), aspect=(32, 64))
    last = list(engine.steps(sources, texture(size=64), tiny_encoder()))[-1]
    assert last.picture.shape == (1, 3, 32, 64)
    assert all(name.startswith("style/") for name in last.terms)


@pytest.mark.parametrize("settings", [{"content_weight": 1.0}, {"init": "content"}])
def test_no_content_picture_is_an_error_where_one_is_needed(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="no content picture"):
        next(
            engine.steps(Scene(None, style(), aspect=(32, 32)), texture(size=32, **settings), tiny_encoder())
        )


def test_shallow_layers_allow_small_pictures() -> None:
    recipe = texture(size=8, style_layers=("relu1_1", "relu2_1"))
    assert schedule.scale_sizes(recipe, 8, 8) == [(8, 8)]


def test_circular_features_move_with_the_picture() -> None:
    """The oracle of circular padding: a picture rolled by the stride has its features rolled by one."""
    picture, encoder = torch.rand(1, 3, 32, 32), tiny_encoder()
    layers = ("relu1_1", "relu3_2", "relu5_1")
    straight = encoder(picture, layers, padding="circular")
    rolled = encoder(picture.roll((16, 16), (-2, -1)), layers, padding="circular")
    for layer, stride in zip(layers, (1, 4, 16), strict=True):
        expected = straight[layer].roll((16 // stride, 16 // stride), (-2, -1))
        torch.testing.assert_close(rolled[layer], expected, rtol=1e-4, atol=1e-5)


def test_the_objective_of_a_tile_does_not_see_where_it_is_cut() -> None:
    encoder = tiny_encoder()
    encoder.padding = "circular"
    recipe = texture(size=32, padding="circular", tv_weight=0.1)
    scene = Scene(None, style(), aspect=(32, 32)).at((32, 32), 0, torch.device("cpu"))
    judge = objective_of(encoder, scene, recipe)
    picture = torch.rand(1, 3, 32, 32)
    assert float(judge(picture)[0]) == pytest.approx(
        float(judge(picture.roll((16, 16), (-2, -1)))[0]), rel=1e-5
    )


def test_a_tile_has_sides_that_every_pooling_divides() -> None:
    with pytest.raises(RecipeError, match="multiples of 16; take 48×32"):
        schedule.scale_sizes(texture(size=44, padding="circular"), 28, 44)
    assert all(
        side % 16 == 0
        for size in schedule.scale_sizes(texture(size=208, padding="circular"), 112, 208)
        for side in size
    )
