"""Health and metrics of a server with a worker."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from serving import Studio, encoded, without_workers


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
    done = float(figures['impasto_job_paint_seconds_bucket{le="+Inf"}'])
    assert done == float(figures["impasto_job_paint_seconds_count"]) >= 1
    assert float(figures['impasto_job_paint_seconds_bucket{le="1.0"}']) <= done
    assert float(figures["impasto_queue_paused"]) == 0


def test_health_says_when_the_workers_are_not_watched_or_the_disk_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = without_workers(tmp_path)
    service = studio.app.state.studio  # type: ignore[attr-defined]
    service.store.heartbeat("cpu-0", 1, ready=True)
    assert [studio.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert "short of space" in studio.get("/readyz").json()["detail"]
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    service.supervisor._thread = ended
    assert studio.get("/healthz").status_code == 503
