"""``WorkLoop``: claims one job after the other and has it painted, whatever goes wrong in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from impasto.studio.queue.data_folder import room_for_jobs
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.settings import StudioSettings

__all__ = ["WorkLoop"]

_POLL_SECONDS = 0.05  # between two queries of an empty queue
_DISK_POLL_SECONDS = 2.0  # while the disk is short of space
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds after an error of the database
_MAX_ERRORS = 12  # in a row; about three minutes
_FAILED = 3  # exit code

log = logging.getLogger("impasto.studio")


class WorkLoop:
    """The life of a worker that holds the lock of ``slot``.

    Args:
        paint: paints a job; returns whether this process can paint another.
        draining: set to end the loop before the next job.
    """

    def __init__(
        self,
        settings: StudioSettings,
        store: JobStore,
        slot: str,
        paint: Callable[[StudioJob], bool],
        draining: threading.Event,
    ) -> None:
        self._settings, self._store, self._slot = settings, store, slot
        self._paint, self._draining = paint, draining
        self._painted = self._errors = 0
        self._last_claim_failed = False

    def run(self) -> int:
        """Paint until the worker should be replaced or is asked to end; returns the exit code."""
        while not self._draining.is_set():
            code = self.step()
            if code is not None:
                return code
        return 0

    def step(self) -> int | None:
        """Claim and paint a job if there is one; returns an exit code if this process should end."""
        try:
            job = self._claim()
        except Exception as error:  # noqa: BLE001 - the disk, the database, memory: they may come back
            return self._after_failed_claim(error)
        self._errors = 0
        if job is None:
            return None
        try:
            can_go_on = self._paint(job)
        except Exception:
            # Its end could not be recorded. The supervisor puts the job back once this process has ended.
            log.exception("job %s…: cannot be recorded", job.id[:6])
            return _FAILED
        self._painted += 1
        if not can_go_on:
            log.warning("this worker ends, to be replaced after an error")
            return _FAILED
        return 0 if self._painted >= self._settings.worker_jobs else None

    def _claim(self) -> StudioJob | None:
        if self._last_claim_failed:  # it may have succeeded all the same, before the error
            self._store.release(self._slot, take_back=True)
            self._last_claim_failed = False
        room = room_for_jobs(self._settings)
        if room < 0:
            self._draining.wait(_DISK_POLL_SECONDS)
            return None
        job = self._store.claim(self._slot, room)
        if job is None:
            self._draining.wait(_POLL_SECONDS)
        return job

    def _after_failed_claim(self, error: Exception) -> int | None:
        self._last_claim_failed = True
        self._errors += 1
        log.error("no job can be claimed: %s: %s", type(error).__name__, error)
        if self._errors >= _MAX_ERRORS:
            return _FAILED
        self._draining.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._errors))
        return None
