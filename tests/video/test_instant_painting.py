"""Clips by the feed-forward network: steadier than frame by frame, resumed to the same bytes, cut at cuts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import moving_square, texture, write_clip
from impasto.errors import RecipeError, VideoError
from impasto.feedforward.style import InstantStyle
from impasto.networks.registry import load_encoder
from impasto.pictures import load
from impasto.recipe import PRESETS, Recipe
from impasto.scene import Style
from impasto.video import stages
from impasto.video.cuts import Shot
from impasto.video.frames import open_clip, read
from impasto.video.instant_painting import (
    InstantClip,
    build_instant_clip,
    key_frames,
    paint_shot_instantly,
)
from impasto.video.job import prepare_video
from impasto.video.settings import VideoRecipe
from impasto.video.store import Store, from_pixels

INSTANT = VideoRecipe(picture=Recipe(**PRESETS["instant"][1], precision="float32"))
STYLE = Style(from_pixels(texture(64, 64, 7)))


@pytest.fixture(scope="module")
def clip() -> InstantClip:
    return build_instant_clip([STYLE], INSTANT, load_encoder(), 64, 96)


def store_of(folder: Path, frames: Sequence[np.ndarray]) -> Store:
    store = Store(folder)
    store.make("input", "pass1")
    for index, frame in enumerate(frames):
        store.save("input", index, from_pixels(frame))
    return store


def painted(store: Store, clip: InstantClip, *shots: Shot) -> list[torch.Tensor]:
    frames = []
    for shot in shots:
        frames += [frame.pixels for _, _, frame in paint_shot_instantly(store, shot, clip) if frame]
    return frames


def change(frames: Sequence[torch.Tensor]) -> float:
    """Mean change of the background, which stands still in the film."""
    return float(torch.stack([(a - b)[..., 48:, :].abs().mean() for a, b in pairwise(frames)]).mean())


@pytest.mark.slow
def test_frames_follow_one_another(tmp_path: Path, clip: InstantClip) -> None:
    film = moving_square(6)
    random = np.random.RandomState(0)
    film = [np.clip(f + random.normal(0, 3, f.shape), 0, 255).astype(np.uint8) for f in film]
    following = painted(store_of(tmp_path / "a", film), clip, Shot(0, 6))
    alone = build_instant_clip([STYLE], INSTANT.replace(independent=True), clip.network.encoder, 64, 96)
    independent = painted(store_of(tmp_path / "b", film), alone, Shot(0, 6))
    torch.testing.assert_close(following[0], independent[0], atol=0.02, rtol=0)
    assert change(following) < 0.5 * change(independent)
    assert float((following[0] - from_pixels(film[0])).abs().mean()) > 0.05


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_in_the_same_frames(tmp_path: Path, clip: InstantClip) -> None:
    film = moving_square(11)
    whole = store_of(tmp_path / "whole", film)
    painted(whole, clip, Shot(0, 11))
    stopped = store_of(tmp_path / "stopped", film)
    assert len(list(islice(paint_shot_instantly(stopped, Shot(0, 11), clip), 9))) == 9
    kinds = [frame is None for _, _, frame in paint_shot_instantly(stopped, Shot(0, 11), clip)]
    assert kinds == [True] * 9 + [False] * 2
    for index in range(11):
        assert stopped.frame("pass1", index).read_bytes() == whole.frame("pass1", index).read_bytes()


@pytest.mark.slow
def test_nothing_is_carried_over_a_cut(tmp_path: Path, clip: InstantClip) -> None:
    film = [*moving_square(3), *(texture(64, 96, seed) for seed in (5, 5))]
    frames = painted(store_of(tmp_path / "a", film), clip, Shot(0, 3), Shot(3, 5))
    alone = painted(store_of(tmp_path / "b", film[3:]), clip, Shot(0, 2))
    assert [bool((a == b).all()) for a, b in zip(frames[3:], alone, strict=True)] == [True, True]


def test_statistics_are_interpolated_between_key_frames() -> None:
    shot = Shot(10, 31)
    assert key_frames(shot, 10) == (10, 26, 0.0)
    assert key_frames(shot, 18) == (10, 26, 0.5)
    assert key_frames(shot, 26) == (26, 30, 0.0)
    assert key_frames(shot, 28) == (26, 30, 0.5)  # the shot ends before the next key frame
    assert key_frames(shot, 30) == (26, 30, 1.0)
    assert key_frames(Shot(4, 5), 4) == (4, 4, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"colours": "content", "strength": 0.5}])
def test_a_whole_clip(tmp_path: Path, style: Path, settings: dict[str, object]) -> None:
    source = write_clip(tmp_path / "in.mkv", moving_square(4))
    recipe = INSTANT.replace(picture=INSTANT.picture.replace(**settings))
    expected: list[stages.VideoEstimate] = []
    job = prepare_video(source, style, tmp_path / "out.mkv", recipe, codec="ffv1")
    result = stages.run_video(job, on_estimate=expected.append)
    assert (result.frames, result.iterations) == (4, 0.0)
    assert 0.0 < expected[0].seconds < 60.0
    frames = [frame.pixels for frame in read(open_clip(tmp_path / "out.mkv"))]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4
    assert all(frame.std() > 10 for frame in frames)


@pytest.mark.slow
def test_a_saved_style_paints_what_its_picture_does(tmp_path: Path, style: Path, clip: InstantClip) -> None:
    source = write_clip(tmp_path / "in.mkv", moving_square(2))
    clip.network.remember(load(style).pixels).save(tmp_path / "mine.safetensors")
    painted = []
    for number, chosen in enumerate((style, tmp_path / "mine.safetensors")):
        job = prepare_video(source, chosen, tmp_path / f"{number}.mkv", INSTANT, codec="ffv1")
        stages.run_video(job)
        painted.append(np.stack([f.pixels for f in read(open_clip(tmp_path / f"{number}.mkv"))]).astype(int))
    # Samples of the style are rounded to float16 in the file.
    assert np.abs(painted[0] - painted[1]).mean() < 2.0


def test_a_saved_style_is_checked_before_any_work(tmp_path: Path, clip: InstantClip) -> None:
    source = write_clip(tmp_path / "in.mkv", moving_square(2))
    saved = tmp_path / "mine.safetensors"
    clip.regions[0].style.save(saved)
    for recipe, output in (
        (VideoRecipe(), "out.mkv"),
        (INSTANT.replace(picture=INSTANT.picture.replace(colours="content")), "out.mkv"),
    ):
        with pytest.raises(RecipeError, match="saved style"):
            prepare_video(source, saved, tmp_path / output, recipe)
    weights = INSTANT.replace(picture=INSTANT.picture.replace(style_blend=(2, 1)))
    with pytest.raises(RecipeError, match="2 weights for 1 styles"):
        prepare_video(source, saved, tmp_path / "out.mkv", weights)
    job = prepare_video(source, saved, tmp_path / "out.mkv", INSTANT)
    clip.regions[0].style.save(saved)
    assert prepare_video(source, saved, tmp_path / "out.mkv", INSTANT).store == job.store
    blended = InstantStyle.blend([clip.regions[0].style, clip.network.remember(torch.rand(1, 3, 64, 64))])
    blended.save(saved)
    with pytest.raises(VideoError, match="painted with other settings"):
        prepare_video(source, saved, tmp_path / "out.mkv", INSTANT)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_byte(tmp_path: Path, clip: InstantClip) -> None:
    threads = torch.get_num_threads()
    made = []
    for number in (1, 3):
        store = store_of(tmp_path / str(number), moving_square(5))
        torch.set_num_threads(number)
        try:
            painted(store, clip, Shot(0, 5))
            assert torch.get_num_threads() == number
        finally:
            torch.set_num_threads(threads)
        made.append([store.frame("pass1", index).read_bytes() for index in range(5)])
    assert made[0] == made[1]
