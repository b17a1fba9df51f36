"""Accepting jobs: places in the queue, duplicates, files that fit each other."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from bad_uploads import assert_nothing_left
from impasto.studio.errors import RefusedError
from impasto.studio.http import job_routes
from impasto.studio.intake.client_limits import HourlyLimit
from impasto.studio.intake.intake import JobIntake
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.storage import folder_size
from impasto.studio.settings import StudioSettings
from serving import TINY, clip_bytes, encoded, in_a_thread, post, without_workers


def as_client(studio: TestClient, address: str) -> TestClient:
    """The same studio, seen from another address."""
    return TestClient(studio.app, base_url="http://127.0.0.1:7860", client=(address, 1))


@pytest.mark.slow
def test_a_full_queue_and_a_client_with_too_many_jobs_are_told_to_wait(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, queue=3, client_jobs=2)
    assert [post(studio, encoded(seed=n)).status_code for n in range(2)] == [202, 202]
    response = post(studio)
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    other = as_client(studio, "192.0.2.9")
    assert post(other).status_code == 202
    assert "queue is full" in post(other).json()["detail"]
    assert other.get("/v1/jobs/none").status_code == 404  # only new jobs are refused


@pytest.mark.slow
def test_ipv6_clients_are_counted_by_network(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, client_jobs=1)
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    statuses = [
        post(as_client(studio, address), encoded(seed=n)).status_code for n, address in enumerate(addresses)
    ]
    assert statuses == [202, 429, 202]


def test_a_size_that_was_not_asked_for_is_stated_as_the_default(tmp_path: Path) -> None:
    """The page shows a job's settings in its form, where the size is a number or 'original'."""
    studio = without_workers(tmp_path)
    view = post(studio, encoded(size=(64, 48)), {"seed": 1}).json()
    assert view["recipe"]["size"] == 512
    assert view["size"] == [384, 512]
    schema = studio.get("/v1/settings").json()["recipe"]["properties"]["size"]
    assert schema["default"] == 512
    assert [choice.get("type", choice.get("const")) for choice in schema["anyOf"]] == ["integer", "string"]


def test_what_was_accepted_is_on_the_disk_before_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the answer must not leave a row without files."""
    synced: set[tuple[int, int]] = set()
    sync, add = os.fsync, JobStore.add
    missing: list[str] = []

    def recorded_sync(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        synced.add((facts.st_dev, facts.st_ino))
        sync(descriptor)

    def checked_add(store: JobStore, *, id: str, **columns: Any) -> StudioJob:
        folder = tmp_path / "jobs" / id
        paths = [*folder.iterdir(), folder, folder.parent]
        missing.extend(p.name for p in paths if (p.stat().st_dev, p.stat().st_ino) not in synced)
        return add(store, id=id, **columns)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(JobStore, "add", checked_add)
    studio = without_workers(tmp_path)
    job = post(studio).json()["id"]
    finish(studio, job)
    synced.clear()
    assert studio.post(f"/v1/jobs/{job}/again", json={}).status_code == 200
    assert missing == []


def finish(studio: TestClient, job_id: str) -> None:
    """Do a worker's part for the job that waits."""
    service = studio.app.state.studio  # type: ignore[attr-defined]
    folder = service.settings.job_folder(job_id)
    assert service.store.claim("w").id == job_id
    (folder / "result.png").write_bytes((folder / "content.png").read_bytes())
    service.store.finish(job_id, "w", "done", result="result.png", bytes=folder_size(folder))


def test_a_client_sends_so_many_in_an_hour_finished_ones_included(tmp_path: Path) -> None:
    """Twins of a finished job take no place in the queue, but they are counted."""
    studio = without_workers(tmp_path, client_hourly=3)
    job = post(studio).json()["id"]
    finish(studio, job)
    key = {"Idempotency-Key": "k"}
    responses = [studio.post(f"/v1/jobs/{job}/again", json={}, headers=h) for h in ({}, key, {})]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert 3000 < int(responses[-1].headers["retry-after"]) <= 3600
    same = studio.post(f"/v1/jobs/{job}/again", json={}, headers=key)  # its answer was lost, say
    assert (same.status_code, same.json()["id"]) == (200, responses[1].json()["id"])
    own = studio.post(f"/v1/jobs/{job}/again", files={"content": encoded()}, headers=key)
    assert (own.status_code, own.json()["field"]) == (422, "content")
    assert as_client(studio, "192.0.2.9").post(f"/v1/jobs/{job}/again", json={}).status_code == 200


def test_an_hour_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    limit = HourlyLimit(2, lambda: now[0])
    limit.count("a")
    limit.count("a")
    with pytest.raises(RefusedError):
        limit.count("a")
    limit.count("b")
    now[0] = 3600.0
    limit.count("a")


