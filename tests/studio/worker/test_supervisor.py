"""kill -9 of workers and of the server at any moment: every accepted job is finished, once."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from impasto.cli.studio import studio as command
from impasto.studio.queue.jobs import JobStore, new_job_id
from impasto.studio.settings import StudioSettings
from impasto.studio.worker.supervisor import DataInUseError, Supervisor, WorkerProcess
from job_rows import add_job
from serving import LONG, TINY, TINY_CLIP, Studio, clip_bytes, encoded, pixels


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(tmp_path_factory.mktemp("studio"), "--attempts", "2") as running:
        yield running


def worker_pid(studio: Studio) -> int:
    """Process id of the worker, once it is ready."""

    def ready() -> int:
        workers = JobStore(studio.folder / "studio.db").workers()
        return int(workers[0]["pid"]) if workers and workers[0]["ready"] else 0

    return int(studio.wait(ready))


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(studio: Studio) -> None:
    """The page still answers, the job is resumed, other jobs are not lost; the second death fails the job."""
    fatal = studio.post(recipe=LONG).json()["id"]
    others = [studio.post(recipe=TINY | {"seed": seed}) for seed in (1, 2)]
    studio.running(fatal)
    first = worker_pid(studio)
    os.kill(first, signal.SIGKILL)
    assert studio.http.get("/healthz").status_code == 200
    studio.wait(lambda: studio.job(fatal)["state"] == "queued")
    second = studio.wait(lambda: pid if (pid := worker_pid(studio)) != first else None)
    studio.wait(lambda: studio.job(fatal)["state"] == "running")
    os.kill(second, signal.SIGKILL)
    job = studio.finished(fatal)
    assert job["state"] == "failed"
    assert "failed 2 times and was set aside" in job["error"]
    for response in others:
        finished = studio.finished(response.json()["id"])
        assert (finished["state"], finished["error"]) == ("done", None)


@pytest.mark.slow
def test_a_killed_server_loses_no_job_and_paints_none_twice(studio: Studio, tmp_path: Path) -> None:
    slow = TINY | {"iterations": [150], "seed": 2}
    responses = [
        studio.post(recipe=slow),
        studio.post(clip_bytes(tmp_path, count=5), video=json.dumps(TINY_CLIP)),
        studio.post(encoded(seed=8)),
    ]
    assert {response.status_code for response in responses} == {202}
    ids = [response.json()["id"] for response in responses]
    studio.running(ids[0])
    worker = worker_pid(studio)
    studio.kill()
    studio.wait(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie", 20)
    half = studio.folder / "jobs" / new_job_id()
    half.mkdir()
    studio.start()
    assert not half.exists()
    jobs = [studio.finished(job) for job in ids]
    assert [(job["state"], job["error"]) for job in jobs] == [("done", None)] * 3
    assert jobs[0]["started"] < jobs[0]["finished"]
    for job in jobs:
        assert studio.http.get(job["result"]).status_code == 200
    assert pixels(studio.http.get(jobs[0]["result"]).content).shape == (36, 48, 3)
    store = JobStore(studio.folder / "studio.db")
    rows = [store.get(job_id) for job_id in ids]
    assert [row.attempts for row in rows if row is not None] == [1, 1, 1]


@pytest.mark.slow
def test_two_servers_do_not_share_a_folder(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.studio.logs.configure_logs", lambda *_, **__: None)  # pytest's stay
    monkeypatch.setattr("impasto.cli.studio._serve", lambda *_, **__: None)  # it would not end
    with pytest.raises(DataInUseError, match="another studio uses"):
        command(open_page=False, settings=StudioSettings(data=studio.folder, port=0))


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job is queued again, with one more death; as long as there is progress it may take any time."""
    monkeypatch.setattr("impasto.studio.worker.supervisor._DRAIN_SECONDS", 0.1)
    store = JobStore(tmp_path / "studio.db")
    job = add_job(store)
    store.claim("w")
    settings = StudioSettings(data=tmp_path, stall_seconds=1)
    worker = WorkerProcess("w", "cpu", settings, store)
    sleeping = [sys.executable, "-c", "import time; time.sleep(100)"]
    worker.command = sleeping
    worker.supervise()
    process = worker.process
    assert process is not None
    for seconds in range(4):
        store.update(job.id, "w", seconds=float(seconds))
        worker.supervise()
        time.sleep(0.5)
    assert process.poll() is None
    time.sleep(1.2)
    worker.supervise()
    assert process.poll() == -signal.SIGKILL
    worker.supervise()
    queued = store.get(job.id)
    assert queued is not None
    assert (queued.state, queued.owner, queued.attempts) == ("queued", None, 1)
    worker.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ({"device": ("cpu", "cpu")}, [("cpu-0", "cpu"), ("cpu-1", "cpu")]),
        ({"workers": "ray"}, [("cluster", "cpu")]),
        ({"workers": "ray://head:10001", "gpus_per_job": 0.5}, [("cluster", "auto")]),
    ],
)
def test_each_device_has_a_worker_and_a_cluster_one_for_all(
    tmp_path: Path, settings: dict[str, Any], workers: list[tuple[str, str]]
) -> None:
    supervisor = Supervisor(
        StudioSettings(data=tmp_path, **settings), JobStore(tmp_path / "studio.db"), on_lost=lambda: None
    )
    assert [tuple(worker.command[-2:]) for worker in supervisor._workers] == workers


