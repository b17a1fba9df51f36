"""The schedule of scales: sizes, where the content counts, and rounds of matching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import checks, picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.losses import matching
from impasto.painting import engine, schedule
from impasto.painting.schedule import content_share, rounds
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


@pytest.mark.parametrize(
    ("size", "final", "share"),
    [(128, 512, 1.0), (256, 512, 1.0), (512, 512, 0.25),
     (256, 1024, 1.0), (512, 1024, 0.25), (1024, 1024, 0.25),
     # Of a small picture the finest scale still belongs to the style.
     (128, 256, 1.0), (256, 256, 0.25), (150, 300, 1.0), (300, 300, 0.25)],
)  # fmt: skip
def test_the_content_lets_go_beyond_a_size(size, final, share):
    recipe = Recipe(content_until=256, fine_content=0.25)
    assert content_share(recipe, (size * 3 // 4, size), (final * 3 // 4, final)) == share


def test_by_default_and_without_a_style_the_content_counts_at_every_scale():
    assert content_share(Recipe(), (512, 512), (512, 512)) == 1.0
    alone = Recipe(content_until=64, style_weight=0.0)
    assert content_share(alone, (512, 512), (512, 512)) == 1.0


@given(st.integers(1, 500), st.integers(0, 100))
def test_rounds_share_all_evaluations(evaluations, every):
    recipe = Recipe(rematch_every=every)
    assert rounds(recipe, evaluations, rematched=False) == [evaluations]
    lengths = rounds(recipe, evaluations, rematched=True)
    assert sum(lengths) == evaluations
    assert min(lengths) >= 1
    assert not every or max(lengths) <= max(every, 1)


# ---------------------------------------------------------------- scales that belong to the style, painted

FREE = {
    "size": 96, "coarsest": 48, "content_until": 48, "iterations": (8, 12), "tolerance": 0.0,
    "style_loss": ("nearest", "gram"),
}  # fmt: skip


def scene() -> Scene:
    return Scene(picture(72, 96), (Style(checks(64, 64)),))


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
def test_matches_are_renewed_each_round_and_follow_the_canvas(monkeypatch):
    calls = []
    original = matching.assign

    def counted(*arguments):
        calls.append(original(*arguments))
        return calls[-1]

    monkeypatch.setattr("impasto.losses.nearest.assign", counted)
    steps = painted(rematch_every=5)
    assert len(calls) == 1 + 3  # once at the coarse scale, and rounds of 5, 5 and 2 at the fine one
    fine = [step for step in steps if step.scale == 2]
    assert [step.iteration for step in fine] == list(range(1, 13))
    assert [step.last for step in steps] == [False] * 19 + [True]
    assert bool((calls[1] != calls[3]).any())
    assert float((fine[-1].picture - painted()[-1].picture).abs().mean()) > 1e-3


def test_stopping_a_scale_ends_its_rounds():
    seen = []

    def stop(scale: int, iteration: int) -> bool:
        seen.append((scale, iteration))
        return scale == 2 and iteration == 7

    recipe = Recipe(**(FREE | {"rematch_every": 5}))
    steps = list(engine.steps(scene(), recipe, tiny_encoder(), stop_scale=stop))
    assert [step.iteration for step in steps if step.scale == 2] == list(range(1, 8))
    assert steps[-1].last
    assert (2, 6) in seen


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
    assert [schedule.max_evaluations(Recipe(iterations=(7, 3)), scale) for scale in range(4)] == [7, 3, 3, 3]
