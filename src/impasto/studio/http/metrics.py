"""Figures for Prometheus, read from the queue when asked: they survive a restart, as the queue does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from impasto.studio.queue.jobs import Jobs
from impasto.studio.settings import StudioSettings

__all__ = ["exposition"]


class _Queue(Collector):
    def __init__(self, jobs: Jobs, settings: StudioSettings) -> None:
        self.jobs, self.settings = jobs, settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        states = GaugeMetricFamily("impasto_jobs", "Jobs that are kept, by state.", labels=["state"])
        counts = self.jobs.counts()
        for state in ("queued", "running", "done", "failed", "cancelled"):
            states.add_metric([state], counts.get(state, 0))
        yield states
        workers = self.jobs.workers()
        now = time.time()
        ready = sum(bool(one["ready"]) and now - one["beat"] < 15.0 for one in workers)
        yield GaugeMetricFamily("impasto_workers_ready", "Workers ready to paint.", value=ready)
        finished = self.jobs.finished()
        painted = [job for job in finished if job.state == "done" and job.seconds]
        yield GaugeMetricFamily(
            "impasto_painting_seconds", "Seconds of painting of all jobs that are kept.",
            value=sum(job.seconds or 0.0 for job in painted),
        )  # fmt: skip
        kept = sum(job.bytes for job in finished)
        yield GaugeMetricFamily("impasto_kept_bytes", "Bytes of finished jobs.", value=kept)
        free = shutil.disk_usage(self.settings.data).free
        yield GaugeMetricFamily("impasto_free_bytes", "Bytes free on the data folder's disk.", value=free)


def exposition(jobs: Jobs, settings: StudioSettings) -> bytes:
    """All figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Queue(jobs, settings))
    return generate_latest(registry)
