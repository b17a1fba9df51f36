"""A studio in one thread whose disk, database, memory, processes and clock fail at random, seeded moments.

Accepting, supervising, working and watching take turns in a random order. The code is the studio's own; only
decoding, painting and starting processes are replaced by something that takes no time.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

from filelock import FileLock

from faults import Clock, FakeEvent, FakeProcess, Faults, Killed
from impasto.files import write_atomically
from impasto.studio.errors import RefusedError
from impasto.studio.http.job_feed import JobFeed
from impasto.studio.intake.intake import JobIntake
from impasto.studio.intake.request import JobRequest
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.jobs import FINAL_STATES, JobStore, StudioJob
from impasto.studio.queue.slots import slot_lock
from impasto.studio.sandbox.job_files import JobFacts
from impasto.studio.settings import StudioSettings
from impasto.studio.worker import painting
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.loop import WorkLoop
from impasto.studio.worker.supervisor import Supervisor, WorkerProcess

SLOT = "cpu-0"


class FaultyStudio:
    """The studio.

    Attributes:
        accepted: ids that a client was told, with 202.
        painted: how often each job's result was written.
    """

    def __init__(self, folder: Path, seed: int, rate: float, **settings: Any) -> None:
        self.settings = StudioSettings(data=folder, device=("cpu",), **settings)
        self.faults, self.clock = Faults(seed, rate), Clock()
        self.random = random.Random(-seed - 1)
        self.accepted: list[str] = []
        self.painted: Counter[str] = Counter()
        self.final: dict[str, str] = {}
        self._keys: list[tuple[str, int]] = []
        self._connections: list[tuple[bool, sqlite3.Connection]] = []  # the worker's, or the server's
        self._server: tuple[JobStore, JobIntake, Supervisor, JobFeed] | None = None
        self._worker: tuple[JobStore, WorkLoop, FileLock, FakeEvent] | None = None
        self._process: FakeProcess | None = None
        self._free = 10**12
        self._numbers = iter(range(10**9))

    # -- the turns ------------------------------------------------------------------------------------
    def run(self, turns: int) -> None:
        """Let things happen, with faults."""
        with self.patched():
            for _ in range(turns):
                act = self.random.choice(
                    [self.accept] * 3
                    + [self.supervise] * 3
                    + [self.work] * 6
                    + [self.watch] * 2
                    + [self.befall]
                )
                act()
                self.clock.sleep(self.random.uniform(0.0, 3.0))

    def recover(self) -> None:
        """Let everything be finished without faults, then accept and finish two jobs more."""
        self.faults.rate, self._free = 0.0, 10**12
        with self.patched():
            self._finish_all()
            known = len(self.accepted)
            while len(self.accepted) < known + 2:
                self.accept()
            self._finish_all()
            self._stop_server()  # a start moves aside what refused requests may have left behind
            self.watch()
        assert [self.final[job_id] for job_id in self.accepted[known:]] == ["done", "done"]

    def check_nothing_lost(self, allowed: tuple[str, ...] = ("done",)) -> None:
        """Every accepted job has ended as it should, with its own result, painted once."""
        store = JobStore(self.settings.data / "studio.db")
        for job_id in self.accepted:
            job = store.get(job_id)
            assert job is not None, "an accepted job is lost"
            assert job.state in allowed, (job.state, job.error, job.last_error)
            if job.state == "done":
                folder = self.settings.job_folder(job_id)
                assert (folder / "result.png").read_bytes() == (folder / "content").read_bytes()
        assert not [job_id for job_id, times in self.painted.items() if times > 1]
        assert {path.name for path in (self.settings.data / "jobs").iterdir()} <= store.all_ids() | {"old"}
        store.database.close()

    def _finish_all(self, turns: int = 3000) -> None:
        for _ in range(turns):
            self.supervise()
            self.work()
            self.watch()
            self.clock.sleep(5.0)
            if self._server is not None and self._idle(self._server[0]):
                break
        self.watch()

    def _idle(self, store: JobStore) -> bool:
        return not store.busy_slots() and not store.waiting_count() and not store.removable_ids()

    def accept(self) -> None:
        """A client sends a job, or sends an earlier one again because it got no answer."""
        if not self._serve():
            return
        assert self._server is not None
        if self._keys and self.random.random() < 0.5:
            key, number = self._keys.pop()
        else:
            number = next(self._numbers)
            key = f"key-{number}"
        content = io.BytesIO(f"picture {number}".encode())
        request = JobRequest(content=content, styles=["wave"], recipe={"size": 64})
        intake = self._server[1]
        try:
            with self.faults.of("accepter"), intake.reserve_place("client"):
                job = intake.accept(request, "client", None, key)
        except Killed:
            self._kill_server()
            self._keys.append((key, number))
        except Exception as error:  # noqa: BLE001 - the client is told what to do
            refused = error.status if isinstance(error, RefusedError) else 503
            if refused not in (429, 507):
                self._keys.append((key, number))
        else:
            self.accepted.append(job.id)

    def supervise(self) -> None:
        if not self._serve():
            return
        assert self._server is not None
        try:
            with self.faults.of("supervisor"):
                self._server[2].tick()
        except Killed:
            self._kill_server()

    def watch(self) -> None:
        """The event streams: what has ended once does not change any more."""
        if not self._serve():
            return
        assert self._server is not None
        feed = self._server[3]
        try:
            with self.faults.of("watcher"):
                views = feed._read(set(self.accepted), True) or {}
        except Killed:
            self._kill_server()
        except Exception:  # noqa: BLE001 - as in its loop
            pass
        else:
            for job_id, view in views.items():
                if view is not None and view.state in FINAL_STATES:
                    assert self.final.setdefault(job_id, view.state) == view.state

    def work(self) -> None:
        """A worker starts, or claims and paints a job."""
        if self._process is None or self._process.returncode is not None:
            return
        code: int | None = None
        try:
            with self.faults.of("worker"):
                if self._worker is None:
                    self._start_work()
                assert self._worker is not None
                code = 0 if self._worker[3].is_set() else self._worker[1].step()
        except Killed:
            code = -9
        except Exception:  # noqa: BLE001 - while it starts
            code = 1
        if code is not None:
            self._end_worker(code)

    def befall(self) -> None:
        """The clock is moved, the disk fills up or is emptied, a process is killed or the server stopped."""
        what = self.random.choice(["clock", "disk", "kill worker", "kill server", "stop server"])
        if what == "clock":
            self.clock.now += self.random.choice([-1, 1]) * self.random.choice([60.0, 7200.0, 400 * 86400.0])
        elif what == "disk":
            self._free = self.random.choice([0, 10**12])
        elif what == "kill worker" and self._process is not None and self._process.returncode is None:
            self._end_worker(-9)
        elif what == "kill server":
            self._kill_server()
        elif what == "stop server":
            self._stop_server()

    # -- processes ------------------------------------------------------------------------------------
    def _serve(self) -> bool:
        """Start the server if it does not run; returns whether it does."""
        if self._server is not None:
            return True
        supervisor: Supervisor | None = None
        try:
            with self.faults.of("supervisor"):
                store = open_data_folder(self.settings)
                supervisor = Supervisor(self.settings, store, on_lost=lambda: None)
                supervisor._thread = threading.Thread(target=lambda: None)
                supervisor.start()
        except (Killed, Exception):  # noqa: BLE001 - systemd starts it again
            if supervisor is not None:
                supervisor._lock.release(force=True)
            self._close_connections()
            return False
        self._server = store, JobIntake(self.settings, store), supervisor, JobFeed(store)
        return True

    def _kill_server(self) -> None:
        """The server is killed; its worker notices that, or is killed as well."""
        if self._server is None:
            return
        self._server[2]._lock.release(force=True)
        self._server = None
        if self._worker is not None and self.random.random() < 0.5:
            self._worker[3].set()
            self.work()
        self._end_worker(-9)
        self._process = None
        self._close_connections()

    def _stop_server(self) -> None:
        if self._server is None:
            return
        if self._worker is not None:
            self._end_worker(0)  # between two jobs
        try:
            with self.faults.of("supervisor"):
                self._server[2].stop()
        except Killed:
            pass
        self._kill_server()

    def _start_work(self) -> None:
        """What a worker's process does first."""
        lock = slot_lock(self.settings, SLOT)
        lock.acquire(timeout=0.0)
        try:
            store = JobStore(self.settings.data / "studio.db")
            store.release(SLOT, attempts=self.settings.attempts)
        except BaseException:
            lock.release(force=True)
            raise
        draining = FakeEvent(self.clock)

        def paint(job: StudioJob) -> bool:
            claimed = ClaimedJob(job, store, self.settings, SLOT, draining=draining)  # type: ignore[arg-type]
            return painting.paint_job(claimed, store, self._paint)

        loop = WorkLoop(self.settings, store, SLOT, paint, draining)  # type: ignore[arg-type]
        self._worker = store, loop, lock, draining

    def _end_worker(self, code: int) -> None:
        if self._worker is not None:
            self._worker[2].release(force=True)
            self._worker = None
        self._close_connections(of_worker=True)
        if self._process is not None and self._process.returncode is None:
            self._process.returncode = code

    def _close_connections(self, *, of_worker: bool = False) -> None:
        """The system closes an ended process's files, and so ends its transactions."""
        for owner, connection in self._connections:
            if owner is of_worker:
                connection.close()
        self._connections = [entry for entry in self._connections if entry[0] is not of_worker]

    def close(self) -> None:
        """End everything."""
        self._kill_server()

    # -- what is replaced -------------------------------------------------------------------------------
    @contextmanager
    def patched(self) -> Iterator[None]:
        """Have the studio's code use the failing disk, database, clock and processes."""
        chance, clock = self.faults.chance, self.clock

        def before(function: Callable[..., Any], *kinds: str) -> Callable[..., Any]:
            def failing(*arguments: Any, **options: Any) -> Any:
                chance(*kinds)
                return function(*arguments, **options)

            return failing

        usage = shutil.disk_usage(self.settings.data.parent)
        system = ("system", "system", "memory", "kill")
        with ExitStack() as stack:
            for target, name in (
                (os, "fsync"), (os, "replace"), (os, "link"), (os, "mkdir"), (os, "rename"),
                (shutil, "copyfileobj"), (shutil, "rmtree"),
            ):  # fmt: skip
                stack.enter_context(patch.object(target, name, before(getattr(target, name), *system)))
            for name, replacement in (
                ("time.time", lambda: clock.now),
                ("time.monotonic", lambda: clock.steady),
                ("time.sleep", clock.sleep),
                ("shutil.disk_usage", lambda _: usage._replace(free=self._free)),
                ("sqlite3.connect", self._connect),
                ("impasto.studio.intake.intake.run_sandboxed", before(self._decode, *system)),
            ):
                stack.enter_context(patch(name, replacement))
            stack.enter_context(patch.object(painting, "write_thumbnail", lambda *_: None))
            stack.enter_context(patch.object(painting.pictures, "load", lambda _: None))
            stack.enter_context(patch.object(painting, "painted_before", self._painted_before))
            stack.enter_context(patch.object(WorkerProcess, "_start", before(self._start_process, *system)))
            yield

    def _connect(self, path: Path, **options: Any) -> sqlite3.Connection:
        chance = self.faults.chance

        class Failing(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
                chance("database", "database", "memory", "kill")
                cursor = super().execute(statement, *values)
                if statement == "COMMIT":
                    chance("memory", "kill")  # it has happened, but nobody is told
                return cursor

        self.faults.chance("database", "system")
        connection = Failing(path, **options)
        self._connections.append((self.faults.role == "worker", connection))
        return connection

    def _start_process(self, *_: Any) -> FakeProcess:
        self._end_worker(-9)
        self._process = FakeProcess()
        return self._process

    def _decode(self, _: Any, folder: Path, *rest: Any, **__: Any) -> dict[str, Any]:
        if folder.name == "samples":  # a built-in style is rendered when it is first needed
            folder.mkdir(exist_ok=True)
            (folder / f"{rest[0]}.png").write_bytes(b"style")
            return {}
        for name in ("content.png", "content.jpg", "style-0.png"):
            (folder / name).write_bytes((folder / "content").read_bytes())
        return asdict(JobFacts("image", "PNG", (48, 64)))

    def _painted_before(self, claimed: ClaimedJob) -> str | None:
        return "result.png" if (claimed.folder / "result.png").exists() else None

    def _paint(self, claimed: ClaimedJob) -> str:
        for name in ("content.png", "style-0.png"):
            kept, uploaded = (claimed.folder / name).read_bytes(), (claimed.folder / "content").read_bytes()
            assert kept == uploaded, "a file of an accepted job is gone"
        for step in range(3):
            claimed.report_progress(force=True, progress=step / 3)
            self.faults.chance("system", "memory", "kill")
            with suppress(OSError, MemoryError):
                write_atomically(claimed.folder / "preview.jpg", b"preview")
        write_atomically(claimed.folder / "result.png", (claimed.folder / "content").read_bytes())
        self.painted[claimed.job.id] += 1
        return "result.png"
