"""Whole clips with the tiny encoder: kill and resume, cuts, processes, masks, sound, damage, full disks."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clips import moving_square, packets, texture, write_clip
from impasto.cli.main import main
from impasto.errors import VideoError
from impasto.files import write_atomically
from impasto.pictures.colour import to_oklab
from impasto.recipe import Recipe
from impasto.video import stages, store
from impasto.video.frames import open_clip, read
from impasto.video.job import prepare_video
from impasto.video.settings import VideoRecipe
from impasto.video.stages import VideoEstimate, VideoProgress
from impasto.video.store import from_pixels

pytestmark = pytest.mark.usefixtures("tiny_jobs")

QUICK = VideoRecipe(
    picture=Recipe(coarsest=48, iterations=(6, 4, 3)),
    following_iterations=2,
    fill_iterations=(2, 2),
    flow_size=96,
)


def paint(
    clip: Path, style: Path, output: Path, recipe: VideoRecipe = QUICK, **options: Any
) -> stages.VideoResult:
    hooks = {
        name: options.pop(name) for name in ("on_moment", "on_estimate", "keep_frames") if name in options
    }
    return stages.run_video(prepare_video(clip, style, output, recipe, **options), **hooks)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_clip_keeps_its_frames_times_and_sound(tmp_path: Path, clip: Path, style: Path) -> None:
    told: list[VideoProgress] = []
    estimates: list[VideoEstimate] = []
    preview = tmp_path / "now.png"
    result = paint(
        clip,
        style,
        tmp_path / "out.mp4",
        preview=preview,
        on_moment=told.append,
        on_estimate=estimates.append,
    )
    assert (result.frames, result.shots, result.corrupt) == (3, 1, ())
    before, after = open_clip(clip), open_clip(result.path)
    assert [f.time * after.time_base for f in read(after)] == [
        f.time * before.time_base for f in read(before)
    ]
    assert (after.width, after.height) == (96, 64)
    assert [data for _, data in packets(clip, "audio")] == [data for _, data in packets(result.path, "audio")]
    assert [m.done for m in told if m.stage == "paint"] == [1, 2, 3]
    assert estimates[0].frames == 3
    assert estimates[0].seconds > 0
    assert Image.open(preview).size == (96, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "now.png", "out.mp4", "style.png"]


@pytest.mark.slow
def test_freed_memory_is_kept_once_for_the_whole_painting(
    tmp_path: Path, clip: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(stages, "keep_memory", lambda: calls.append("kept"))
    paint(clip, style, tmp_path / "out.mp4", on_moment=lambda progress: calls.append(progress.stage))
    assert calls.count("kept") == 1
    assert calls[calls.index("kept") + 1] == "paint"


class Killed(BaseException):
    """What a signal would do, at a chosen moment."""


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_stopped_anywhere_it_goes_on_with_the_same_bytes(
    tmp_path: Path, clip: Path, style: Path, passes: int
) -> None:
    recipe = QUICK.replace(passes=passes)
    whole = digest(paint(clip, style, tmp_path / "whole.mp4", recipe).path)
    total = 3 * passes
    for stage, at in [("decode", 2), ("paint", 2), ("encode", 0)] if passes == 1 else [("paint", 4)]:

        def stop(moment: VideoProgress, stage: str = stage, at: int = at) -> None:
            if (moment.stage, moment.done) == (stage, at):
                raise Killed

        output = tmp_path / "part.mp4"
        with pytest.raises(Killed):
            paint(clip, style, output, recipe, on_moment=stop)
        assert not output.exists()
        told: list[VideoProgress] = []
        paint(clip, style, output, recipe, on_moment=told.append)
        assert digest(output) == whole
        if stage == "paint":
            fresh = max(moment.fresh for moment in told if moment.stage == "paint")
            assert fresh == total - at, "nothing is painted twice"
        output.unlink()


@pytest.mark.slow
def test_a_killed_process_leaves_whole_files_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real SIGKILL, with the real encoder and command."""
    monkeypatch.undo()  # a process of its own knows nothing of the tiny encoder
    film = write_clip(tmp_path / "in.mkv", moving_square(4, 48, 64, 16))
    Image.fromarray(texture(24, 24, 7)).save(tmp_path / "small.png")
    words = [
        "video", str(film), str(tmp_path / "small.png"), "--iterations", "2", "--coarse-finishing", "1",
        "--finishing", "1", "--evaluations", "2", "--fill-evaluations", "1", "--quiet", "-o",
    ]  # fmt: skip

    def paint_here(path: Path) -> None:
        with pytest.raises(SystemExit) as end:
            main([*words, str(path)])
        assert end.value.code == 0

    paint_here(tmp_path / "whole.mp4")
    output = tmp_path / "part.mp4"
    process = subprocess.Popen([sys.executable, "-m", "impasto.cli", *words, str(output)])
    frames = tmp_path / "part.mp4.work" / "pass1"
    for _ in range(3000):
        if frames.is_dir() and list(frames.glob("*.png")):
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    paint_here(output)
    assert digest(output) == digest(tmp_path / "whole.mp4")


