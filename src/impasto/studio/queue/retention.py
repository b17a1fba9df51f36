"""Which jobs are deleted, and when."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress

from impasto.studio.queue.jobs import FINAL_STATES, JobStore, StudioJob
from impasto.studio.queue.storage import File, delete_job, delete_work_files, files_of, folder_size
from impasto.studio.settings import StudioSettings

__all__ = ["Retention", "kept_bytes"]

_LAST_RUN = "last retention"
_CLOCK_JUMP, _DISTRUST = 86400.0, 3600.0  # seconds


class Retention:
    """Deletes jobs that clients deleted, jobs that are too old, and some if all take too much space.

    It also keeps account of what jobs take on the disk.
    """

    def __init__(self, store: JobStore, settings: StudioSettings) -> None:
        self._store, self._settings = store, settings
        self._distrusted_since: float | None = None  # on the monotonic clock
        self._tidied: set[tuple[str, float | None]] = set()  # (id, time of the end) of jobs

    def run(self) -> int:
        """Returns how many jobs were removed from the disk."""
        self._tidy()
        finished = self._store.finished_jobs()
        if self._clock_is_trusted():
            oldest = time.time() - self._settings.keep_days * 86400
            for job in [job for job in finished if (job.finished or 0.0) < oldest]:
                self._store.mark_deleted(job.id)
                finished.remove(job)
        # The recorded sizes count files that jobs share several times: if even they fit, all is well.
        if sum(job.bytes for job in finished) > self._settings.keep_bytes:
            for job in jobs_over_limit(finished, self._settings):
                self._store.mark_deleted(job.id)
        removable = self._store.removable_ids()
        for job_id in removable:
            delete_job(job_id, self._store, self._settings)
        return len(removable)

    def _tidy(self) -> None:
        """Delete what jobs have left that ended without their worker, and record what they take.

        The size of those that are being painted is recorded too, so that what they have taken of the disk is
        not reserved as well: one that was interrupted could otherwise wait for room that it has already.
        """
        finished = self._store.finished_jobs()
        ended = [job for job in finished if (job.id, job.finished) not in self._tidied]
        for job in (*ended, *self._store.started_jobs()):
            folder = self._settings.job_folder(job.id)
            with suppress(OSError):
                if job.state in FINAL_STATES:
                    delete_work_files(folder, job.state)
                self._store.record_size(job, folder_size(folder))
        self._tidied = {(job.id, job.finished) for job in finished}

    def _clock_is_trusted(self) -> bool:
        """Whether jobs may be deleted for their age.

        After a jump forward of more than a day (or a start after so long) nothing is deleted for an hour, in
        which a wrong clock is usually set right.
        """
        now, last = time.time(), float(self._store.recall(_LAST_RUN) or 0.0)
        if last and now - last > _CLOCK_JUMP:
            self._distrusted_since = self._distrusted_since or time.monotonic()
            if time.monotonic() - self._distrusted_since < _DISTRUST:
                return False
        self._distrusted_since = None
        self._store.remember(_LAST_RUN, repr(now))  # not in between: a restart has to see the jump too
        return True


def jobs_over_limit(finished: Iterable[StudioJob], settings: StudioSettings) -> list[StudioJob]:
    """The jobs to delete until the others take at most ``keep_bytes``.

    A file that several jobs share is charged once, in equal parts. The client whose jobs take most loses the
    oldest of them first, so that nobody can crowd out what others have made.
    """
    jobs = {job.id: job for job in finished}  # oldest first
    files = {job_id: files_of(settings.job_folder(job_id)) for job_id in jobs}
    owners = Counter(file for shared in files.values() for file in shared)
    total, doomed = sum(file.bytes for file in owners), []
    while total > settings.keep_bytes and jobs:
        charged: dict[str, float] = defaultdict(float)
        for job_id, job in jobs.items():
            charged[job.client] += sum(file.bytes / owners[file] for file in files[job_id])
        largest = max(charged, key=lambda client: charged[client])
        oldest = next(job for job in jobs.values() if job.client == largest)
        doomed.append(jobs.pop(oldest.id))
        for file in files[oldest.id]:
            owners[file] -= 1
            total -= 0 if owners[file] else file.bytes
    return doomed


def kept_bytes(store: JobStore, settings: StudioSettings) -> int:
    """Bytes of all finished jobs on the disk; files that several jobs share count once."""
    files: set[File] = set()
    for job in store.finished_jobs():
        with suppress(OSError):
            files |= files_of(settings.job_folder(job.id))
    return sum(file.bytes for file in files)
