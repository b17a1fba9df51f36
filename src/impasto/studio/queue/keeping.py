"""Files of jobs: what a twin lends, what is swept away and when."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from impasto.studio.queue.jobs import Job, Jobs
from impasto.studio.settings import StudioSettings

__all__ = ["borrow", "folder_bytes", "remove", "sweep", "sweep_orphans"]

_LENT = ("content.png", "content.jpg", "preview.jpg", "thumb.webp", "result.*", "style-*.webp")


def borrow(twin: Job, folder: Path, settings: StudioSettings) -> bool:
    """Link a finished twin's result into ``folder``; False if it went away meanwhile."""
    assert twin.result is not None
    for pattern in _LENT:
        for path in settings.folder(twin.id).glob(pattern):
            with suppress(FileNotFoundError):
                (folder / path.name).unlink(missing_ok=True)
                os.link(path, folder / path.name)
    return (folder / twin.result).exists()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def remove(job: str, jobs: Jobs, settings: StudioSettings) -> None:
    """Files first: a row without files is found again, files without a row would not be."""
    shutil.rmtree(settings.folder(job), ignore_errors=True)
    jobs.forget(job)


def sweep(jobs: Jobs, settings: StudioSettings) -> int:
    """Delete what was deleted, what is too old, and the oldest where there is too much; returns how many."""
    oldest = time.time() - settings.keep_days * 86400
    finished = jobs.finished()
    total = sum(job.bytes for job in finished)
    for job in finished:
        if (job.finished or 0.0) < oldest or total > settings.keep_bytes:
            total -= job.bytes
            jobs.mark_deleted(job.id)
    gone = jobs.removable()
    for one in gone:
        remove(one, jobs, settings)
    return len(gone)


def sweep_orphans(jobs: Jobs, settings: StudioSettings) -> None:
    """Folders of requests that were never accepted, as by a server that was killed. Only at the start."""
    known = jobs.known()
    for folder in (settings.data / "jobs").glob("*"):
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
    for left in (settings.data / "incoming").glob("*"):
        shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            left.unlink()
