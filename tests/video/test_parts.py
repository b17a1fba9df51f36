"""Long shots in parts: which frames, where they are kept, how they are joined; whole clips with parts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from clips import moving_square, write_clip
from impasto.errors import VideoError
from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Files
from impasto.recipe import Recipe
from impasto.video import parts, stages
from impasto.video.cuts import Shot
from impasto.video.frames import open_clip, read
from impasto.video.identity import OtherRunError
from impasto.video.job import VideoJob, prepare_video
from impasto.video.parts import Part, cut_shots, joined_frame, parts_of
from impasto.video.settings import VideoRecipe
from impasto.video.shot_painting import ShotPiece
from impasto.video.store import Store
from tiny_video import STYLES

QUICK = VideoRecipe(
    picture=Recipe(coarsest=48, iterations=(2, 2)),
    following_iterations=1,
    fill_iterations=(1, 1),
    flow_size=96,
)


@pytest.mark.parametrize("total", [1, 11, 35, 36, 47, 60, 61, 200, 1000])
@pytest.mark.parametrize("length", [24, 25, 48, 333])
def test_parts_cover_a_shot_and_no_frame_belongs_to_three(total: int, length: int) -> None:
    shots = [Shot(7, 7 + total), Shot(7 + total, 10 + total)]
    found = [part for part in cut_shots(shots, length, 12) if part.frames.first < shots[0].end]
    owners = [
        [part for part in found if part.frames.first <= index < part.frames.end]
        for index in range(shots[0].first, shots[0].end)
    ]
    assert {len(each) for each in owners} <= {1, 2}
    assert all(first.number % 2 != second.number % 2 for first, second in (o for o in owners if len(o) == 2))
    assert [part.number for part in found] == list(range(len(found)))
    for before, after in pairwise(found):
        assert before.frames.end - after.frames.first == 12
    if total < 1.5 * length:
        assert len(found) == 1


def test_without_a_length_shots_stay_whole() -> None:
    shots = [Shot(0, 500), Shot(500, 502)]
    assert cut_shots(shots, 0) == [Part(shots[0]), Part(shots[1])]


def test_the_second_part_comes_in_step_by_step(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = [Part(Shot(0, 6)), Part(Shot(3, 9), 1)]
    for part, grey in zip(found, (0.2, 0.6), strict=True):
        part.store(store).make("pass1")
        for index in range(part.frames.first, part.frames.end):
            part.store(store).save("pass1", index, torch.full((1, 3, 8, 8), grey))
    greys = [float(joined_frame(store, found, "pass1", index).mean()) for index in range(9)]
    assert greys == pytest.approx([0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6], abs=1e-6)


def test_a_store_beside_another_shares_its_film_wherever_it_is(tmp_path: Path) -> None:
    odd = Store(tmp_path / "work").beside("odd")
    assert odd.frame("input", 1) == tmp_path / "work/input/000001.png"
    assert odd.frame("pass1", 1) == tmp_path / "work/odd/pass1/000001.png"
    moved = odd.moved(tmp_path / "there")
    assert moved.frame("mask", 1) == tmp_path / "there/mask/000001.png"
    assert moved.frame("pass2", 1) == tmp_path / "there/odd/pass2/000001.png"
    assert Store(tmp_path / "work").moved(tmp_path / "there") == Store(tmp_path / "there")


# -- whole clips --------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten frames in one shot; parts of four frames are allowed, and share two."""
    for name, value in (("OVERLAP", 2), ("LEAST", 4), ("SHORTEST", 4)):
        monkeypatch.setattr(parts, name, value)
    return write_clip(tmp_path / "film.mkv", moving_square(10, 48, 64, 16))


def prepare(film: Path, style: Path, name: str, **options: Any) -> VideoJob:
    return prepare_video(film, style, film.with_name(name), QUICK, codec="ffv1", **options)


def frames(path: Path) -> list[bytes]:
    return [frame.pixels.tobytes() for frame in read(open_clip(path))]


