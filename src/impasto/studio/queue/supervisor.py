"""Workers are started, watched and started again; jobs that lost theirs go back into the queue."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from impasto.errors import ImpastoError
from impasto.studio.http.guard import log
from impasto.studio.queue.jobs import Jobs
from impasto.studio.queue.keeping import sweep, sweep_orphans
from impasto.studio.settings import StudioSettings

__all__ = ["DataInUseError", "Supervisor", "lock_of"]

_ALIVE = 15.0  # seconds without a sign of life after which a worker counts as absent
_SWEEP = 60.0


class DataInUseError(ImpastoError):
    """Another server has the data folder."""


def lock_of(settings: StudioSettings, slot: str) -> FileLock:
    """The lock that a worker holds as long as it lives: the system lets go of it, however the worker ends."""
    folder = settings.data / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{slot.replace(':', '-')}.lock", thread_local=False)


@dataclass
class _Worker:
    slot: str
    device: str
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)
    progress: tuple[Any, ...] | None = None
    moved: float = field(default_factory=time.monotonic)

    def pause(self) -> float:
        """Seconds to wait before the next start: longer where it keeps ending at once."""
        recent = [one for one in self.starts if time.monotonic() - one < 60.0]
        return min(30.0, 0.5 * 2 ** max(0, len(recent) - 3)) if recent else 0.0


class Supervisor:
    """One thread beside the server. ``start`` takes the data folder, ``stop`` gives it back."""

    def __init__(self, settings: StudioSettings, jobs: Jobs) -> None:
        self.settings, self.jobs, self.swept = settings, jobs, 0.0
        self._lock = FileLock(settings.data / "server.lock", thread_local=False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._workers = [
            _Worker(f"{device}-{number}", device) for number, device in enumerate(settings.device)
        ]

    def take(self) -> None:
        """Make the data folder ours; raises ``DataInUseError`` where another server is at work on it."""
        try:
            self._lock.acquire(timeout=5.0)
        except Timeout:
            got = f"another studio uses the folder '{self.settings.data}'"
            raise DataInUseError(got, remedy="stop it, or choose another --data") from None

    def start(self) -> None:
        """Take the folder if that was not done, and start the workers."""
        if not self._lock.is_locked:
            self.take()
        sweep_orphans(self.jobs, self.settings)
        self._thread.start()

    def stop(self) -> None:
        """Workers end with their standard input; what they had begun goes on at the next start."""
        self._stop.set()
        self._thread.join(20.0)
        for worker in self._workers:
            _end(worker.process)
        self._lock.release()

    def alive(self) -> bool:
        """Whether a worker is ready to paint."""
        now = time.time()
        return any(one["ready"] and now - one["beat"] < _ALIVE for one in self.jobs.workers())

    def _run(self) -> None:
        own = {worker.slot for worker in self._workers}
        for slot in self.jobs.slots() - own:
            self._release_foreign(slot)
        while not self._stop.wait(0.2):
            for worker in self._workers:
                self._tend(worker)
            if time.monotonic() - self.swept > _SWEEP or self.jobs.removable():
                self.swept = time.monotonic()
                sweep(self.jobs, self.settings)

    def _release_foreign(self, slot: str) -> None:
        """Jobs of a worker of an earlier server with other devices."""
        with suppress(Timeout), lock_of(self.settings, slot).acquire(timeout=30.0):
            self.jobs.release(slot)

    def _tend(self, worker: _Worker) -> None:
        process = worker.process
        if process is not None and process.poll() is None:
            if self._hangs(worker):
                log.warning("worker %s hangs, ending it", worker.slot)
                process.kill()  # whatever it hangs in may not listen to anything less
                process.wait()
            return
        if process is not None:
            log.warning("worker %s ended (%s)", worker.slot, process.returncode)
            worker.process = None
            # The lock is free unless the worker of a server before us still lives: then the jobs are its own.
            with suppress(Timeout), lock_of(self.settings, worker.slot).acquire(timeout=1.0):
                self.jobs.release(worker.slot, died=True, attempts=self.settings.attempts)
        if not worker.starts or time.monotonic() - worker.starts[-1] > worker.pause():
            worker.starts = [*worker.starts[-10:], time.monotonic()]
            worker.process = self._begin(worker)

    def _hangs(self, worker: _Worker) -> bool:
        """Whether its job has not gone on for too long."""
        now, progress = time.monotonic(), self.jobs.progress_of(worker.slot)
        if progress is None or progress != worker.progress:
            worker.progress, worker.moved = progress, now
        return now - worker.moved > self.settings.stall_seconds

    def _begin(self, worker: _Worker) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        # As the command line does: threads that wait should sleep (LOG.md, 2026-11-20).
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.setdefault("GOMP_SPINCOUNT", "1000")
        if self.settings.threads:
            environment["OMP_NUM_THREADS"] = str(self.settings.threads)
        environment["IMPASTO_STUDIO"] = self.settings.model_copy(update={"token": None}).model_dump_json()
        command = [sys.executable, "-m", "impasto.studio.queue.work", worker.slot, worker.device]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
