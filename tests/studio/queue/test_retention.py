"""What is deleted, and when."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.retention import Retention, jobs_over_limit, kept_bytes
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
    assert Retention(store, settings).run() == 0
    assert settings.job_folder(job.id).exists()
    store.finish(job.id, "w", "cancelled")
    assert Retention(store, settings).run() == 1
    assert not settings.job_folder(job.id).exists()
    assert store.all_ids() == set()


def add_finished(
    store: JobStore, settings: StudioSettings, size: int, finished: float, client: str = "a"
) -> str:
    """A job with a result of ``size`` bytes that was finished at a time of the past."""
    job = add_job(store, client=client)
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
    Retention(store, settings).run()
    assert store.all_ids() == {older, newest, waiting}
    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {older, newest}
    assert not {expired, oldest} & store.all_ids()


def test_shared_files_count_once_and_the_client_with_most_loses_first(
    store: JobStore, tmp_path: Path
) -> None:
    """Eighty twins of one job take no more space than the job itself, and crowd out nobody."""
    settings = StudioSettings(data=tmp_path, keep_bytes=12_000)
    now = time.time()
    stranger = add_finished(store, settings, 1000, now - 900, client="stranger")
    first = add_finished(store, settings, 10_000, now - 800, client="twins")
    twins = [add_finished(store, settings, 0, now - 700 + n, client="twins") for n in range(20)]
    for twin in twins:
        result = settings.job_folder(twin) / "result.png"
        result.unlink()
        result.hardlink_to(settings.job_folder(first) / "result.png")
        with sqlite3.connect(store.path) as database:
            database.execute("UPDATE jobs SET bytes = 10000 WHERE id = ?", (twin,))
    assert sum(job.bytes for job in store.finished_jobs()) > 200_000
    assert kept_bytes(store, settings) == 11_000
    Retention(store, settings).run()
    assert store.all_ids() == {stranger, first, *twins}
    more = add_finished(store, settings, 5000, now, client="twins")
    doomed = [job.id for job in jobs_over_limit(store.finished_jobs(), settings)]
    assert doomed == [first, *twins]  # the shared file goes with the last of them
    Retention(store, settings).run()
    assert store.all_ids() == {stranger, more}


def test_an_interrupted_job_has_room_for_what_it_has_written_already(store: JobStore, tmp_path: Path) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add_job(store, reserved=1000)
    work = settings.job_folder(job.id) / "result.mp4.work"
    work.mkdir(parents=True)
    assert store.claim("w") is not None
    (work / "frame").write_bytes(b"x" * 900)
    store.release("w")
    assert store.claim("w", room=500) is None
    Retention(store, settings).run()
    assert store.reserved_bytes() == 100
    assert store.claim("w", room=500) is not None
    (work / "frame").write_bytes(b"x" * 950)
    Retention(store, settings).run()
    assert store.reserved_bytes() == 50  # while it is painted, too


def test_what_a_job_that_ended_without_its_worker_has_left_is_deleted(
    store: JobStore, tmp_path: Path
) -> None:
    settings = StudioSettings(data=tmp_path)
    jobs = {state: add_job(store, reserved=1000) for state in ("failed", "cancelled")}
    for job in jobs.values():
        folder = settings.job_folder(job.id)
        (folder / "result.mp4.work").mkdir(parents=True)
        (folder / "result.mp4.work" / "frame").write_bytes(b"x" * 900)
        for name in ("content", "style-0.png"):
            (folder / name).write_bytes(b"x" * 10)
        assert store.claim("w") is not None
    store.cancel(jobs["cancelled"].id)
    store.release("w", attempts=1)
    Retention(store, settings).run()
    kept = {"failed": ["content", "style-0.png"], "cancelled": ["content"]}  # the first may be tried again
    for state, job in jobs.items():
        found = store.get(job.id)
        assert found is not None
        names = sorted(path.name for path in settings.job_folder(job.id).iterdir())
        assert (found.state, found.bytes, names) == (state, 10 * len(kept[state]), kept[state])


def test_a_row_stays_while_its_files_cannot_be_deleted(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add_job(store)
    settings.job_folder(job.id).mkdir(parents=True)
    store.mark_deleted(job.id)
    with monkeypatch.context() as patch:
        patch.setattr("impasto.studio.queue.storage.shutil.rmtree", lambda *_, **__: None)
        Retention(store, settings).run()
    assert store.all_ids() == {job.id}
    Retention(store, settings).run()
    assert store.all_ids() == set()


def test_a_clock_that_jumps_forward_deletes_nothing_for_an_hour(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StudioSettings(data=tmp_path)
    kept = add_finished(store, settings, 10, time.time() - 100)
    retention = Retention(store, settings)
    assert retention.run() == 0
    wall, steady, shift = time.time, time.monotonic, {"wall": 0.0, "steady": 0.0}
    monkeypatch.setattr(time, "time", lambda: wall() + shift["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: steady() + shift["steady"])
    shift["wall"] = 30 * 86400.0
    assert retention.run() == 0
    assert Retention(store, settings).run() == 0  # after a restart
    assert store.get(kept) is not None
    shift["wall"] = -30 * 86400.0  # and back, further than it came from
    assert retention.run() == 0
    assert store.get(kept) is not None
    shift["wall"] = 30 * 86400.0
    assert retention.run() == 0
    shift["steady"] = 3700.0  # an hour later it is still the same: then it was meant
    assert retention.run() == 1
