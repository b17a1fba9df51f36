"""Clips: what of a stranger's file reaches the worker, what a moved folder changes, encoding, ends."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from impasto.errors import VideoError
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.sandbox.clips import clip_from_facts, decode_clip, prepare_clip_run
from impasto.studio.sandbox.job_files import JobFacts, prepare_job
from impasto.studio.settings import StudioSettings
from impasto.studio.worker import clips
from impasto.studio.worker.claimed_job import ClaimedJob, ReportIntervals
from impasto.studio.worker.painting import paint_here, paint_job
from impasto.video.stages import VideoProgress
from serving import TINY_CLIP, clip_bytes, encoded

av = pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")

RECIPE = {"size": 64, "coarsest": 64, "iterations": [2], "tolerance": 0}
UPLOADS = {"styles": [{"id": None}], "masks": 0, "style_masks": 0}
INPUTS = JobInputs.from_uploads(json.dumps(RECIPE), json.dumps(TINY_CLIP), UPLOADS)
ALWAYS = ReportIntervals(progress=0.0, preview=0.0)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioSettings:
    monkeypatch.chdir(tmp_path)
    return StudioSettings(data=tmp_path, free_bytes=0)


@pytest.fixture
def job(settings: StudioSettings, tmp_path: Path) -> StudioJob:
    """A clip job with sound, claimed by ``w``."""
    folder = settings.job_folder("j")
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(clip_bytes(tmp_path, audio=True))
    (folder / "style-0").write_bytes(encoded("PNG", seed=7))
    facts = JobFacts.from_json(prepare_job(folder, INPUTS, settings))
    uploads = UPLOADS | {"format": facts.format, "copy": list(facts.copied_streams)}
    store = JobStore(tmp_path / "studio.db")
    store.add(
        id="j", client="", kind="video", digest="d", preset="fast", height=43, width=64,
        recipe=INPUTS.recipe, video=INPUTS.video, uploads=json.dumps(uploads), frames=facts.frames,
    )  # fmt: skip
    claimed = store.claim("w")
    assert claimed is not None
    return claimed


def paint(job: StudioJob, settings: StudioSettings, store: JobStore | None = None) -> StudioJob:
    store = store or JobStore(settings.data / "studio.db")
    paint_job(ClaimedJob(job, store, settings, "w", ALWAYS), store, partial(paint_here, device="cpu"))
    painted = store.get(job.id)
    assert painted is not None
    return painted


def sound_packets(path: Path) -> list[tuple[Fraction, int]]:
    """(time, size) of each packet of sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
        return [(packet.dts * packet.time_base, packet.size) for packet in packets]


