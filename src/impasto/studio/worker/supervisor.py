"""Starts workers, watches them and starts them again; jobs of a lost worker go back into the queue."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout

from impasto.errors import ImpastoError
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.retention import delete_expired_jobs, delete_unknown_folders
from impasto.studio.queue.slots import slot_lock
from impasto.studio.settings import StudioSettings

__all__ = ["DataInUseError", "Supervisor", "WorkerProcess"]

_POLL_SECONDS = 0.2
_RETENTION_SECONDS = 60.0  # between two deletions of expired jobs

log = logging.getLogger("impasto.studio")


class DataInUseError(ImpastoError):
    """Another server uses the data folder."""


class WorkerProcess:
    """One worker: its process while it runs, and what is needed to watch and restart it.

    Attributes:
        command: what is run.
        process: None before the first start and after an end that was noticed.
    """

    def __init__(self, slot: str, device: str, settings: StudioSettings, store: JobStore) -> None:
        self.slot, self._settings, self._store = slot, settings, store
        self.command = [sys.executable, "-m", "impasto.studio.worker", slot, device]
        self.process: subprocess.Popen[bytes] | None = None
        self._starts: list[float] = []
        self._progress_marker: tuple[Any, ...] | None = None
        self._last_progress = time.monotonic()

    def supervise(self) -> None:
        """Kill the process if it hangs, release its jobs if it has ended, start it if it does not run."""
        if self.process is not None and self.process.poll() is None:
            if self._hangs():
                log.warning("worker %s hangs, ending it", self.slot)
                self.process.kill()  # a hanging process may not react to anything less
                self.process.wait()
            return
        if self.process is not None:
            log.warning("worker %s ended (%s)", self.slot, self.process.returncode)
            self.process = None
            # A worker of an earlier server that still lives holds the lock: then the jobs belong to it.
            with suppress(Timeout), slot_lock(self._settings, self.slot).acquire(timeout=1.0):
                self._store.release(self.slot, died=True, attempts=self._settings.attempts)
        if not self._starts or time.monotonic() - self._starts[-1] > self._restart_delay():
            self._starts = [*self._starts[-10:], time.monotonic()]
            self.process = self._start()

    def stop(self) -> None:
        """End the process by closing its standard input."""
        if self.process is None:
            return
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _restart_delay(self) -> float:
        """Seconds to wait before the next start; longer if the process keeps ending at once."""
        recent = [start for start in self._starts if time.monotonic() - start < 60.0]
        return min(30.0, 0.5 * 2 ** max(0, len(recent) - 3)) if recent else 0.0

    def _hangs(self) -> bool:
        """Whether its job has made no progress for too long."""
        now, marker = time.monotonic(), self._store.progress_marker(self.slot)
        if marker is None or marker != self._progress_marker:
            self._progress_marker, self._last_progress = marker, now
        return now - self._last_progress > self._settings.stall_seconds

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        # As in the command line: waiting threads should sleep, not spin (LOG.md, 2026-11-20).
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.setdefault("GOMP_SPINCOUNT", "1000")
        if self._settings.threads:
            environment["OMP_NUM_THREADS"] = str(self._settings.threads)
        environment["IMPASTO_STUDIO"] = self._settings.without_token().model_dump_json()
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, env=environment)


class Supervisor:
    """A thread in the server that supervises the workers and deletes expired jobs."""

    def __init__(self, settings: StudioSettings, store: JobStore) -> None:
        self._settings, self._store = settings, store
        self._last_retention = 0.0
        self._lock = FileLock(settings.data / "server.lock", thread_local=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._workers = [
            WorkerProcess(f"{device}-{number}", device, settings, store)
            for number, device in enumerate(settings.device)
        ]

    def lock_data_folder(self) -> None:
        """Reserve the data folder for this server; raises ``DataInUseError`` if another one uses it."""
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire(timeout=5.0)
        except Timeout:
            got = f"another studio uses the folder '{self._settings.data}'"
            raise DataInUseError(got, remedy="stop it, or choose another --data") from None

    def start(self) -> None:
        """Lock the data folder if :meth:`lock_data_folder` has not yet, and start the workers."""
        self.lock_data_folder()
        delete_unknown_folders(self._store, self._settings)
        self._thread.start()

    def stop(self) -> None:
        """End the workers; what they were painting is resumed at the next start."""
        self._stopping.set()
        self._thread.join(20.0)
        for worker in self._workers:
            worker.stop()
        self._lock.release()

    def _run(self) -> None:
        slots = {worker.slot for worker in self._workers}
        for slot in self._store.busy_slots() - slots:
            self._release_unused_slot(slot)
        while not self._stopping.wait(_POLL_SECONDS):
            for worker in self._workers:
                worker.supervise()
            if time.monotonic() - self._last_retention > _RETENTION_SECONDS or self._store.removable_ids():
                self._last_retention = time.monotonic()
                delete_expired_jobs(self._store, self._settings)

    def _release_unused_slot(self, slot: str) -> None:
        """Requeue jobs of a slot without a worker, left by an earlier server that had other devices."""
        with suppress(Timeout), slot_lock(self._settings, slot).acquire(timeout=30.0):
            self._store.release(slot)
