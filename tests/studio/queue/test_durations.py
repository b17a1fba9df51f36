"""Lengths of waiting and painting, counted for histograms."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from impasto.studio.http.metrics import metrics_text
from impasto.studio.queue.durations import PAINT, WAIT, Durations, count_duration, durations_of
from impasto.studio.queue.jobs import JobStore
from impasto.studio.settings import StudioSettings
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


def counted(store: JobStore, name: str) -> Durations:
    return durations_of(store.database.connection(), name)


def test_each_length_is_in_the_buckets_that_are_as_long_or_longer(store: JobStore) -> None:
    lengths = [0.0, 1.0, 1.001, 59.0, 1e9, -5.0]
    with store.database.transaction() as db:
        for seconds in lengths:
            count_duration(db, "x", seconds)
    buckets, total = counted(store, "x")
    for bound, count in buckets:
        assert count == sum(max(0.0, seconds) <= bound for seconds in lengths), bound
    assert buckets[-1] == (math.inf, len(lengths))
    assert total == pytest.approx(0 + 1 + 1.001 + 59 + 1e9)


def test_a_wait_counts_once_and_a_painting_when_it_is_done(store: JobStore) -> None:
    """Not again after an interruption; not what failed or was cancelled."""
    add_job(store, created=time.time() - 30)
    for _ in range(2):
        claimed = store.claim("w")
        assert claimed is not None
        store.release("w")
    claimed = store.claim("w")
    assert claimed is not None
    assert not store.finish(claimed.id, "another", "done", seconds=4.0)
    assert store.finish(claimed.id, "w", "done", seconds=4.0)
    for state in ("failed", "cancelled"):
        add_job(store)
        claimed = store.claim("w")
        assert claimed is not None
        store.finish(claimed.id, "w", state, seconds=9.0)
    waits, paintings = counted(store, WAIT), counted(store, PAINT)
    assert (waits.buckets[-1][1], round(waits.total)) == (3, 30)
    assert (paintings.buckets[-1][1], paintings.total) == (1, 4.0)


def test_a_histogram_never_falls_when_jobs_are_deleted(store: JobStore) -> None:
    """Prometheus takes a lower count for a restart, and counts everything once more."""
    job = add_job(store)
    assert store.claim("w") is not None
    store.finish(job.id, "w", "done", seconds=2.0)
    settings = StudioSettings(data=store.path.parent)

    def figures() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(metrics_text(store, settings).decode())
        return {
            (sample.name, sample.labels.get("le", "")): sample.value
            for family in families
            if family.type == "histogram"
            for sample in family.samples
        }

    before = figures()
    assert before["impasto_job_paint_seconds_count", ""] == 1
    assert before["impasto_job_paint_seconds_bucket", "1.0"] == 0
    assert before["impasto_job_paint_seconds_bucket", "5.0"] == 1
    assert before["impasto_job_paint_seconds_bucket", "+Inf"] == 1
    store.mark_deleted(job.id)
    store.delete_row(job.id)
    assert figures() == before
