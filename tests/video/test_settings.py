"""Settings of a video: ranges, lists, old names, copies."""

from __future__ import annotations

import pytest

from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.video.settings import VideoRecipe, VideoSettings


@pytest.mark.parametrize(
    "settings", [{"passes": 0}, {"long_term": ()}, {"flow": "guess"}, {"temporal_weight": -1}, {"sped": 2}]
)
def test_wrong_settings_are_one_line(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as caught:
        VideoRecipe(**settings)
    assert "\n" not in str(caught.value)


def test_long_term_always_has_the_frame_before() -> None:
    assert VideoRecipe(long_term="4,2").long_term == (1, 2, 4)


def test_old_names_are_accepted_everywhere() -> None:
    recipe = VideoRecipe(evaluations=7, fill_evaluations=[5, 4])
    assert (recipe.following_iterations, recipe.fill_iterations) == (7, (5, 4))
    assert recipe.replace(evaluations=8).following_iterations == 8
    assert VideoSettings.model_validate_json('{"evaluations": 9}').following_iterations == 9
    with pytest.raises(RecipeError, match="following_iterations = 0"):
        VideoRecipe(evaluations=0)


def test_a_copy_keeps_what_was_set_and_what_was_not() -> None:
    recipe = VideoRecipe(picture=Recipe(seed=3)).replace(passes=2)
    assert recipe.model_fields_set == {"picture", "passes"}
    assert isinstance(recipe.picture, Recipe)
    assert recipe.picture.model_fields_set == {"seed"}
    assert recipe.replace(passes=1) == VideoRecipe(picture=Recipe(seed=3))


def test_ranges_in_the_help_are_those_that_are_enforced() -> None:
    fields = VideoSettings.model_fields
    assert (fields["passes"].description or "").endswith("in turn (1 to 50).")
    assert (fields["cut_threshold"].description or "").endswith("(above 0, at most 255).")
    assert (fields["fill_iterations"].description or "").endswith("(1 to 100000).")
    assert VideoRecipe.model_fields["passes"].description == fields["passes"].description


def test_json_comes_back() -> None:
    recipe = VideoRecipe(picture=Recipe(seed=3), long_term=(1, 5))
    assert VideoRecipe.model_validate_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    "settings", [{"passes": 2}, {"following_iterations": 3}, {"drift": "free"}, {"temporal_weight": 2}]
)
def test_the_optimisers_settings_do_not_go_with_the_network(settings: dict[str, object]) -> None:
    instant = Recipe(method="instant")
    assert VideoRecipe(picture=instant, independent=True, flow="farneback").picture == instant
    with pytest.raises(RecipeError, match=f"{next(iter(settings))} with method 'instant'"):
        VideoRecipe(picture=instant, **settings)