@pytest.mark.slow
def test_other_settings_do_not_go_on_with_these_frames(tmp_path: Path, clip: Path, style: Path) -> None:
    output = tmp_path / "out.mp4"

    def stop(moment: VideoProgress) -> None:
        if moment.stage == "paint":
            raise Killed

    with pytest.raises(Killed):
        paint(clip, style, output, on_moment=stop)
    with pytest.raises(VideoError, match=r"temporal_weight 1.0 → 9.0.*--restart"):
        paint(clip, style, output, QUICK.replace(temporal_weight=9.0))
    paint(clip, style, output, QUICK.replace(temporal_weight=9.0), restart=True)


def cut_clip(tmp_path: Path) -> Path:
    scenes = [*moving_square(2), *[255 - frame for frame in moving_square(2)]]
    return write_clip(tmp_path / "cut.mkv", scenes)


@pytest.mark.slow
def test_nothing_is_carried_over_a_cut(tmp_path: Path, style: Path) -> None:
    """The first frame after a cut is what it would be without the shot before."""
    result = paint(cut_clip(tmp_path), style, tmp_path / "out.mkv", codec="ffv1")
    assert result.shots == 2
    alone = write_clip(tmp_path / "alone.mkv", [255 - frame for frame in moving_square(2)])
    single = paint(alone, style, tmp_path / "single.mkv", codec="ffv1")
    after = [frame.pixels for frame in read(open_clip(result.path))][2:]
    expected = [frame.pixels for frame in read(open_clip(single.path))]
    assert all(np.array_equal(a, b) for a, b in zip(after, expected, strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_shots_in_processes_of_their_own(tmp_path: Path, style: Path) -> None:
    """With the compact encoder: a process of its own knows nothing of the tiny one."""
    clip = cut_clip(tmp_path)
    recipe = QUICK.replace(picture=QUICK.picture.replace(iterations=(2, 2, 2)))
    told: list[VideoProgress] = []
    result = paint(
        clip, style, tmp_path / "out.mkv", recipe, processes=2, limit=3, codec="ffv1", on_moment=told.append
    )
    assert (result.frames, result.shots) == (3, 2)
    assert [m for m in told if m.stage == "paint"][-1].done == 3
    assert len(list(read(open_clip(result.path)))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["picture", "folder"])
def test_a_mask_leaves_the_film_where_it_is_black(tmp_path: Path, clip: Path, style: Path, kind: str) -> None:
    black = np.zeros((64, 96), np.uint8)
    black[:, :40] = 255
    mask = tmp_path / "mask.png"
    Image.fromarray(black).save(mask)
    if kind == "folder":
        mask = tmp_path / "masks"
        mask.mkdir()
        for number in range(3):
            Image.fromarray(black).save(mask / f"{number}.png")
    film = write_clip(tmp_path / "film.mkv", moving_square(3))
    result = paint(film, style, tmp_path / "out.mkv", mask=mask, codec="ffv1")
    for before, after in zip(read(open_clip(film)), read(open_clip(result.path)), strict=True):
        assert np.array_equal(before.pixels[:, 44:], after.pixels[:, 44:])
        assert not np.array_equal(before.pixels[:, :36], after.pixels[:, :36])


def test_one_frame_without_sound_and_upright(tmp_path: Path, style: Path) -> None:
    film = write_clip(tmp_path / "one.mkv", [texture(71, 41)])
    result = paint(film, style, tmp_path / "out.mp4")
    assert [frame.pixels.shape for frame in read(open_clip(result.path))] == [(72, 42, 3)]


def test_a_folder_becomes_a_folder(tmp_path: Path, style: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(moving_square(3)):
        Image.fromarray(frame).save(folder / f"scene_{index}.png")
    result = paint(folder, style, tmp_path / "painted")
    assert sorted(path.name for path in result.path.iterdir()) == [f"scene_{k}.png" for k in range(3)]


@pytest.mark.slow
def test_a_corrupt_frame_costs_nothing_and_is_told(tmp_path: Path, style: Path) -> None:
    film = write_clip(tmp_path / "in.mkv", moving_square(4), codec="mjpeg", pix_fmt="yuvj420p")
    body = packets(film, "video")[2][1]
    film.write_bytes(film.read_bytes().replace(body, b"\0" * len(body)))
    result = paint(film, style, tmp_path / "out.mkv", codec="ffv1")
    assert result.corrupt == (2,)
    frames = [frame.pixels for frame in read(open_clip(result.path))]
    assert len(frames) == 4
    assert np.array_equal(frames[1], frames[2])


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, clip: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, written = tmp_path / "out.mp4", []

    def write_until_full(path: Path, data: bytes) -> None:
        if "pass1" in str(path) and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if "pass1" in str(path):
            written.append(path)
        write_atomically(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomically", write_until_full)
        with pytest.raises(VideoError, match="the disk is full; make room and run again"):
            paint(clip, style, output)
    fresh: list[int] = []
    paint(clip, style, output, on_moment=lambda m: fresh.append(m.fresh) if m.stage == "paint" else None)
    assert max(fresh) == 1
    assert len(list(read(open_clip(output)))) == 3


@pytest.mark.slow
def test_colours_of_the_film_stay_and_those_of_the_style_are_fixed_by_its_first_frame(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    def frames(kind: str) -> list[np.ndarray]:
        recipe = QUICK.replace(picture=QUICK.picture.replace(size=96, colours=kind))
        job = prepare_video(clip, style, tmp_path / f"{kind}.mkv", recipe, codec="ffv1")
        palettes = {one.palette is None for one in job.styles}
        assert palettes == {kind == "style"}
        stages.run_video(job)
        return [frame.pixels for frame in read(open_clip(tmp_path / f"{kind}.mkv"))]

    filmed = [frame.pixels for frame in read(open_clip(clip))]
    found = {kind: frames(kind) for kind in ("style", "content", "match")}

    def chroma(a: np.ndarray, b: np.ndarray) -> float:
        one, other = (to_oklab(from_pixels(x))[:, 1:] for x in (a, b))
        return float((one - other).abs().mean())

    for a, b, c in zip(found["content"], filmed, found["style"], strict=True):
        assert chroma(a, b) < 0.5 * chroma(c, b)
    assert any((a != b).any() for a, b in zip(found["match"], found["style"], strict=True))


def test_only_what_is_still_to_be_painted_has_to_fit_on_the_disk(
    tmp_path: Path, clip: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the filmed frames, which are there already."""

    def stop(*_: object) -> float:
        raise Killed

    monkeypatch.setattr(stages, "_paint", stop)
    needed = 2 * 2 * 64 * 96 * 3  # frames, passes
    recipe = QUICK.replace(passes=2)
    for free, error, line in ((needed, Killed, None), (needed - 1, VideoError, "need up to 73.7 kB")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        with pytest.raises(error, match=line):
            paint(clip, style, tmp_path / "out.mp4", recipe, limit=2)
