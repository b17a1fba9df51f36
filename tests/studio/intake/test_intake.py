"""Accepting jobs: places in the queue, duplicates, files that fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving import encoded, post, without_workers


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
