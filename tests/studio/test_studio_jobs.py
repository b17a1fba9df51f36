"""The queue by itself: order, hands, deaths, twins, what is kept."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from impasto.errors import RecipeError
from impasto.studio.queue import keeping
from impasto.studio.queue.jobs import Job, Jobs, new_id
from impasto.studio.settings import StudioSettings


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "studio.db")


def add(jobs: Jobs, **columns: Any) -> Job:
    given = {
        "id": new_id(), "client": "a", "kind": "image", "digest": new_id(), "preset": "fast", "recipe": "{}",
        "uploads": '{"styles": [], "masks": 0}', "height": 4, "width": 4,
    }  # fmt: skip
    return jobs.add(**(given | columns))


def test_first_come_first_served(jobs: Jobs) -> None:
    first, second = add(jobs), add(jobs)
    assert [jobs.position(one) for one in (first, second)] == [0, 1]
    claimed = jobs.claim("w")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.owner) == (first.id, "running", "w")
    assert jobs.position(claimed) is None
    assert jobs.position(second) == 0
    assert jobs.waiting() == 1
    jobs.cancel(second.id)
    assert jobs.claim("w") is None


def test_clients_take_turns(jobs: Jobs) -> None:
    """Whoever sends many does not keep the others waiting; what was begun is finished first."""
    given = {name: add(jobs, client=name[0]) for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")}
    names = {job.id: name for name, job in given.items()}

    def claim() -> str:
        job = jobs.claim("w")
        assert job is not None
        return names[job.id]

    assert claim() == "a1"
    waiting = sorted(set(given) - {"a1"}, key=lambda name: jobs.position(given[name]) or 0)
    assert waiting == ["b1", "c1", "a2", "b2", "a3", "a4"]
    order = []
    for _ in range(3):
        jobs.finish(given["a1"].id, "w", "done")
        order.append(claim())
    assert order == ["b1", "c1", "a2"]
    jobs.release("w", died=True)
    assert [claim() for _ in range(6)] == ["b1", "c1", "a2", "b2", "a3", "a4"]


def _claim_all(path: Path, slot: str, found: Any) -> None:
    jobs = Jobs(path)
    while (job := jobs.claim(slot)) is not None:
        found.put(job.id)
        jobs.finish(job.id, slot, "done", result="r")
    found.put(None)


def test_two_workers_never_get_the_same_job(jobs: Jobs) -> None:
    ids = [add(jobs).id for _ in range(60)]
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    workers = [context.Process(target=_claim_all, args=(jobs.path, f"w{n}", found)) for n in range(2)]
    for one in workers:
        one.start()
    got = []
    ended = 0
    while ended < 2:
        one = found.get(timeout=60)
        ended += one is None
        got += [one] if one else []
    for worker in workers:
        worker.join(20)
    assert sorted(got) == sorted(ids)


def test_only_the_owner_writes(jobs: Jobs) -> None:
    job = add(jobs)
    assert not jobs.update(job.id, "w", progress=0.5)
    jobs.claim("w")
    assert jobs.update(job.id, "w", progress=0.5)
    assert not jobs.update(job.id, "other", progress=0.9)
    jobs.release("w")
    assert not jobs.finish(job.id, "w", "done", result="result.png")
    found = jobs.get(job.id)
    assert found is not None
    assert (found.state, found.progress, found.result) == ("queued", 0.5, None)


def test_three_dead_workers_fail_the_job_and_a_dead_server_does_not(jobs: Jobs) -> None:
    job = add(jobs)
    for _ in range(5):  # servers that were stopped
        jobs.claim("w")
        jobs.release("w")
    for died in range(3):
        assert jobs.get(job.id).state == "queued", died  # type: ignore[union-attr]
        jobs.claim("w")
        jobs.release("w", died=True, attempts=3)
    found = jobs.get(job.id)
    assert found is not None
    assert found.state == "failed"
    assert "3 times" in (found.error or "")
    assert "\n" not in (found.error or "")
    assert jobs.claim("w") is None


def test_cancel_of_a_running_job_is_heard_by_its_worker(jobs: Jobs) -> None:
    job = add(jobs)
    jobs.claim("w")
    jobs.cancel(job.id)
    assert jobs.get(job.id).state == "running"  # type: ignore[union-attr]
    assert not jobs.update(job.id, "w", progress=0.5)
    assert jobs.finish(job.id, "w", "cancelled", result="result.png")
    assert not jobs.finish(job.id, "w", "done", result="result.png")


def test_a_job_cancelled_while_its_worker_died_is_not_painted_again(jobs: Jobs) -> None:
    job = add(jobs)
    jobs.claim("w")
    jobs.cancel(job.id)
    jobs.release("w", died=True)
    assert jobs.get(job.id).state == "cancelled"  # type: ignore[union-attr]


def test_twins_are_finished_ones(jobs: Jobs) -> None:
    one = add(jobs, digest="d")
    assert jobs.twin("d") is None
    jobs.claim("w")
    jobs.finish(one.id, "w", "done", result="result.png")
    twin = jobs.twin("d")
    assert twin is not None
    assert twin.id == one.id
    jobs.mark_deleted(one.id)
    assert jobs.twin("d") is None


def test_deleted_jobs_are_hidden_at_once_and_swept_when_no_worker_has_them(
    jobs: Jobs, tmp_path: Path
) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add(jobs)
    settings.folder(job.id).mkdir(parents=True)
    jobs.claim("w")
    assert jobs.mark_deleted(job.id)
    assert not jobs.mark_deleted(job.id)
    assert jobs.get(job.id) is None
    assert keeping.sweep(jobs, settings) == 0
    assert settings.folder(job.id).exists()
    jobs.finish(job.id, "w", "cancelled")
    assert keeping.sweep(jobs, settings) == 1
    assert not settings.folder(job.id).exists()
    assert jobs.known() == set()


def _finish(jobs: Jobs, settings: StudioSettings, size: int, finished: float) -> str:
    job = add(jobs)
    settings.folder(job.id).mkdir(parents=True)
    (settings.folder(job.id) / "result.png").write_bytes(b"x" * size)
    jobs.claim("w")
    jobs.finish(job.id, "w", "done", result="result.png", bytes=keeping.folder_bytes(settings.folder(job.id)))
    with jobs._change() as db:
        db.execute("UPDATE jobs SET finished = ? WHERE id = ?", (finished, job.id))
    return job.id


def test_old_jobs_go_and_the_oldest_where_there_is_too_much(jobs: Jobs, tmp_path: Path) -> None:
    settings = StudioSettings(data=tmp_path, keep_days=2, keep_bytes=2500)
    now = time.time()
    expired = _finish(jobs, settings, 10, now - 3 * 86400)
    oldest, older, newest = (_finish(jobs, settings, 1000, now - age) for age in (300, 200, 100))
    waiting = add(jobs).id
    keeping.sweep(jobs, settings)
    assert jobs.known() == {older, newest, waiting}
    assert {one.name for one in (tmp_path / "jobs").iterdir()} == {older, newest}
    assert expired not in jobs.known()
    assert oldest not in jobs.known()


def test_folders_of_requests_that_were_never_accepted_are_swept_at_the_start(
    jobs: Jobs, tmp_path: Path
) -> None:
    settings = StudioSettings(data=tmp_path)
    job = add(jobs)
    settings.folder(job.id).mkdir(parents=True)
    settings.folder("orphan").mkdir()
    (tmp_path / "incoming" / "half").mkdir(parents=True)
    keeping.sweep_orphans(jobs, settings)
    assert [one.name for one in (tmp_path / "jobs").iterdir()] == [job.id]
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [{"host": "0.0.0.0"}, {"host": "192.168.1.4"}, {"host": "::"}, {"public_name": ("studio.example.org",)}],
)
def test_others_only_with_a_token(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="--token"):
        StudioSettings(**settings).require_safe()
    StudioSettings(**settings, token="a long secret").require_safe()
    StudioSettings(**settings, insecure=True).require_safe()
    StudioSettings().require_safe()


def test_settings_out_of_range_are_one_line_and_tell_no_token() -> None:
    for wrong in ({"port": 70000}, {"keep_days": 0}, {"nonsense": 1}):
        with pytest.raises(RecipeError):
            StudioSettings(**wrong)
    with pytest.raises(RecipeError) as caught:
        StudioSettings(token="secret")
    assert "secret" not in str(caught.value).split("Secret")[0]
