"""Which jobs are deleted, and when."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import delete_job
from impasto.studio.settings import StudioSettings

__all__ = ["delete_expired_jobs", "delete_unknown_folders"]


def delete_expired_jobs(store: JobStore, settings: StudioSettings) -> int:
    """Delete jobs that clients deleted, jobs that are too old, and the oldest if all take too much space.

    Returns:
        How many jobs were removed from the disk.
    """
    oldest_kept = time.time() - settings.keep_days * 86400
    finished = store.finished_jobs()
    total_bytes = sum(job.bytes for job in finished)
    for job in finished:
        if (job.finished or 0.0) < oldest_kept or total_bytes > settings.keep_bytes:
            total_bytes -= job.bytes
            store.mark_deleted(job.id)
    removable = store.removable_ids()
    for job_id in removable:
        delete_job(job_id, store, settings)
    return len(removable)


def delete_unknown_folders(store: JobStore, settings: StudioSettings) -> None:
    """Delete folders of requests that were not accepted because the server was killed in between.

    Only safe before the server accepts requests: a request that is being accepted has a folder but no row.
    """
    known = store.all_ids()
    for folder in (settings.data / "jobs").glob("*"):
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
    for leftover in (settings.data / "incoming").glob("*"):
        shutil.rmtree(leftover, ignore_errors=True)
        with suppress(OSError):
            leftover.unlink()
