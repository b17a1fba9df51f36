"""A worker's loop: what ends it, what does not, and what becomes of the jobs."""

from __future__ import annotations

import errno
import sqlite3
import threading
from pathlib import Path

import pytest

from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.settings import StudioSettings
from impasto.studio.worker import loop
from impasto.studio.worker.loop import WorkLoop
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_POLL_SECONDS", "_DISK_POLL_SECONDS", "_FIRST_PAUSE"):
        monkeypatch.setattr(loop, name, 0.001)


def make_loop(store: JobStore, paint: object = None, **settings: object) -> WorkLoop:
    def finish(job: StudioJob) -> bool:
        return store.finish(job.id, "w", "done", result="result.png")

    limits = StudioSettings(data=store.path.parent, **settings)
    return WorkLoop(limits, store, "w", paint or finish, threading.Event())  # type: ignore[arg-type]


def test_a_worker_is_replaced_after_so_many_jobs(store: JobStore) -> None:
    for _ in range(3):
        add_job(store)
    assert make_loop(store, worker_jobs=2).run() == 0
    assert store.count_by_state() == {"done": 2, "queued": 1}


def test_a_worker_ends_after_an_error_that_may_have_damaged_it(store: JobStore) -> None:
    add_job(store)
    assert make_loop(store, lambda job: False).run() == 3


def test_a_worker_ends_if_it_cannot_record_how_a_job_ended(store: JobStore) -> None:
    """Its job still belongs to it, and goes back into the queue when the supervisor has noticed its end."""
    job = add_job(store)

    def paint(_: StudioJob) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    assert make_loop(store, paint).run() == 3
    store.release("w", attempts=3)
    claimed = store.claim("w")
    assert claimed is not None
    assert (claimed.id, claimed.attempts) == (job.id, 2)


def test_errors_of_the_database_pass(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that raised may have succeeded all the same: the job is put back before the next claim."""
    add_job(store)
    claim, errors = store.claim, [sqlite3.OperationalError("locked"), MemoryError(), OSError(errno.EIO, "io")]

    def failing(slot: str, room: float) -> StudioJob | None:
        job = claim(slot, room)
        if errors:
            raise errors.pop()
        return job

    monkeypatch.setattr(store, "claim", failing)
    worker = make_loop(store)
    while store.count_by_state() != {"done": 1}:
        assert worker.step() is None
    assert not errors


def test_a_worker_whose_database_stays_away_ends(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LONGEST_PAUSE", 0.001)

    def failing(*_: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(store, "claim", failing)
    monkeypatch.setattr(store, "release", failing)
    assert make_loop(store).run() == 3


def test_the_queue_pauses_while_the_disk_is_short(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_job(store)
    room = [-1]
    monkeypatch.setattr(loop, "room_for_jobs", lambda _: room[0])
    worker = make_loop(store)
    assert worker.step() is None
    assert store.count_by_state() == {"queued": 1}
    room[0] = 10**9
    assert worker.step() is None
    assert store.count_by_state() == {"done": 1}


def test_a_loop_that_is_asked_to_end_claims_no_more(store: JobStore) -> None:
    worker = make_loop(store)
    thread = threading.Thread(target=worker.run)
    thread.start()
    worker._draining.set()
    thread.join(5)
    assert not thread.is_alive()
    add_job(store)
    assert worker.run() == 0
    assert store.waiting_count() == 1