class Killed(BaseException):
    """What a signal would do."""


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_parts_differ_from_the_unbroken_shot_only_from_the_seam_on_and_resume_alike(
    film: Path, style: Path
) -> None:
    stages.run_video(prepare(film, style, "whole.mkv"))
    stages.run_video(prepare(film, style, "parts.mkv", part_frames=5))
    whole, cut = frames(film.with_name("whole.mkv")), frames(film.with_name("parts.mkv"))
    assert len(cut) == 10
    assert cut[:5] == whole[:5]
    assert cut[5] != whole[5]

    def stop(progress: stages.VideoProgress) -> None:
        if (progress.stage, progress.done) == ("paint", 9):
            raise Killed

    with pytest.raises(Killed):
        stages.run_video(prepare(film, style, "again.mkv", part_frames=5), on_moment=stop)
    told: list[stages.VideoProgress] = []
    with pytest.raises(OtherRunError, match=r"in parts of 5 frames .*; not of 8"):
        stages.run_video(prepare(film, style, "again.mkv", part_frames=8))
    # Without the flag as well: the work folder knows.
    stages.run_video(prepare(film, style, "again.mkv"), on_moment=told.append)
    assert film.with_name("again.mkv").read_bytes() == film.with_name("parts.mkv").read_bytes()
    painted = [progress for progress in told if progress.stage == "paint"]
    assert (painted[-1].total, painted[-1].fresh) == (12, 3), "two frames are painted twice"


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_more_processes_than_shots_share_a_long_shot(
    film: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def executor_for(on: str, pieces: int, **_: Any) -> LocalExecutor:
        asked.append(pieces)
        return LocalExecutor(1, 1)

    monkeypatch.setattr(stages, "executor_for", executor_for)
    stages.run_video(prepare(film, style, "two.mkv", processes=2))
    stages.run_video(prepare(film, style, "parts.mkv", part_frames=5))
    assert asked == [2]
    assert frames(film.with_name("two.mkv")) == frames(film.with_name("parts.mkv"))


@pytest.mark.usefixtures("tiny_jobs")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [10]),
        ({"processes": 2}, [7, 5]),
        ({"processes": 2, "part_frames": 0}, [10]),
        ({"processes": 3}, [5, 6, 3]),
        ({"processes": 9}, [5, 6, 3]),  # none is planned shorter than the shortest
        ({"part_frames": 4}, [5, 6, 3]),
        ({"on": "ray"}, [7, 5]),
    ],
)
def test_a_shot_is_cut_where_there_are_more_processes_than_shots(
    film: Path, style: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: list[int]
) -> None:
    monkeypatch.setattr(parts, "room_at", lambda on, needs: 2)
    job = prepare(film, style, "out.mkv", **options)
    for _ in stages.decode(job):
        pass
    assert [part.frames.end - part.frames.first for part in parts_of(job)] == expected
    monkeypatch.setattr(parts, "room_at", lambda on, needs: 7)
    assert [part.frames.end - part.frames.first for part in parts_of(job)] == expected, "now it stays so"


@pytest.mark.usefixtures("tiny_jobs")
@pytest.mark.parametrize(
    ("options", "gpus", "device"),
    [({"on": "ray"}, 0.0, "cpu"), ({"on": "ray", "gpus_per_piece": 0.5}, 0.5, "auto"), ({}, 0.0, "auto")],
)
def test_what_a_shot_takes_is_declared(
    film: Path, style: Path, options: dict[str, Any], gpus: float, device: str
) -> None:
    job = prepare(film, style, "out.mkv", **options)
    assert (job.shot_needs.threads, job.shot_needs.gpus, job.shot_device) == (1, gpus, device)
    assert job.shot_needs.memory > 1e8


@pytest.mark.usefixtures("tiny_jobs")
def test_a_run_that_was_begun_unbroken_goes_on_unbroken(film: Path, style: Path) -> None:
    job = prepare(film, style, "out.mkv", processes=2)
    for _ in stages.decode(job):
        pass
    job.store.make("pass1")
    job.store.save("pass1", 0, torch.zeros(1, 3, 48, 64))
    assert parts_of(job) == [Part(Shot(0, 10))]


@pytest.mark.usefixtures("tiny_jobs")
def test_parts_that_are_too_short_are_refused(film: Path, style: Path) -> None:
    job = prepare(film, style, "out.mkv", part_frames=3)
    with pytest.raises(VideoError, match=r"parts of 3 frames; 0 \(no parts\) or at least 4; raise --part"):
        stages.run_video(job)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_a_part_that_was_sent_to_another_machine_comes_back_beside_the_others(
    film: Path, style: Path
) -> None:
    job = prepare(film, style, "out.mkv", part_frames=5)
    for _ in stages.decode(job):
        pass
    part = parts_of(job)[1]
    piece = ShotPiece(part.store(job.store), part.frames, STYLES, QUICK, (48, 64))
    result = piece.work(Files({path: path.read_bytes() for path in piece.inputs()}), lambda share: None)
    assert sorted(path.relative_to(job.store.root).as_posix() for path in result) == [
        f"odd/pass1/{index:06d}.png" for index in range(5, 10)
    ]
    piece.store.make("pass1")
    piece.keep(result)
    assert piece.is_done()
