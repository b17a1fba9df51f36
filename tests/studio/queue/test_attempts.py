"""Which failures are tried again, and when."""

from __future__ import annotations

import errno
import random
import sqlite3
import time
from pathlib import Path

import pytest

from impasto.errors import ImpastoError, VideoError
from impasto.studio.queue.attempts import FailureKind, backoff_seconds, failure_kind
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.video.boundary import video_errors
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ImpastoError("the style is too small"), FailureKind.PERMANENT),
        (OSError(errno.ENOSPC, "full"), FailureKind.DISK_FULL),
        (sqlite3.OperationalError("database or disk is full"), FailureKind.DISK_FULL),
        (sqlite3.OperationalError("database is locked"), FailureKind.TRANSIENT),
        (OSError(errno.EIO, "io"), FailureKind.TRANSIENT),
        (OSError(errno.EMFILE, "files"), FailureKind.TRANSIENT),
        (MemoryError(), FailureKind.TRANSIENT),
        (RuntimeError("CUDA error: an illegal memory access"), FailureKind.UNKNOWN),
        (FileNotFoundError(errno.ENOENT, "gone"), FailureKind.UNKNOWN),
    ],
)
def test_the_kind_of_a_failure(error: Exception, kind: FailureKind) -> None:
    assert failure_kind(error) is kind


def test_an_error_that_was_turned_into_a_line_for_users_keeps_its_kind() -> None:
    with pytest.raises(VideoError) as caught, video_errors("'x' cannot be written"):
        raise OSError(errno.ENOSPC, "full")
    assert failure_kind(caught.value) is FailureKind.DISK_FULL


def test_the_backoff_doubles_up_to_a_limit_and_differs_from_job_to_job() -> None:
    assert 2.5 <= backoff_seconds(1) <= 7.5
    assert 40 <= backoff_seconds(5) <= 120
    assert backoff_seconds(10_000) <= 900
    assert len({backoff_seconds(3, random.Random(seed)) for seed in range(5)}) == 5


def claimed(store: JobStore) -> StudioJob:
    job = store.claim("w")
    assert job is not None
    return job


def test_a_failed_attempt_waits_and_lets_others_pass(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, other = add_job(store), add_job(store)
    store.retry_later(claimed(store), "w", "EIO", attempts=3)
    assert claimed(store).id == other.id
    assert store.claim("w") is None
    assert store.position(failing) == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8)
    job = claimed(store)
    assert (job.id, job.attempts, job.last_error) == (failing.id, 2, "EIO")


def test_a_poison_job_is_set_aside_with_its_reason(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, now = add_job(store), time.time()
    for attempt in range(3):
        monkeypatch.setattr(time, "time", lambda at=attempt: now + 900 * at)
        store.retry_later(claimed(store), "w", "OSError: /secret/path", attempts=3)
    failed = store.get(job.id)
    assert failed is not None
    assert (failed.state, failed.failure, failed.last_error) == (
        "failed",
        "attempts",
        "OSError: /secret/path",
    )
    assert "3 times" in (failed.error or "")
    assert "secret" not in (failed.error or "")


def test_a_full_disk_does_not_count(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, now = add_job(store), time.time()
    for attempt in range(9):
        monkeypatch.setattr(time, "time", lambda at=attempt: now + 900 * at)
        store.retry_later(claimed(store), "w", "full", attempts=3, counts=False)
    waiting = store.get(job.id)
    assert waiting is not None
    assert (waiting.state, waiting.attempts) == ("queued", 0)


def test_a_clock_that_was_moved_back_does_not_make_a_job_wait_for_ever(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_job(store)
    store.retry_later(claimed(store), "w", "x", attempts=3)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    assert claimed(store).id == job.id


def test_a_job_without_room_on_the_disk_lets_others_pass(store: JobStore) -> None:
    large, small = add_job(store, reserved=1000), add_job(store, reserved=10)
    job = store.claim("w", room=100)
    assert job is not None
    assert job.id == small.id
    assert store.claim("w", room=100) is None
    assert store.reserved_bytes() == 1010
    assert claimed(store).id == large.id
