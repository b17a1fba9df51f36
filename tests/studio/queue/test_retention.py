"""What is deleted, and when."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.retention import delete_expired_jobs, delete_unknown_folders
from impasto.studio.queue.storage import folder_size
from impasto.studio.settings import StudioSettings
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


def test_a_deleted_job_is_hidden_at_once_and_removed_when_no_worker_paints_it(
    store: JobStore, tmp_path: Path
) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add_job(store)
    settings.job_folder(job.id).mkdir(parents=True)
    store.claim("w")
    assert store.mark_deleted(job.id)
    assert not store.mark_deleted(job.id)
    assert store.get(job.id) is None
    assert delete_expired_jobs(store, settings) == 0
    assert settings.job_folder(job.id).exists()
    store.finish(job.id, "w", "cancelled")
    assert delete_expired_jobs(store, settings) == 1
    assert not settings.job_folder(job.id).exists()
    assert store.all_ids() == set()


def add_finished(store: JobStore, settings: StudioSettings, size: int, finished: float) -> str:
    """A job with a result of ``size`` bytes that was finished at a time of the past."""
    job = add_job(store)
    folder = settings.job_folder(job.id)
    folder.mkdir(parents=True)
    (folder / "result.png").write_bytes(b"x" * size)
    store.claim("w")
    store.finish(job.id, "w", "done", result="result.png", bytes=folder_size(folder))
    with sqlite3.connect(store.path) as database:
        database.execute("UPDATE jobs SET finished = ? WHERE id = ?", (finished, job.id))
    return job.id


def test_expired_jobs_are_deleted_and_the_oldest_if_all_take_too_much(
    store: JobStore, tmp_path: Path
) -> None:
    settings = StudioSettings(data=tmp_path, keep_days=2, keep_bytes=2500)
    now = time.time()
    expired = add_finished(store, settings, 10, now - 3 * 86400)
    oldest, older, newest = (add_finished(store, settings, 1000, now - age) for age in (300, 200, 100))
    waiting = add_job(store).id
    delete_expired_jobs(store, settings)
    assert store.all_ids() == {older, newest, waiting}
    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {older, newest}
    assert not {expired, oldest} & store.all_ids()


def test_folders_of_requests_that_were_never_accepted_are_deleted(store: JobStore, tmp_path: Path) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add_job(store)
    settings.job_folder(job.id).mkdir(parents=True)
    settings.job_folder("unknown").mkdir()
    (tmp_path / "incoming" / "half").mkdir(parents=True)
    delete_unknown_folders(store, settings)
    assert [folder.name for folder in (tmp_path / "jobs").iterdir()] == [job.id]
    assert list((tmp_path / "incoming").iterdir()) == []
