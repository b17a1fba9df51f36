"""Recipes of single frames, and the style statistics that all frames share."""

from __future__ import annotations

from impasto.painting.schedule import content_shares, finishing_steps, max_evaluations, scale_sizes
from impasto.recipe import Recipe, preset
from impasto.video.clip_context import (
    fill_recipe,
    following_recipe,
    following_recipes,
    frame_recipe,
    unfinished,
)
from impasto.video.settings import VideoRecipe
from tiny_video import PICTURE, QUICK, tiny_context


def test_frames_are_finished_at_their_own_size_if_the_preset_finishes() -> None:
    fast = preset("fast")
    assert frame_recipe(VideoRecipe(picture=fast)) == fast.replace(size="original", paint_size=None)
    # Otherwise the content counts at every scale.
    unfinished_one = Recipe(keep_details=1.0, content_until=128)
    assert frame_recipe(VideoRecipe(picture=unfinished_one)) == Recipe(size="original", keep_details=1.0)


def test_without_finishing_what_a_preset_prepares_for_it_is_dropped() -> None:
    for name, iterations in (("fast", (60,)), ("draft", (13,)), ("classic", (60,))):
        assert unfinished(preset(name)) == Recipe(iterations=iterations)
    # What the user chose stays.
    chosen = preset("fast").replace(
        keep_details=0.5, clean_chroma=None, style_loss=("gram",), style_loss_weights=()
    )
    assert unfinished(chosen) == Recipe(keep_details=0.5, clean_chroma=None, style_loss=("gram",))


def test_with_finishing_a_following_frame_takes_few_steps_and_the_layout_of_what_is_new() -> None:
    video = VideoRecipe(picture=preset("fine"))
    known = following_recipe(video, 240, 432)
    assert (max_evaluations(known, [(240, 432)]), known.keep_colours) == ([6], 0.0)
    assert max_evaluations(following_recipe(video, 240, 432, effort=0.3), [(240, 432)]) == [3]
    (new,) = following_recipes(video, 2160, 3840)  # half the size is coarse however large that is
    sizes = scale_sizes(new, 2160, 3840)
    assert [longest for _, longest in sizes] == [960, 1920, 1920, 3840]
    assert max_evaluations(new, sizes) == [32, 12, 6, 6]
    assert finishing_steps(new, sizes) == [0, 0, 6, 6]
    assert content_shares(new, sizes) == [4.0, 4.0, 1.0, 1.0]


def test_a_following_frame_has_one_size_and_few_iterations() -> None:
    recipe = following_recipe(VideoRecipe(), 240, 432)
    assert (recipe.coarsest, recipe.iterations, recipe.init) == (432, (24,), "picture")
    assert following_recipe(VideoRecipe(), 240, 432, effort=0.3).iterations == (8,)


def test_new_parts_are_painted_at_a_quarter_and_at_half_the_size() -> None:
    recipe = fill_recipe(VideoRecipe(), 240, 432)
    assert (recipe.size, recipe.coarsest, recipe.iterations) == (216, 108, (32, 12))


def test_a_frame_too_small_to_be_halved_is_filled_at_its_own_size() -> None:
    assert fill_recipe(VideoRecipe(), 24, 40).size == 40
    shallow = Recipe(style_layers=("relu1_1",), content_layers=("relu1_1",))
    assert fill_recipe(VideoRecipe(picture=shallow), 24, 40).size == 20


def test_the_style_is_looked_at_once_for_every_size() -> None:
    context = tiny_context(QUICK, 64, 96)
    assert set(context.style_statistics) == {(32, 48), (64, 96), (16, 24)}
    finished = QUICK.replace(picture=PICTURE.replace(finishing=(2,)))
    statistics = tiny_context(finished, 64, 96).style_statistics
    assert {size for size, names in statistics.items() if any("finishing" in name for name in names)} == {
        (64, 96)
    }