@pytest.mark.slow
def test_the_worker_never_opens_the_strangers_file(
    job: StudioJob, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened in the sandbox alone, with its format pinned, and the sound arrives all the same."""
    opened: list[str] = []
    real_open = av.open

    def recorded(file: str, *arguments: Any, **options: Any) -> Any:
        opened.append(Path(file).name)
        return real_open(file, *arguments, **options)

    monkeypatch.setattr(av, "open", recorded)
    painted = paint(job, settings)
    assert (painted.state, painted.error) == ("done", None)
    assert "sound.mp4" in opened
    assert "content" not in opened
    folder = settings.job_folder("j")
    assert not list(folder.glob("*.work"))
    before, after = sound_packets(folder / "content"), sound_packets(folder / "result.mp4")
    assert [size for _, size in before] == [size for _, size in after]
    assert max(abs(old[0] - new[0]) for old, new in zip(before, after, strict=True)) < Fraction(1, 100)


def decode(settings: StudioSettings, frames: int = 100) -> dict[str, Any]:
    return decode_clip(settings.job_folder("j"), INPUTS, ("audio",), "mov", frames, 0)


@pytest.mark.slow
def test_a_moved_folder_and_other_limits_do_not_stop_a_begun_clip(
    job: StudioJob, settings: StudioSettings, tmp_path: Path
) -> None:
    """What was painted goes on: a clip is known by its bytes."""
    decode(settings)
    work = settings.job_folder("j") / "result.mp4.work"
    (work / "pass1").mkdir()
    (work / "pass1" / "000000.png").write_bytes(b"painted")
    moved = tmp_path / "moved"
    (tmp_path / "jobs").rename(moved)
    os.utime(moved / "j" / "content")
    facts = decode_clip(moved / "j", INPUTS, ("audio",), "mov", 50, 0)
    os.chdir(moved / "j")
    prepare_clip_run(clip_from_facts(facts), INPUTS, ("audio",), "cpu", 50)
    assert (moved / "j" / "result.mp4.work" / "pass1" / "000000.png").exists()


@pytest.mark.slow
def test_frames_of_other_settings_are_thrown_away_and_no_path_is_told(
    job: StudioJob, settings: StudioSettings
) -> None:
    decode(settings)
    work = settings.job_folder("j") / "result.mp4.work"
    stored = json.loads((work / "job.json").read_text())
    (work / "job.json").write_text(json.dumps(stored | {"temporal_weight": 7.0}))
    (work / "stale").write_bytes(b"x")
    assert paint(job, settings).state == "done"
    assert not (work / "stale").exists()


@pytest.mark.slow
def test_a_file_of_another_format_behind_the_header_is_not_probed(
    job: StudioJob, settings: StudioSettings, tmp_path: Path
) -> None:
    """FFmpeg's own detection would open the file that the playlist names."""
    folder = settings.job_folder("j")
    (folder / "other.mp4").write_bytes(clip_bytes(tmp_path))
    (folder / "content").write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    with pytest.raises(VideoError):
        decode(settings)


@pytest.mark.slow
def test_each_encoded_frame_is_a_sign_of_life_and_a_cancelled_clip_is_encoded_to_its_end(
    job: StudioJob, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(settings.data / "studio.db")
    touched: list[float] = []
    touch = store.touch

    def recorded(*arguments: Any) -> bool:
        touched.append(1)
        return touch(*arguments)

    cancel_at_encoding(monkeypatch, lambda: store.cancel("j"))
    monkeypatch.setattr(store, "touch", recorded)
    painted = paint(job, settings, store)
    assert (painted.state, painted.result) == ("cancelled", "result.mp4")
    assert len(touched) >= 4  # one for each frame
    with av.open(str(settings.job_folder("j") / "result.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


@pytest.mark.slow
def test_a_deleted_clip_is_not_encoded_to_its_end(
    job: StudioJob, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(settings.data / "studio.db")
    cancel_at_encoding(monkeypatch, lambda: store.mark_deleted("j"))
    paint_job(ClaimedJob(job, store, settings, "w", ALWAYS), store, partial(paint_here, device="cpu"))
    assert store.removable_ids() == ["j"]
    assert not (settings.job_folder("j") / "result.mp4").exists()
    assert not list(settings.job_folder("j").glob("*.work"))


def cancel_at_encoding(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have a client act when the first frame is encoded."""
    make_reporter = clips._reporter

    def reporter(*arguments: Any) -> Callable[[VideoProgress], None]:
        report = make_reporter(*arguments)

        def acting(progress: VideoProgress) -> None:
            if progress.stage == "encode" and progress.done == 0:
                act()
            report(progress)

        return acting

    monkeypatch.setattr(clips, "_reporter", reporter)


@pytest.mark.slow
@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), RuntimeError("unexpected")])
def test_an_unexpected_error_does_not_leave_the_decoding_child_behind(
    job: StudioJob, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls: list[clips.SandboxedCall] = []

    class Recorded(clips.SandboxedCall):
        def __init__(self, *arguments: Any, **limits: Any) -> None:
            super().__init__(*arguments, **limits)
            calls.append(self)

    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(clips, "SandboxedCall", Recorded)
    monkeypatch.setattr(clips, "_preview_first_frame", failing)
    assert paint(job, settings).state == "queued"
    assert [call._closed for call in calls] == [True]


@pytest.mark.slow
def test_decoding_stops_before_the_disk_is_full(job: StudioJob, settings: StudioSettings) -> None:
    """A failed job keeps no frames, and a job that waits for room keeps what was decoded."""
    painted = paint(job, settings.model_copy(update={"free_bytes": 10**15}))
    assert (painted.state, painted.attempts) == ("queued", 0)
    assert "No space" in (painted.last_error or "")
