"""Metrics for Prometheus, computed from the queue at each request, so that they survive a restart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from impasto.studio.queue.data_folder import disk_short
from impasto.studio.queue.jobs import FINAL_STATES, JobStore
from impasto.studio.queue.retention import kept_bytes
from impasto.studio.settings import StudioSettings

__all__ = ["metrics_text"]


class _QueueCollector(Collector):
    def __init__(self, store: JobStore, settings: StudioSettings) -> None:
        self._store, self._settings = store, settings

    def collect(self) -> Iterator[Metric]:
        by_state = GaugeMetricFamily("impasto_jobs", "Jobs that are kept, by state.", labels=["state"])
        counts = self._store.count_by_state()
        for state in ("queued", "running", *FINAL_STATES):
            by_state.add_metric([state], counts.get(state, 0))
        yield by_state
        finished = self._store.finished_jobs()
        painting_seconds = sum(job.seconds or 0.0 for job in finished if job.state == "done")
        painted = [job for job in finished if job.state == "done" and job.seconds is not None]
        # The clock may have been moved between the two times.
        waited = [max(0.0, job.started - job.created) for job in painted if job.started is not None]
        yield _histogram("impasto_job_wait_seconds", "From acceptance to the first painting.", waited)
        yield _histogram(
            "impasto_job_paint_seconds", "Painting of a job.", [job.seconds or 0.0 for job in painted]
        )
        for name, help_text, value in (
            ("impasto_workers_ready", "Workers ready to paint.", self._store.ready_worker_count()),
            ("impasto_painting_seconds", "Seconds of painting of all jobs that are kept.", painting_seconds),
            ("impasto_kept_bytes", "Bytes of finished jobs.", kept_bytes(self._store, self._settings)),
            ("impasto_reserved_bytes", "Bytes that jobs may still take.", self._store.reserved_bytes()),
            ("impasto_queue_paused", "1 while the disk is short of space.", int(disk_short(self._settings))),
            (
                "impasto_free_bytes", "Bytes free on the data folder's disk.",
                shutil.disk_usage(self._settings.data).free,
            ),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, help_text, value=value)


#: Upper bounds of the histograms' buckets in seconds.
_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0)


def _histogram(name: str, help_text: str, seconds: list[float]) -> HistogramMetricFamily:
    buckets = [(str(bound), float(sum(value <= bound for value in seconds))) for bound in _BOUNDS]
    buckets.append(("+Inf", float(len(seconds))))
    return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=sum(seconds))


def metrics_text(store: JobStore, settings: StudioSettings) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_QueueCollector(store, settings))
    return generate_latest(registry)
