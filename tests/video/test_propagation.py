"""Key frames carried through a clip; if they are the film in other colours, all frames must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import impasto
from clips import moving_square, write_clip
from impasto import pictures
from impasto.errors import VideoError
from impasto.recipe import Recipe
from impasto.video.cuts import Shot
from impasto.video.frames import open_clip, read
from impasto.video.job import VideoJob, prepare_video
from impasto.video.key_frames import KeyFrame
from impasto.video.propagation import spans
from impasto.video.settings import VideoRecipe
from impasto.video.stages import VideoProgress, run_video
from impasto.video.store import from_pixels
from impasto.video.suggestion import write_suggested

QUICK = VideoRecipe(
    picture=Recipe(coarsest=48, iterations=(2,)), following_iterations=1, fill_iterations=(1, 1)
)


def test_a_shot_is_divided_by_its_keys() -> None:
    keys = [KeyFrame(index, torch.zeros(1, 3, 1, 1)) for index in (2, 3, 6, 40)]
    found = [
        (s.first, s.end, s.before and s.before.index, s.after and s.after.index)
        for s in spans(Shot(1, 9), keys)
    ]
    assert found == [(1, 2, None, 2), (4, 6, 3, 6), (7, 9, 6, None)]
    assert [(s.first, s.end) for s in spans(Shot(10, 12), keys)] == [(10, 12)]


def painting(frame: np.ndarray) -> torch.Tensor:
    """Other colours for the same picture."""
    red, green, blue = from_pixels(frame).unbind(1)
    return torch.stack([1.0 - green, 0.2 + 0.6 * red, blue], 1)


@pytest.fixture
def filmed(tmp_path: Path) -> list[np.ndarray]:
    """Seven frames of 64×48, in film.mkv, with paintings of the second and the last but one."""
    frames = moving_square(7, 48, 64, 16)
    write_clip(tmp_path / "film.mkv", frames)
    for index in (1, 5):
        pictures.save(tmp_path / f"{index}.png", painting(frames[index]))
    return frames


def prepare(folder: Path, **options: object) -> VideoJob:
    keys = options.pop("keys", {1: folder / "1.png", 5: folder / "5.png"})
    output = options.pop("output", folder / "out.mkv")
    options = {"codec": "ffv1", **options}
    return prepare_video(folder / "film.mkv", list(keys.values()), output, QUICK, keys=keys, **options)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_all_frames_get_the_colours_of_the_keys_and_a_killed_run_goes_on(
    tmp_path: Path, filmed: list[np.ndarray]
) -> None:
    told: list[int] = []

    class Killed(Exception):
        pass

    def kill(progress: VideoProgress) -> None:
        if progress.stage == "paint" and progress.done == 3:
            raise Killed

    def tell(progress: VideoProgress) -> None:
        if progress.stage == "paint":
            told.append(progress.fresh)

    with pytest.raises(Killed):
        run_video(prepare(tmp_path), on_moment=kill)
    result = run_video(prepare(tmp_path), on_moment=tell)
    assert (result.frames, told[-1]) == (7, 4)
    after = [frame.pixels for frame in read(open_clip(result.path))]
    for index, (before, pixels) in enumerate(zip(filmed, after, strict=True)):
        error = (painting(before) - from_pixels(pixels)).abs()
        assert float(error.mean()) < (0.003 if index in (1, 5) else 0.03), index
    digest = result.path.read_bytes()
    result.path.unlink()
    assert run_video(prepare(tmp_path)).path.read_bytes() == digest  # the same as without the kill


@pytest.mark.usefixtures("tiny_jobs", "filmed")
def test_other_keys_do_not_resume_the_run_and_bad_ones_are_refused(tmp_path: Path) -> None:
    assert len(prepare(tmp_path).keys) == 2
    with pytest.raises(VideoError, match="painted with other settings"):
        prepare(tmp_path, keys={1: tmp_path / "1.png", 4: tmp_path / "5.png"})
    with pytest.raises(VideoError, match=r"key 7 .* is not in the clip; frames are counted from 0 to 6"):
        prepare(tmp_path, keys={7: tmp_path / "1.png"}, restart=True)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_what_a_key_leaves_transparent_is_transparent_or_as_filmed(tmp_path: Path) -> None:
    """The right half is not painted: in pictures and in ProRes it is transparent, in H.264 the film shows."""
    frames = moving_square(3, 48, 64, 16)
    write_clip(tmp_path / "film.mkv", frames)
    alpha = torch.ones(1, 1, *frames[0].shape[:2])
    alpha[..., 32:] = 0.0
    pictures.save(tmp_path / "1.png", painting(frames[1]), alpha=alpha)
    keys = {1: tmp_path / "1.png"}
    job = prepare(tmp_path, keys=keys, output=tmp_path / "frames", codec=None)
    files = sorted(run_video(job).path.iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    job = prepare(tmp_path, keys=keys, output=tmp_path / "out.mov", codec="prores")
    prores = [from_pixels(frame.pixels) for frame in read(open_clip(run_video(job).path))]
    job = prepare(tmp_path, keys=keys, output=tmp_path / "out.mp4", codec="h264", quality=0)
    flat = [from_pixels(frame.pixels) for frame in read(open_clip(run_video(job).path))]
    for index, file in enumerate(files):
        written = pictures.load(file)
        assert written.alpha is not None
        for cover in (written.alpha, prores[index][:, 3:]):
            assert float(cover[..., :24].min()) > 0.95
            assert float(cover[..., 40:].max()) < 0.05
        assert flat[index].shape[1] == 3
        painted, filmed = painting(frames[index]), from_pixels(frames[index])
        assert float((flat[index] - painted)[..., :24].abs().mean()) < 0.04
        assert float((flat[index] - filmed)[..., 40:].abs().mean()) < 0.02


@pytest.mark.usefixtures("tiny_jobs", "filmed")
def test_the_same_picture_with_other_transparency_is_another_key(tmp_path: Path) -> None:
    prepare(tmp_path)
    whole = pictures.load(tmp_path / "5.png")
    pictures.save(tmp_path / "5.png", whole.pixels, alpha=torch.full_like(whole.pixels[:, :1], 0.5))
    with pytest.raises(VideoError, match="painted with other settings"):
        prepare(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs", "filmed")
def test_the_python_api(tmp_path: Path) -> None:
    keys = {1: tmp_path / "1.png"}
    moments: list[str] = []
    result = impasto.propagate(
        tmp_path / "film.mkv", keys, tmp_path / "out.mkv", recipe=QUICK, limit=2, codec="ffv1",
        on_moment=lambda moment: moments.append(moment.stage),
    )  # fmt: skip
    assert (result.frames, set(moments)) == (2, {"decode", "paint", "encode"})
    with pytest.raises(VideoError, match="no key frame"):
        impasto.propagate(tmp_path / "film.mkv", {}, tmp_path / "out.mkv")


@pytest.mark.slow
def test_suggested_frames_are_written_as_they_were_filmed(tmp_path: Path, filmed: list[np.ndarray]) -> None:
    write_clip(tmp_path / "two.mkv", [*filmed[:4], *(255 - frame for frame in filmed[4:])])
    suggested = write_suggested(tmp_path / "two.mkv", 2, tmp_path / "paint")
    first, second = suggested.indices
    assert first < 4 <= second
    assert [path.name for path in suggested.frames] == [f"{first:06d}.png", f"{second:06d}.png"]
    assert torch.equal(pictures.load(suggested.frames[0]).pixels, from_pixels(filmed[first]))
    assert 0.6 < suggested.covered <= 1.0