def test_a_place_is_given_back_and_its_client_forgotten(tmp_path: Path) -> None:
    intake = JobIntake(StudioSettings(data=tmp_path, client_jobs=2), JobStore(tmp_path / "studio.db"))
    with intake.reserve_place("a"):
        with intake.reserve_place("a"), pytest.raises(RefusedError), intake.reserve_place("a"):
            pass
        assert intake._reserved == {"a": 1}
    assert not intake._reserved


def test_the_same_request_with_the_same_key_is_the_same_job(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    key = {"Idempotency-Key": "7f0c"}

    def send(seed: int, client: TestClient = studio, headers: dict[str, str] = key) -> Any:
        client.headers.update(headers)
        try:
            return post(client, encoded(seed=seed))
        finally:
            client.headers.pop("Idempotency-Key", None)

    first, second = send(1), send(1)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert len(list((tmp_path / "jobs").iterdir())) == 1
    other = send(2)
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    assert send(1, as_client(studio, "192.0.2.9")).json()["id"] != first.json()["id"]
    assert send(1, headers={"Idempotency-Key": "a b"}).status_code == 422
    studio.delete(f"/v1/jobs/{first.json()['id']}")
    assert send(1).json()["id"] != first.json()["id"]


def at_once(studio: TestClient, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """Responses to requests (address, path, parts) that are sent at the same time."""

    async def send(address: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(studio.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
            return await http.post(path, **options)

    async def send_all() -> list[httpx.Response]:
        return await asyncio.gather(*(send(*request) for request in requests))

    return in_a_thread(send_all())


def job_parts(**headers: str) -> dict[str, Any]:
    files = {"content": ("x", encoded()), "style": ("x", encoded("PNG", (40, 40), 7))}
    return {"files": files, "data": {"recipe": json.dumps(TINY)}, "headers": headers}


def test_requests_with_the_same_key_at_the_same_time_make_one_job(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    request = ("192.0.2.1", "/v1/jobs", job_parts(**{"Idempotency-Key": "k"}))
    responses = at_once(studio, *[request] * 6)
    assert {response.status_code for response in responses} <= {202, 409}
    assert len({response.json()["id"] for response in responses if response.status_code == 202}) == 1
    assert len(list((tmp_path / "jobs").iterdir())) == 1


def test_a_job_without_room_on_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a clip's frames will take is known from its header, before any of them is written."""
    free = [50_000_000]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free[0]))
    studio = without_workers(tmp_path, free_bytes=1_000_000)
    assert post(studio, encoded(seed=1)).status_code == 202
    clip = clip_bytes(tmp_path, count=20)
    large = post(studio, clip, {"size": 96})
    assert large.status_code == 202
    service = studio.app.state.studio  # type: ignore[attr-defined]
    reserved = service.store.reserved_bytes()
    assert reserved > 20 * 96 * 64 * 3
    free[0] = 1_000_000 + reserved + 10_000
    refused = post(studio, encoded(seed=2))
    assert (refused.status_code, "no room" in refused.json()["detail"]) == (507, True)
    free[0] = 900_000
    assert "short of space" in post(studio, encoded(seed=2)).json()["detail"]
    assert len(list((tmp_path / "jobs").iterdir())) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "full"), 507), (sqlite3.OperationalError("database or disk is full"), 507),
        (OSError(errno.EMFILE, "too many open files"), 503), (OSError(errno.EAGAIN, "no process"), 503),
        (sqlite3.OperationalError("database is locked"), 503), (MemoryError(), 503),
    ],
)  # fmt: skip
def test_a_fault_of_the_machine_while_accepting_leaves_nothing_and_says_whether_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    studio = without_workers(tmp_path)
    monkeypatch.setattr(JobStore, "add", failing)
    response = post(studio)
    assert response.status_code == status
    assert response.json()["detail"].count("\n") == 0
    assert_nothing_left(tmp_path)


def test_views_of_one_client_do_not_keep_others_from_having_jobs_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = without_workers(tmp_path, client_views=3)
    accepted = threading.Event()
    make_view, accept = job_routes._make_view, JobIntake.accept

    def slow_view(*arguments: Any) -> Any:
        assert accepted.wait(30)
        return make_view(*arguments)

    def noted_accept(*arguments: Any) -> Any:
        job = accept(*arguments)
        accepted.set()
        return job

    monkeypatch.setattr(job_routes, "_make_view", slow_view)
    monkeypatch.setattr(JobIntake, "accept", noted_accept)
    view = ("192.0.2.1", "/v1/look", {"files": {"content": ("x", encoded())}})
    *views, job = at_once(studio, *[view] * 6, ("192.0.2.2", "/v1/jobs", job_parts()))
    assert job.status_code == 202
    assert sorted(response.status_code for response in views) == [200, 200, 200, 429, 429, 429]
