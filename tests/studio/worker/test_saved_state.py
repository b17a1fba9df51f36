"""What is left to paint after a saved state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from impasto.painting import schedule
from impasto.recipe import PRESETS, Recipe
from impasto.studio.worker.saved_state import SavedState, remaining_recipe

RECIPE = Recipe(size=512, coarsest=128, iterations=(50, 40, 30))


@pytest.mark.parametrize(
    ("scale", "iteration", "iterations"),
    [(0, 20, (30, 40, 30)), (1, 0, (40, 30)), (1, 39, (1, 30)), (2, 30, (1,))],
)
def test_the_rest_has_the_sizes_and_iterations_that_were_left(
    scale: int, iteration: int, iterations: tuple[int, ...]
) -> None:
    sizes = schedule.scale_sizes(RECIPE, 400, 512)
    assert len(sizes) == 3
    state = SavedState(scale, iteration, 0, torch.rand(1, 3, 8, 8))
    first_scale, remaining = remaining_recipe(RECIPE, sizes, state)
    assert (first_scale, remaining.iterations, remaining.init) == (scale, iterations, "picture")
    assert schedule.scale_sizes(remaining, 400, 512) == sizes[scale:]


@pytest.mark.parametrize(
    ("coarse_finishing", "scale", "iteration", "first_size", "counts", "finished"),
    [(0, 0, 30, (96, 128), [30, 60, 40, 9], [0, 0, 40, 9]),
     (0, 2, 15, (384, 512), [25, 9], [25, 9]),
     (0, 3, 9, (768, 1024), [1], [1]),
     # The second scale is there twice.
     (7, 1, 20, (192, 256), [40, 7, 40, 9], [0, 7, 40, 9]),
     (7, 2, 3, (192, 256), [4, 40, 9], [4, 40, 9]),
     (7, 3, 15, (384, 512), [25, 9], [25, 9])],
)  # fmt: skip
def test_finishing_goes_on_where_it_stopped(
    coarse_finishing, scale, iteration, first_size, counts, finished
) -> None:
    recipe = Recipe(
        size=1024, iterations=60, content_until=256, coarse_finishing=coarse_finishing, finishing=(40, 9)
    )
    sizes = schedule.scale_sizes(recipe, 768, 1024)
    first, remaining = remaining_recipe(
        recipe, sizes, SavedState(scale, iteration, 0, torch.zeros(1, 3, 2, 2))
    )
    plan = schedule.scale_sizes(remaining, 768, 1024)
    assert (plan, plan[0]) == (sizes[first:], first_size)
    assert schedule.max_evaluations(remaining, plan) == counts
    assert schedule.finishing_steps(remaining, plan) == finished


@pytest.mark.parametrize(
    "settings",
    [PRESETS["draft"][1], PRESETS["fast"][1], {"finishing": 9, "coarse_content": 4.0},
     {"finishing": 9, "coarse_finishing": 5, "coarse_content": 0.5},
     {"finishing": (9, 0), "content_until": 64}, {"content_until": 64, "coarse_content": 4.0},
     {"style_weight": 0.0, "finishing": 9}],
)  # fmt: skip
@pytest.mark.parametrize("init", ["content", "picture"])
@pytest.mark.parametrize("coarsest", [32, 200, 4096])
def test_what_is_resumed_is_what_would_have_been_painted(
    settings: dict[str, Any], init: str, coarsest: int
) -> None:
    """Also an only scale, and a first one that is coarse whatever its size."""
    recipe = Recipe(**{**settings, "size": 400, "paint_size": None, "coarsest": coarsest, "init": init})
    sizes = schedule.scale_sizes(recipe, 300, 400)
    for scale in range(len(sizes)):
        _, rest = remaining_recipe(recipe, sizes, SavedState(scale, 1, 0, torch.zeros(1, 3, 2, 2)))
        assert schedule.scale_sizes(rest, 300, 400) == sizes[scale:]
        assert schedule.content_shares(rest, sizes[scale:]) == schedule.content_shares(recipe, sizes)[scale:]
        for counts in (schedule.finishing_steps, schedule.max_evaluations):
            count, *others = counts(recipe, sizes)[scale:]
            assert counts(rest, sizes[scale:]) == [max(0, count - 1), *others]


def test_without_a_state_everything_is_left() -> None:
    assert remaining_recipe(RECIPE, schedule.scale_sizes(RECIPE, 400, 512), None) == (0, RECIPE)


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = SavedState(1, 7, 57, torch.rand(1, 3, 8, 8))
    state.save(tmp_path / "state.safetensors")
    loaded = SavedState.load(tmp_path / "state.safetensors")
    assert loaded is not None
    assert (loaded.scale, loaded.iteration, loaded.evaluations) == (1, 7, 57)
    assert torch.equal(loaded.picture, state.picture)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_state_that_is_missing_or_damaged_is_none(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"half")
    assert SavedState.load(tmp_path / "state.safetensors") is None
    assert SavedState.load(tmp_path / "none.safetensors") is None
