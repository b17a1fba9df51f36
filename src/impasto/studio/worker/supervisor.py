"""Starts workers, watches them and starts them again; jobs of a lost worker go back into the queue."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout

from impasto.errors import ImpastoError
from impasto.studio.queue.audit import AuditLog
from impasto.studio.queue.data_folder import disk_short, move_unknown_to_trash, purge_trash
from impasto.studio.queue.guarded import GuardedStep
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.retention import Retention
from impasto.studio.queue.slots import slot_lock
from impasto.studio.settings import StudioSettings

__all__ = ["DataInUseError", "Supervisor", "WorkerProcess"]

_POLL_SECONDS = 0.2
_RETENTION_SECONDS = 60.0  # between two deletions of expired jobs
_UNUSED_SLOT_SECONDS = 10.0  # between two searches for jobs of slots without a worker
_DRAIN_SECONDS = 12.0  # that a worker has to save its job and end; a little more than it takes itself

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
                self._kill()  # a hanging process may not react to anything less
            return
        if self.process is not None:
            log.warning("worker %s ended (%s)", self.slot, self.process.returncode)
            self._release()
            self.process = None  # only now: if releasing fails, it is tried again
        if not self._starts or time.monotonic() - self._starts[-1] > self._restart_delay():
            self._starts = [*self._starts[-10:], time.monotonic()]
            self.process = self._start()

    def ask_to_end(self) -> None:
        """Close the process's standard input: it saves what it paints, puts it back and ends."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    def stop(self) -> None:
        """End the process; what it was painting goes back into the queue, and its attempt does not count."""
        if self.process is None:
            return
        self.ask_to_end()
        try:
            self.process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        self._release(take_back=True)

    def _kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel; it is looked at again
            self.process.wait(10.0)

    def _release(self, *, take_back: bool = False) -> None:
        """Put the jobs of the ended process back into the queue."""
        # A worker of an earlier server that still lives holds the lock: then the jobs belong to it.
        with suppress(Timeout), slot_lock(self._settings, self.slot).acquire(timeout=1.0):
            self._store.release(self.slot, attempts=self._settings.attempts, take_back=take_back)

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


def _end_this_server() -> None:
    """Have the server stop as for Ctrl-C, so that whoever started it (systemd, Docker) starts it again."""
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """A thread in the server that supervises the workers and deletes expired jobs.

    No error ends it (see ``GuardedStep``).

    Args:
        on_lost: called in the thread if it ends all the same.
    """

    def __init__(
        self, settings: StudioSettings, store: JobStore, on_lost: Callable[[], None] = _end_this_server
    ) -> None:
        self._settings, self._store, self._on_lost = settings, store, on_lost
        self._lock = FileLock(settings.data / "server.lock", thread_local=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        slots = {f"{device}-{number}": device for number, device in enumerate(settings.device)}
        if settings.on_cluster:
            slots = {"cluster": settings.cluster_device}  # one process hands the jobs to the cluster
        self._workers = [WorkerProcess(slot, device, settings, store) for slot, device in slots.items()]
        self._retention = Retention(store, settings)
        self._last_retention = self._last_search = -_RETENTION_SECONDS
        self._kept = set[str]()  # deleted jobs whose files could not be deleted; tried again each time
        self._paused = False
        self.lost = False  # whether the thread has ended although nobody stopped it
        self._steps = [
            *(GuardedStep(f"worker {worker.slot}", worker.supervise) for worker in self._workers),
            GuardedStep("jobs without a worker", self._release_unused_slots),
            GuardedStep("space on the disk", self._watch_disk),
            GuardedStep("deleting expired jobs", self._delete_expired),
        ]

    @property
    def alive(self) -> bool:
        """Whether the thread runs, or has not been started."""
        return self._thread.ident is None or self._thread.is_alive()

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
        moved = move_unknown_to_trash(self._store, self._settings)
        if moved:
            log.warning("%d folders that are no jobs of the database are in 'trash' for a day", moved)
        self._thread.start()

    def stop(self) -> None:
        """End the workers; what they were painting is resumed at the next start."""
        self._stopping.set()
        self._thread.join(20.0)
        for worker in self._workers:
            worker.ask_to_end()  # all at once, then wait for each
        for worker in self._workers:
            GuardedStep(f"worker {worker.slot}", worker.stop).run()
        self._lock.release()

    def tick(self) -> None:
        """Run each step once."""
        for step in self._steps:
            step.run()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(_POLL_SECONDS):
                self.tick()
        finally:
            if not self._stopping.is_set():
                self.lost = True
                self._on_lost()

    def _delete_expired(self) -> None:
        removable = set(self._store.removable_ids())
        if time.monotonic() - self._last_retention > _RETENTION_SECONDS or removable - self._kept:
            self._last_retention = time.monotonic()
            self._retention.run()
            self._kept = removable & set(self._store.removable_ids())
            purge_trash(self._settings)
            AuditLog(self._settings.data).purge(self._settings.audit_days)

    def _watch_disk(self) -> None:
        short = disk_short(self._settings)
        if short:
            purge_trash(self._settings, everything=True)
        if short != self._paused:
            self._paused = short
            log.warning("the queue %s", "pauses: the disk is short of space" if short else "goes on")

    def _release_unused_slots(self) -> None:
        """Requeue jobs of slots without a worker, left by an earlier server, or by the cluster's process."""
        if time.monotonic() - self._last_search < _UNUSED_SLOT_SECONDS:
            return
        self._last_search = time.monotonic()
        for slot in self._store.busy_slots() - {worker.slot for worker in self._workers}:
            with suppress(Timeout), slot_lock(self._settings, slot).acquire(timeout=0.0):
                self._store.release(slot, attempts=self._settings.attempts)
