"""A worker's jobs, painted in this process: resuming, duplicates, failures."""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from impasto import pictures
from impasto.recipe import Recipe
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.sandbox.job_files import prepare_job
from impasto.studio.settings import StudioSettings
from impasto.studio.worker import claimed_job
from impasto.studio.worker.claimed_job import ClaimedJob, ReportIntervals
from impasto.studio.worker.painting import paint_here, paint_job
from impasto.studio.worker.saved_state import load_state
from serving import encoded

RECIPE = Recipe(size=64, coarsest=32, iterations=(6, 8), tolerance=0)
UPLOADS = {"styles": [{"id": None}], "masks": 0, "style_masks": 0}
HERE = partial(paint_here, device="cpu")
#: Report, save and publish after each evaluation.
ALWAYS = ReportIntervals(progress=0.0, preview=0.0, save=0.0, save_cost_factor=0.0)


class Killed(BaseException):
    """Raised where the process would have been killed."""


class RecordingStore(JobStore):
    """Keeps all progress reports, and ends the worker at one of them.

    Attributes:
        killed_at: the evaluation whose report raises ``Killed``.
    """

    killed_at: int | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reports: list[dict[str, Any]] = []

    def update(self, job_id: str, slot: str, **columns: Any) -> bool:
        self.reports.append(columns)
        if columns["evaluation"] == self.killed_at:
            raise Killed
        return super().update(job_id, slot, **columns)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioSettings:
    """A data folder with the prepared files of the job ``j``."""
    monkeypatch.chdir(tmp_path)  # both the sandbox and the worker change into the job's folder
    settings = StudioSettings(data=tmp_path)
    folder = settings.job_folder("j")
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(encoded())
    (folder / "style-0").write_bytes(encoded("PNG", seed=7))
    recipe = RECIPE.model_dump_json(exclude_unset=True)
    prepare_job(folder, JobInputs.from_uploads(recipe, None, UPLOADS), settings)
    return settings


@pytest.fixture
def store(settings: StudioSettings) -> RecordingStore:
    store = RecordingStore(settings.data / "studio.db")
    store.add(
        id="j", client="", kind="image", digest="d", preset="fast", height=48, width=64,
        recipe=RECIPE.model_dump_json(exclude_unset=True), uploads=json.dumps(UPLOADS),
    )  # fmt: skip
    return store


def paint_next(store: JobStore, settings: StudioSettings) -> StudioJob:
    """Claim and paint a job as a worker does; returns its row afterwards."""
    job = store.claim("w")
    assert job is not None
    paint_job(ClaimedJob(job, store, settings, "w", ALWAYS), store, HERE)
    painted = store.get(job.id)
    assert painted is not None
    return painted


@pytest.mark.slow
@pytest.mark.parametrize("last", [4, 6, 9])
def test_a_picture_is_resumed_from_its_last_state(
    store: RecordingStore, settings: StudioSettings, last: int
) -> None:
    store.killed_at = last
    with pytest.raises(Killed):
        paint_next(store, settings)
    store.release("w")
    before = store.reports[-1]
    store.reports.clear()
    store.killed_at = None
    job = paint_next(store, settings)
    first, final = store.reports[0], store.reports[-1]
    assert first["evaluation"] in (before["evaluation"], before["evaluation"] + 1)
    assert first["progress"] >= before["progress"] - 0.05
    assert first["scale"] in (before["scale"], before["scale"] + 1)
    assert final["evaluation"] in (14, 15)
    assert job.state == "done"
    result = settings.job_folder("j") / "result.png"
    assert pictures.load(result).size == (48, 64)
    embedded = Recipe.from_json(pictures.read_metadata(result) or "")
    assert embedded == RECIPE  # as it was asked for, not as it was resumed
    assert not list(settings.job_folder("j").glob("state*"))


