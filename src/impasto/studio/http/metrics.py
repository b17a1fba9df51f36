"""Metrics for Prometheus, computed from the queue at each request, so that they survive a restart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from impasto.studio.queue.data_folder import disk_short
from impasto.studio.queue.durations import PAINT, WAIT, durations_of
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
        for name, help_text, what in (
            ("impasto_job_wait_seconds", "From acceptance to the first painting.", WAIT),
            ("impasto_job_paint_seconds", "Painting of a job that was finished.", PAINT),
        ):
            buckets, total = durations_of(self._store.database.connection(), what)
            bounds = [(floatToGoString(bound), float(count)) for bound, count in buckets]  # type: ignore[no-untyped-call]
            yield HistogramMetricFamily(name, help_text, buckets=bounds, sum_value=total)
        for name, help_text, value in (
            ("impasto_workers_ready", "Workers ready to paint.", self._store.ready_worker_count()),
            (
                "impasto_painting_seconds", "Seconds of painting of all jobs that are kept.",
                self._store.painted_seconds(),
            ),
            ("impasto_kept_bytes", "Bytes of finished jobs.", kept_bytes(self._store, self._settings)),
            ("impasto_reserved_bytes", "Bytes that jobs may still take.", self._store.reserved_bytes()),
            ("impasto_queue_paused", "1 while the disk is short of space.", int(disk_short(self._settings))),
            (
                "impasto_free_bytes", "Bytes free on the data folder's disk.",
                shutil.disk_usage(self._settings.data).free,
            ),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, help_text, value=value)


def metrics_text(store: JobStore, settings: StudioSettings) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_QueueCollector(store, settings))
    return generate_latest(registry)