def test_a_worker_that_keeps_ending_is_started_less_and_less_often(tmp_path: Path) -> None:
    worker = WorkerProcess("w", "cpu", StudioSettings(data=tmp_path), JobStore(tmp_path / "studio.db"))
    worker.command = [sys.executable, "-c", ""]
    starts: list[subprocess.Popen[bytes]] = []
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        worker.supervise()
        if worker.process is not None and worker.process not in starts:
            starts.append(worker.process)
        time.sleep(0.02)
    worker.stop()
    assert 2 <= len(starts) <= 4  # half a second apart at first


# -- supervising goes on whatever happens ---------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"), OSError(errno.EAGAIN, "no process"),
        OSError(errno.EIO, "io"), MemoryError(),
    ],
)  # fmt: skip
def test_an_error_in_one_step_ends_neither_the_thread_nor_the_other_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = JobStore(tmp_path / "studio.db")
    errors, calls = [error], []

    def supervise(_: WorkerProcess) -> None:
        calls.append(1)
        if errors:
            raise errors.pop()

    monkeypatch.setattr(WorkerProcess, "supervise", supervise)
    supervisor = Supervisor(StudioSettings(data=tmp_path), store, on_lost=lambda: None)
    deleted = add_job(store)
    store.mark_deleted(deleted.id)
    supervisor.tick()
    assert store.all_ids() == set()  # the step after the one that failed has run
    supervisor.tick()
    assert len(calls) == 1  # the failed one is left out for a moment
    time.sleep(0.5)
    supervisor.tick()
    assert len(calls) == 2


def test_a_server_whose_supervisor_is_lost_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    supervisor = Supervisor(StudioSettings(data=tmp_path), JobStore(tmp_path / "studio.db"), on_lost=lost.set)
    (tmp_path / "jobs").mkdir()

    def end() -> None:
        raise SystemExit  # no ``Exception``: the thread does end

    monkeypatch.setattr(supervisor, "tick", end)
    assert supervisor.alive
    supervisor.start()
    assert lost.wait(5)
    supervisor._thread.join(5)
    assert not supervisor.alive
    assert supervisor.lost
    supervisor.stop()


def test_files_that_cannot_be_deleted_are_not_tried_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, runs = StudioSettings(data=tmp_path), []
    store = JobStore(tmp_path / "studio.db")
    supervisor = Supervisor(settings, store)
    run = supervisor._retention.run
    monkeypatch.setattr(supervisor._retention, "run", lambda: runs.append(run()))
    monkeypatch.setattr("impasto.studio.queue.storage.shutil.rmtree", lambda *_, **__: None)
    for tries in (1, 2):
        job = add_job(store)
        settings.job_folder(job.id).mkdir(parents=True)
        store.mark_deleted(job.id)
        for _ in range(3):
            supervisor._delete_expired()
        assert len(runs) == tries


def test_a_release_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the ended worker's job would stay with it until the server is started again."""
    store = JobStore(tmp_path / "studio.db")
    job = add_job(store)
    store.claim("w")
    worker = WorkerProcess("w", "cpu", StudioSettings(data=tmp_path), store)
    worker.command = [sys.executable, "-c", ""]
    worker.supervise()
    assert worker.process is not None
    worker.process.wait(10)
    release = store.release

    def failing(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "release", failing)
    with pytest.raises(sqlite3.OperationalError):
        worker.supervise()
    monkeypatch.setattr(store, "release", release)
    worker.supervise()
    queued = store.get(job.id)
    assert queued is not None
    assert queued.state == "queued"
    worker.stop()


@pytest.mark.slow
def test_a_stop_saves_what_is_painted_and_does_not_count_as_an_attempt(studio: Studio) -> None:
    """The last test of this file: the studio stays stopped, and a worker alone resumes the job."""
    job = studio.post(recipe=LONG | {"seed": 77}).json()["id"]
    studio.running(job)
    before = studio.wait(lambda: view if (view := studio.job(job))["evaluation"] else None)
    os.kill(worker_pid(studio), signal.SIGTERM)  # systemd and Ctrl-C reach both
    studio.stop()
    assert studio.process is not None
    assert studio.process.returncode == 0 or os.name == "nt"
    assert (studio.folder / "jobs" / job / "state.safetensors").exists()
    store = JobStore(studio.folder / "studio.db")
    row = store.get(job)
    assert row is not None
    assert (row.state, row.owner, row.attempts) == ("queued", None, 0)
    resumed = WorkerProcess("auto-0", "auto", StudioSettings(data=studio.folder), store)
    resumed.supervise()
    try:
        evaluation = studio.wait(
            lambda: now.evaluation if (now := store.get(job)) and now.evaluation != row.evaluation else None
        )
        assert evaluation > before["evaluation"]
    finally:
        resumed.stop()
