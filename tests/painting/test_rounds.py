"""Scales that belong to the style: content let go, and matches renewed in rounds."""

from __future__ import annotations

import pytest

from fakes import checks, picture, tiny_encoder
from impasto.losses import matching
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

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
def test_a_low_strength_keeps_the_content_at_every_scale():
    assert kinds(painted(strength=0.3)[-1]) == {"content", "style"}
    assert kinds(painted(strength=0.6)[-1]) == {"style"}


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
