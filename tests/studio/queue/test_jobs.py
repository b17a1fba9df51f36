"""The queue in SQLite: order, owners, lost workers, duplicates."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from impasto.studio.queue.jobs import JobStore, StudioJob
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


def test_first_come_first_served(store: JobStore) -> None:
    first, second = add_job(store), add_job(store)
    assert [store.position(job) for job in (first, second)] == [0, 1]
    claimed = store.claim("w")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.owner) == (first.id, "running", "w")
    assert store.position(claimed) is None
    assert store.position(second) == 0
    assert store.waiting_count() == 1
    store.cancel(second.id)
    assert store.claim("w") is None


def test_clients_take_turns(store: JobStore) -> None:
    """A client with many jobs does not delay the others; jobs that had been started go first."""
    jobs = {name: add_job(store, client=name[0]) for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")}
    names = {job.id: name for name, job in jobs.items()}

    def claim() -> str:
        job = store.claim("w")
        assert job is not None
        return names[job.id]

    assert claim() == "a1"
    waiting = sorted(set(jobs) - {"a1"}, key=lambda name: store.position(jobs[name]) or 0)
    assert waiting == ["b1", "c1", "a2", "b2", "a3", "a4"]
    order = []
    for _ in range(3):
        store.finish(jobs["a1"].id, "w", "done")
        order.append(claim())
    assert order == ["b1", "c1", "a2"]
    store.release("w")
    assert [claim() for _ in range(6)] == ["b1", "c1", "a2", "b2", "a3", "a4"]


def _claim_all(path: Path, slot: str, claimed_ids: Any) -> None:
    store = JobStore(path)
    while (job := store.claim(slot)) is not None:
        claimed_ids.put(job.id)
        store.finish(job.id, slot, "done", result="r")
    claimed_ids.put(None)


@pytest.mark.slow
def test_two_workers_never_get_the_same_job(store: JobStore) -> None:
    ids = [add_job(store).id for _ in range(60)]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_claim_all, args=(store.path, f"w{n}", queue)) for n in range(2)]
    for worker in workers:
        worker.start()
    claimed: list[str] = []
    ended = 0
    while ended < 2:
        job_id = queue.get(timeout=60)
        ended += job_id is None
        claimed += [job_id] if job_id else []
    for worker in workers:
        worker.join(20)
    assert sorted(claimed) == sorted(ids)


def test_only_the_owner_writes(store: JobStore) -> None:
    job = add_job(store)
    assert not store.update(job.id, "w", progress=0.5)
    store.claim("w")
    assert store.update(job.id, "w", progress=0.5)
    assert not store.update(job.id, "other", progress=0.9)
    store.release("w")
    assert not store.finish(job.id, "w", "done", result="result.png")
    released = reloaded(store, job)
    assert (released.state, released.progress, released.result) == ("queued", 0.5, None)


def test_attempts_are_counted_at_the_claim_and_a_stop_takes_them_back(store: JobStore) -> None:
    """A job that ends the whole machine leaves no other trace than its claim."""
    job = add_job(store)
    for _ in range(5):  # servers that were stopped
        store.claim("w")
        store.release("w", take_back=True)
    for _ in range(3):
        assert reloaded(store, job).state == "queued"
        store.claim("w")
        store.release("w", attempts=3)
    failed = reloaded(store, job)
    assert failed.state == "failed"
    assert "3 times" in (failed.error or "")
    assert "\n" not in (failed.error or "")
    assert store.claim("w") is None


def test_the_worker_of_a_cancelled_job_is_told_when_it_reports(store: JobStore) -> None:
    job = add_job(store)
    store.claim("w")
    store.cancel(job.id)
    assert reloaded(store, job).state == "running"
    assert not store.update(job.id, "w", progress=0.5)
    assert store.finish(job.id, "w", "cancelled", result="result.png")
    assert not store.finish(job.id, "w", "done", result="result.png")


def test_a_job_cancelled_while_its_worker_died_is_not_painted_again(store: JobStore) -> None:
    job = add_job(store)
    store.claim("w")
    store.cancel(job.id)
    store.release("w")
    assert reloaded(store, job).state == "cancelled"


def test_only_a_finished_job_counts_as_a_duplicate(store: JobStore) -> None:
    job = add_job(store, digest="d")
    assert store.find_duplicate("d") is None
    store.claim("w")
    store.finish(job.id, "w", "done", result="result.png")
    duplicate = store.find_duplicate("d")
    assert duplicate is not None
    assert duplicate.id == job.id
    store.mark_deleted(job.id)
    assert store.find_duplicate("d") is None
    for columns in ({"result": None}, {"result": "result.png", "failure": "time"}):
        other = add_job(store, digest="d")
        store.claim("w")
        store.finish(other.id, "w", "done", **columns)
        assert store.find_duplicate("d") is None


def test_what_can_be_written_is_found_by_writing(store: JobStore) -> None:
    before, reader = store.recall("last check"), JobStore(store.path)
    version = reader.data_version()
    store.check_writable()
    assert reader.data_version() != version
    assert store.recall("last check") != before


def reloaded(store: JobStore, job: StudioJob) -> StudioJob:
    """The job as it is in the database now."""
    current = store.get(job.id)
    assert current is not None
    return current


def test_a_job_deleted_in_the_moment_of_its_claim_belongs_to_its_worker(store: JobStore) -> None:
    """Otherwise the row would stay ``running`` for ever, and its files would never be removed."""
    job = add_job(store)
    get = store.get

    def delete_first(job_id: str) -> StudioJob | None:
        JobStore(store.path).mark_deleted(job_id)
        return get(job_id)

    store.get = delete_first  # type: ignore[method-assign]
    claimed = store.claim("w")
    store.get = get  # type: ignore[method-assign]
    assert claimed is not None
    store.mark_deleted(job.id)
    assert not store.update(job.id, "w", progress=0.1)
    store.finish(job.id, "w", "cancelled")
    assert store.removable_ids() == [job.id]


def test_workers_count_as_ready_for_some_seconds_only_even_if_the_clock_is_moved(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.heartbeat("w", 1, ready=True)
    assert store.ready_worker_count() == 1
    now = time.time()
    for shift in (60.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda shift=shift: now + shift)
        assert store.ready_worker_count() == 0


def test_positions_of_all_are_those_of_each(store: JobStore) -> None:
    jobs = [add_job(store, client=client) for client in "aabca"]
    assert store.positions() == {job.id: store.position(job) for job in jobs}
    assert {job.id for job in store.get_many([job.id for job in jobs] + ["none"])} == {job.id for job in jobs}
