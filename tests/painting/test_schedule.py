"""The schedule of scales: sizes, where the content counts, and where the finishing pass paints."""

from __future__ import annotations

import itertools

import pytest

from fakes import checks, picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.losses.finishing import FINISHING_LAYERS
from impasto.networks.registry import load_encoder
from impasto.painting import engine, schedule
from impasto.painting.schedule import content_shares, finishing_steps, max_evaluations, scale_sizes
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


@pytest.mark.parametrize(
    ("sides", "shares"),
    [((128, 256, 512), [1.0, 1.0, 0.25]),
     ((128, 256, 512, 1024), [1.0, 1.0, 0.25, 0.25]),
     # Of a small picture the finest scale still belongs to the style, but never the only one.
     ((128, 256), [1.0, 0.25]), ((150, 300), [1.0, 0.25]), ((512,), [1.0])],
)  # fmt: skip
def test_the_content_lets_go_beyond_a_size(sides, shares):
    plan = [(side * 3 // 4, side) for side in sides]
    recipe = Recipe(content_until=256, fine_content=0.25)
    assert content_shares(recipe, plan) == shares
    # By default, and without a style, the content counts at every scale.
    assert content_shares(Recipe(fine_content=0.25), plan) == [1.0] * len(plan)
    assert content_shares(recipe.replace(style_weight=0.0), plan) == [1.0] * len(plan)
    # At coarse scales it may hold the layout more firmly.
    firm = recipe.replace(coarse_content=2.0)
    assert content_shares(firm, plan) == [2.0 if share == 1.0 else share for share in shares]
    assert content_shares(Recipe(coarse_content=2.0), plan) == [2.0] * len(plan)
    # A picture to start from is the layout already.
    assert content_shares(recipe.replace(init="picture"), plan)[-1] == 0.25


@pytest.mark.parametrize(
    ("settings", "size"),
    [({"size": 64}, (96, 128)), ({"size": 400}, (576, 768)), ({"size": 512}, (576, 768)),
     ({"size": 768}, (576, 768)), ({"size": 1024}, (768, 1024)), ({"size": "original"}, (576, 768)),
     ({"size": 512, "padding": "circular"}, (384, 512)), ({"size": 512, "paint_size": None}, (384, 512))],
)  # fmt: skip
def test_a_small_picture_is_painted_at_up_to_twice_its_size(settings, size):
    recipe = Recipe(**{"paint_size": 768, **settings})
    assert schedule.painting_size(recipe, 300, 400) == size
    assert scale_sizes(recipe, 300, 400)[-1] == size


PLAN = [(96, 128), (192, 256), (384, 512), (768, 1024)]


@pytest.mark.parametrize(
    ("settings", "plan", "steps"),
    [({}, PLAN, [0, 0, 0, 0]),
     ({"finishing": 40}, PLAN, [0, 0, 0, 40]),
     ({"finishing": 40, "content_until": 256}, PLAN, [0, 0, 40, 40]),
     ({"finishing": (40, 9), "content_until": 256}, PLAN, [0, 0, 40, 9]),
     ({"finishing": (40, 0), "content_until": 256}, PLAN, [0, 0, 40, 0]),
     ({"finishing": 40, "content_until": 256}, PLAN[:2], [0, 40]),
     # The first scale has nothing to finish, unless it begins with a picture.
     ({"finishing": 40, "content_until": 16}, PLAN[2:], [0, 40]),
     ({"finishing": 40, "init": "picture"}, PLAN[2:3], [40]),
     ({"finishing": 40, "style_weight": 0.0}, PLAN, [0, 0, 0, 0])],
)  # fmt: skip
def test_finishing_paints_the_scales_that_are_not_coarse(settings, plan, steps):
    recipe = Recipe(iterations=(7,), **settings)
    assert finishing_steps(recipe, plan) == steps
    assert max_evaluations(recipe, plan) == [count or 7 for count in steps]
    assert finishing_steps(recipe, plan, terms=()) == [0] * len(plan)


PAINTED = {
    "init": "instant",
    "coarsest": 64,
    "content_until": 256,
    "coarse_finishing": 9,
    "finishing": (4, 3),
}


@pytest.mark.parametrize(
    ("settings", "sides", "steps"),
    [({}, [256, 512, 1024], [9, 4, 3]),
     ({"strength": 0.5}, [256, 512, 1024], [9, 4, 3]),
     ({"coarse_finishing": 0}, [512, 1024], [4, 3]),
     ({"coarsest": 1024}, [1024], [4]),
     ({"padding": "circular"}, [64, 128, 256, 256, 512, 1024], [0, 0, 0, 9, 4, 3]),
     # Without finishing, or with a layout that is to be loosened, it is a start like any other.
     ({"finishing": 0}, [64, 128, 256, 512, 1024], [0] * 5),
     ({"strength": 0.75}, [64, 128, 256, 256, 512, 1024], [0, 0, 0, 9, 4, 3]),
     ({"init": "content"}, [64, 128, 256, 256, 512, 1024], [0, 0, 0, 9, 4, 3])],
)  # fmt: skip
def test_after_the_instant_picture_only_strokes_are_painted(settings, sides, steps):
    recipe = Recipe(size=1024, fine_content=0.0, **PAINTED | settings)
    plan = scale_sizes(recipe, 300, 400)
    assert [max(size) for size in plan] == sides
    assert finishing_steps(recipe, plan) == steps
    shares = content_shares(recipe, plan)
    assert shares == [0.0 if count else recipe.coarse_content if max(size) <= 256 else 0.0
                      for size, count in zip(plan, steps, strict=True)]  # fmt: skip


# ---------------------------------------------------------------- scales that belong to the style, painted

FREE = {
    "size": 96, "coarsest": 48, "content_until": 48, "iterations": (8, 12), "tolerance": 0.0,
    "style_loss": ("nearest", "gram"),
}  # fmt: skip


def scene() -> Scene:
    return Scene(picture(72, 96), (Style(checks(32, 32)),))


def painted(**settings: object) -> list[engine.Step]:
    return list(engine.steps(scene(), Recipe(**(FREE | settings)), tiny_encoder()))


def kinds(step: engine.Step) -> set[str]:
    return {name.partition("/")[0] for name in step.terms}


@pytest.mark.slow
def test_content_counts_up_to_the_size_and_not_beyond():
    steps = painted()
    assert [kinds(step) for step in steps if step.scale == 1] == [{"content", "style"}] * 8
    assert [kinds(step) for step in steps if step.scale == 2] == [{"style"}] * 12
    held = painted(fine_content=0.5)[-1]
    full = painted(content_until=None)
    assert kinds(held) == {"content", "style"}
    at_start = next(step for step in full if step.scale == 2)
    at_half = next(step for step in painted(fine_content=0.5) if step.scale == 2)
    assert at_half.terms["content/relu3_2"] == pytest.approx(
        0.5 * at_start.terms["content/relu3_2"], rel=1e-5
    )


@pytest.mark.slow
def test_finishing_replaces_the_iterations_of_fine_scales():
    steps = painted(finishing=5, keep_details=0.5)
    assert [(step.scale, step.iteration) for step in steps] == [(1, i) for i in range(1, 9)] + [
        (2, i) for i in range(1, 6)
    ]
    assert {step.planned for step in steps} == {13}
    fine = set(steps[-1].terms)
    assert {name for name in fine if name.startswith("style/")} == {
        *(f"style/{layer}/finishing" for layer in FINISHING_LAYERS),
        *(f"style/{layer}" for layer in Recipe().style_layers[:-1]),  # relu5_1 is deeper
    }
    assert "details/relu3_2" in fine
    assert [step.last for step in steps] == [False] * 12 + [True]


@pytest.mark.slow
def test_the_latest_picture_of_finishing_is_the_result():
    # Other positions are compared each time, so a lower loss does not mean a better picture.
    fine = [step for step in painted(finishing=6) if step.scale == 2]
    assert all(step.best_loss == step.loss for step in fine)
    assert all(bool((a.picture != b.picture).any()) for a, b in itertools.pairwise(fine))


def test_stopping_ends_a_scale_of_finishing():
    recipe = Recipe(**(FREE | {"finishing": 9}))
    steps = list(
        engine.steps(scene(), recipe, tiny_encoder(), stop_scale=lambda scale, n: scale == 2 and n == 3)
    )
    assert [step.iteration for step in steps if step.scale == 2] == [1, 2, 3]
    assert steps[-1].last


# -------------------------------------------------------------------------------------------------- sizes


def texture(**settings: object) -> Recipe:
    return Recipe(**{"content_weight": 0.0, "init": "noise", "coarsest": 16, "iterations": (3,)} | settings)


def test_shallow_layers_allow_small_pictures() -> None:
    recipe = texture(size=8, style_layers=("relu1_1", "relu2_1"))
    assert schedule.scale_sizes(recipe, 8, 8) == [(8, 8)]


def test_a_tile_has_sides_that_every_pooling_divides() -> None:
    with pytest.raises(RecipeError, match="multiples of 16; take 48×32"):
        schedule.scale_sizes(texture(size=44, padding="circular"), 28, 44)
    assert all(
        side % 16 == 0
        for size in schedule.scale_sizes(texture(size=208, padding="circular"), 112, 208)
        for side in size
    )


def test_iterations_are_counted_for_the_scale_they_belong_to():
    assert max_evaluations(Recipe(iterations=(7, 3)), PLAN) == [7, 3, 3, 3]


@pytest.mark.parametrize(
    ("size", "settings", "sides", "steps"),
    [(1024, {}, [128, 256, 256, 512, 1024], [0, 0, 7, 40, 9]),
     (512, {}, [128, 256, 256, 512], [0, 0, 7, 40]),
     # The last coarse scale has at most half the size.
     (300, {}, [150, 150, 300], [0, 7, 40]),
     (1024, {"content_until": None}, [128, 256, 512, 512, 1024], [0, 0, 0, 7, 40]),
     # A single scale is the layout alone; a picture to begin with is a layout already.
     (128, {}, [128], [0]),
     (512, {"init": "picture", "coarsest": 512}, [512], [40]),
     (512, {"style_weight": 0.0}, [128, 256, 512], [0, 0, 0]),
     (512, {"finishing": 0}, [128, 256, 512], [0, 0, 0])],
)  # fmt: skip
def test_the_largest_coarse_scale_is_finished_too(size, settings, sides, steps):
    recipe = Recipe(
        **{"size": size, "content_until": 256, "coarse_finishing": 7, "finishing": (40, 9)} | settings
    )
    plan = scale_sizes(recipe, 300, 400)
    assert [max(scale) for scale in plan] == sides
    assert finishing_steps(recipe, plan) == steps
    # Terms of one's own are not finished.
    own = scale_sizes(recipe, 300, 400, terms=())
    assert own == list(dict.fromkeys(plan))


def test_a_narrow_style_is_large_enough_for_the_layers_of_finishing():
    scene = Scene(picture(48, 64), (Style(checks(12, 400)),))
    settings = {"style_layers": ("relu1_1", "relu2_1"), "finishing": (2,), "iterations": (2,)}
    recipe = Recipe(size=64, coarsest=32, content_layers=("relu2_1",), **settings)
    assert list(engine.steps(scene, recipe, load_encoder()))[-1].last