@pytest.mark.slow
def test_what_another_attempt_needs_stays_until_the_result_is_on_the_disk(
    store: RecordingStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in between must not leave neither."""
    folder, seen = settings.job_folder("j"), []
    sync = claimed_job.sync_folder

    def recorded_sync(path: Path) -> None:
        seen.append((path, (folder / "result.png").exists(), (folder / "style-0.png").exists()))
        sync(path)

    monkeypatch.setattr(claimed_job, "sync_folder", recorded_sync)
    assert paint_next(store, settings).state == "done"
    assert seen == [(folder, True, True)]
    assert not (folder / "style-0.png").exists()


def test_a_job_is_stopped_when_its_time_is_over(store: RecordingStore, settings: StudioSettings) -> None:
    """The best picture so far is the result, and the job counts as done."""
    job = paint_next(store, settings.model_copy(update={"job_seconds": 0}))
    assert (job.state, job.result) == ("done", "result.png")
    assert len(store.reports) == 1
    assert store.find_duplicate("d") is None  # with more time it would be another picture


def test_a_job_whose_time_is_over_before_there_is_a_picture_has_failed(
    store: RecordingStore, settings: StudioSettings
) -> None:
    claimed = store.claim("w")
    assert claimed is not None
    paint_job(ClaimedJob(claimed, store, settings, "w", ALWAYS), store, lambda _: None)
    job = store.get("j")
    assert job is not None
    assert (job.state, job.failure) == ("failed", "permanent")
    assert "its time was over" in (job.error or "")


def test_a_cancelled_job_keeps_the_best_picture_so_far(
    store: RecordingStore, settings: StudioSettings
) -> None:
    claimed = store.claim("w")
    assert claimed is not None
    store.cancel("j")
    paint_job(ClaimedJob(claimed, store, settings, "w", ALWAYS), store, HERE)
    job = store.get("j")
    assert job is not None
    assert (job.state, job.result) == ("cancelled", "result.png")


def test_files_that_are_missing_become_the_jobs_error(
    store: RecordingStore, settings: StudioSettings
) -> None:
    (settings.job_folder("j") / "content.png").unlink()
    job = paint_next(store, settings)
    assert job.state == "failed"
    assert job.error is not None
    assert "there is no file 'content.png'" in job.error
    assert str(settings.data) not in job.error


@pytest.mark.slow
def test_a_job_equal_to_a_finished_one_takes_over_its_result(
    store: RecordingStore, settings: StudioSettings
) -> None:
    first = paint_next(store, settings)
    assert first.result is not None
    settings.job_folder("k").mkdir()
    store.add(
        id="k", client="", kind="image", digest="d", preset="fast", height=48, width=64,
        recipe="{}", uploads=json.dumps(UPLOADS),
    )  # fmt: skip
    store.reports.clear()
    second = paint_next(store, settings)
    assert (second.state, second.result, second.preview) == ("done", "result.png", 1)
    assert store.reports == []  # nothing was painted
    results = [settings.job_folder(name) / first.result for name in ("j", "k")]
    assert results[0].read_bytes() == results[1].read_bytes()


# -- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "goes_on", "attempts"),
    [
        (OSError(errno.ENOSPC, "full"), True, 0),
        (OSError(errno.EIO, "io"), False, 1),
        (MemoryError(), False, 1),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, 1),
    ],
)
def test_a_failure_that_is_not_the_jobs_own_puts_it_back(
    store: RecordingStore,
    settings: StudioSettings,
    error: Exception,
    goes_on: bool,
    attempts: int,
) -> None:
    """A full disk does not count; after anything else this process is replaced."""

    def failing(*_: object) -> str:
        raise error

    claimed = store.claim("w")
    assert claimed is not None
    assert paint_job(ClaimedJob(claimed, store, settings, "w", ALWAYS), store, failing) is goes_on
    job = store.get("j")
    assert job is not None
    assert (job.state, job.error, job.attempts) == ("queued", None, attempts)
    assert job.not_before > time.time()
    assert type(error).__name__ in (job.last_error or "")
    assert (settings.job_folder("j") / "style-0.png").exists()


def test_a_result_that_was_painted_but_not_recorded_is_not_painted_again(
    store: RecordingStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = store.finish

    def failing(*_: object, **__: object) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("impasto.studio.worker.claimed_job._WRITE_PAUSE", 0.0)
    monkeypatch.setattr(store, "finish", failing)
    painted = paint_next(store, settings)
    assert painted.state == "queued"
    result = (settings.job_folder("j") / "result.png").read_bytes()
    store.reports.clear()
    monkeypatch.setattr(store, "finish", finish)
    with sqlite3.connect(store.path) as database:
        database.execute("UPDATE jobs SET not_before = 0")
    job = paint_next(store, settings)
    assert (job.state, job.result, store.reports) == ("done", "result.png", [])
    assert (settings.job_folder("j") / "result.png").read_bytes() == result


def test_a_result_without_any_preview_is_a_result(store: RecordingStore, settings: StudioSettings) -> None:
    def paint(claimed: ClaimedJob) -> str:
        (claimed.folder / "result.png").write_bytes(encoded("PNG"))
        return "result.png"

    claimed = store.claim("w")
    assert claimed is not None
    paint_job(ClaimedJob(claimed, store, settings, "w", ALWAYS), store, paint)
    job = store.get("j")
    assert job is not None
    assert (job.state, job.result, job.preview, job.error) == ("done", "result.png", 0, None)
    settings.job_folder("k").mkdir()
    columns = {"kind": "image", "preset": "fast", "recipe": "{}", "uploads": json.dumps(UPLOADS)}
    store.add(id="k", client="", digest="d", height=48, width=64, **columns)
    equal = paint_next(store, settings)
    assert (equal.state, equal.result, equal.preview) == ("done", "result.png", 0)


def test_previews_states_and_reports_that_cannot_be_written_do_not_fail_a_job(
    store: RecordingStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, update = claimed_job.write_atomically, store.update
    failures = []

    def fail(error: Exception) -> None:
        failures.append(error)
        raise error

    def failing_write(path: Path, data: bytes) -> None:
        if len(failures) < 5:
            fail(OSError(errno.ENOSPC, "full"))
        write(path, data)

    def failing_update(*arguments: Any, **columns: Any) -> bool:
        if len(failures) < 9:
            fail(sqlite3.OperationalError("database is locked"))
        return update(*arguments, **columns)

    def failing_save(*_: object) -> None:
        fail(OSError(errno.EIO, "io"))

    monkeypatch.setattr(claimed_job, "write_atomically", failing_write)
    monkeypatch.setattr(store, "update", failing_update)
    monkeypatch.setattr("impasto.studio.worker.pictures.save_state", failing_save)
    assert paint_next(store, settings).state == "done"
    assert len(failures) > 10


def test_a_worker_that_is_asked_to_end_saves_its_job(store: RecordingStore, settings: StudioSettings) -> None:
    draining = threading.Event()
    update = store.update

    def update_then_drain(job_id: str, slot: str, **columns: Any) -> bool:
        if columns["evaluation"] == 3:
            draining.set()
        return update(job_id, slot, **columns)

    store.update = update_then_drain  # type: ignore[method-assign]
    claimed = store.claim("w")
    assert claimed is not None
    intervals = ReportIntervals(progress=0.0)
    assert paint_job(ClaimedJob(claimed, store, settings, "w", intervals, draining), store, HERE)
    job = store.get("j")
    assert job is not None
    assert (job.state, job.attempts, job.owner) == ("queued", 0, None)
    state = load_state(settings.job_folder("j") / "state.safetensors")
    assert state is not None
    assert state.iteration == 4
