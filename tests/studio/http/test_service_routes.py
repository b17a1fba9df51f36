"""Health and metrics of a server with a worker."""

from __future__ import annotations

import pytest

from serving import Studio, encoded


@pytest.mark.slow
def test_health_and_metrics(server: Studio) -> None:
    job = server.finished(server.post(encoded(seed=31)).json()["id"])["id"]
    assert server.http.get("/healthz").text.strip('"') == "ok"
    assert server.http.get("/readyz").status_code == 200
    text = server.http.get("/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures['impasto_jobs{state="done"}']) >= 1
    assert float(figures["impasto_workers_ready"]) == 1
    assert job not in text
