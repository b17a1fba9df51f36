"""The queue: one row per job in SQLite (WAL), its files in a folder beside. No PyTorch in here.

A job is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``. A running job belongs to a *slot*:
the name of a worker, who holds the lock file of that name for as long as it lives. So whoever gets the lock
knows that nobody works on the slot's jobs, and puts them back into the queue; no job is in two hands.
Everything a worker writes is bound to the slot it claimed the job with.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["FINAL", "Job", "Jobs", "new_id"]

FINAL = ("done", "failed", "cancelled")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, client TEXT NOT NULL,
    kind TEXT NOT NULL, state TEXT NOT NULL, digest TEXT NOT NULL,
    created REAL NOT NULL, started REAL, finished REAL,
    preset TEXT NOT NULL, recipe TEXT NOT NULL, video TEXT, uploads TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL,
    progress REAL NOT NULL DEFAULT 0, eta REAL, scale INTEGER, scales INTEGER, evaluation INTEGER,
    frame INTEGER, frames INTEGER, loss REAL, preview INTEGER NOT NULL DEFAULT 0,
    result TEXT, error TEXT, seconds REAL, owner TEXT, deaths INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS by_digest ON jobs (digest);
CREATE INDEX IF NOT EXISTS by_client ON jobs (client, started);
CREATE TABLE IF NOT EXISTS workers (
    slot TEXT PRIMARY KEY, pid INTEGER NOT NULL, ready INTEGER NOT NULL, beat REAL NOT NULL
);
"""
_WAITING = "state = 'queued' AND deleted = 0"
#: Clients in turn, the one served longest ago first; before all, what was begun and lost its worker.
_QUEUE = f"""
SELECT id, ROW_NUMBER() OVER (ORDER BY started IS NULL, turn, served, number) - 1 AS place FROM (
    SELECT id, number, started,
        ROW_NUMBER() OVER (PARTITION BY client ORDER BY started IS NULL, number) AS turn,
        (SELECT MAX(started) FROM jobs AS own WHERE own.client = jobs.client) AS served
    FROM jobs WHERE {_WAITING}
)
"""


@dataclass(frozen=True)
class Job:
    """One row.

    Attributes:
        number: order of acceptance.
        client: whose it is, for limits only.
        digest: of all its bytes and settings: equal digests, equal results.
        recipe, video, uploads: JSON.
        progress: 0 to 1. eta: seconds left, as measured.
        preview: how many previews there were; 0: none yet.
        result: name of the result's file in the job's folder.
        owner: slot of the worker that paints it.
        deaths: workers that ended while they painted it.
        bytes: size of its folder when it was finished.
    """

    number: int
    id: str
    client: str
    kind: str
    state: str
    digest: str
    created: float
    started: float | None
    finished: float | None
    preset: str
    recipe: str
    video: str | None
    uploads: str
    height: int
    width: int
    progress: float
    eta: float | None
    scale: int | None
    scales: int | None
    evaluation: int | None
    frame: int | None
    frames: int | None
    loss: float | None
    preview: int
    result: str | None
    error: str | None
    seconds: float | None
    owner: str | None
    deaths: int
    cancel: int
    deleted: int
    bytes: int

    @property
    def files(self) -> dict[str, Any]:
        """What was uploaded, as ``accepting`` wrote it down."""
        found: dict[str, Any] = json.loads(self.uploads)
        return found


_COLUMNS = ", ".join(one.name for one in fields(Job))


def new_id() -> str:
    """128 random bits, URL-safe: who knows it may see the job."""
    return secrets.token_urlsafe(16)


class Jobs:
    """All jobs of one data folder. Safe to use from several threads and processes.

    Args:
        path: the database; made if it is missing.
        durable: wait for the disk at each change, so that an accepted job outlives a power cut.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.path, self.durable = path, durable
        self._local = threading.local()
        with self._change() as db:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "db", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode = WAL")
            found.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
            self._local.db = found
        return found

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start."""
        db = self._connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _jobs(self, condition: str, *values: Any) -> list[Job]:
        rows = self._connection().execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)
        return [Job(*row) for row in rows]

    # -- the server's side ------------------------------------------------------------------------------
    def add(self, *, id: str, **columns: Any) -> Job:
        """A new row; returns it."""
        columns = {"id": id, "state": "queued", "created": time.time(), **columns}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._change() as db:
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(columns.values()))
        found = self.get(id)
        assert found is not None
        return found

    def get(self, job: str) -> Job | None:
        """By id; deleted ones are not there."""
        return next(iter(self._jobs("id = ? AND deleted = 0", job)), None)

    def twin(self, digest: str) -> Job | None:
        """A finished job of the same bytes and settings."""
        found = self._jobs("digest = ? AND state = 'done' AND deleted = 0 ORDER BY number LIMIT 1", digest)
        return next(iter(found), None)

    def position(self, job: Job) -> int | None:
        """How many are before it in the queue; None unless it waits."""
        if job.state != "queued":
            return None
        query = f"SELECT place FROM ({_QUEUE}) WHERE id = ?"
        row = self._connection().execute(query, (job.id,)).fetchone()
        return None if row is None else int(row[0])

    def waiting(self) -> int:
        """Length of the queue."""
        return int(self._connection().execute(f"SELECT COUNT(*) FROM jobs WHERE {_WAITING}").fetchone()[0])

    def unfinished_of(self, client: str) -> int:
        """Jobs of one client that wait or run."""
        query = "SELECT COUNT(*) FROM jobs WHERE client = ? AND state IN ('queued', 'running')"
        return int(self._connection().execute(query, (client,)).fetchone()[0])

    def cancel(self, job: str) -> Job | None:
        """A waiting job ends here; a running one is ended by its worker, which asks now and then."""
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
                (time.time(), job),
            )
            db.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (job,))
        return self.get(job)

    def mark_deleted(self, job: str) -> bool:
        """Hide a job; whoever sweeps removes its files. False if there is none."""
        self.cancel(job)
        with self._change() as db:
            done = db.execute("UPDATE jobs SET deleted = 1 WHERE id = ? AND deleted = 0", (job,))
        return done.rowcount > 0

    def removable(self) -> list[str]:
        """Deleted jobs that no worker has in hand."""
        return [job.id for job in self._jobs("deleted = 1 AND state <> 'running'")]

    def forget(self, job: str) -> None:
        """Remove the row: after its files are gone."""
        with self._change() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def finished(self) -> list[Job]:
        """Finished jobs, oldest first."""
        return self._jobs("state IN ('done', 'failed', 'cancelled') AND deleted = 0 ORDER BY finished")

    def known(self) -> set[str]:
        """Ids of all rows, deleted ones too."""
        return {row[0] for row in self._connection().execute("SELECT id FROM jobs")}

    def counts(self) -> dict[str, int]:
        """State → number of jobs."""
        rows = self._connection().execute("SELECT state, COUNT(*) FROM jobs WHERE deleted = 0 GROUP BY state")
        return {row[0]: row[1] for row in rows}

    def version(self) -> int:
        """A number that changes with every change that another thread or process made."""
        return int(self._connection().execute("PRAGMA data_version").fetchone()[0])

    def check_writable(self) -> None:
        """Raises ``sqlite3.Error`` where the database cannot be written."""
        with self._change() as db:
            db.execute("UPDATE workers SET beat = beat WHERE slot = ''")

    # -- the workers' side ------------------------------------------------------------------------------
    def claim(self, slot: str) -> Job | None:
        """The next waiting job, which now belongs to ``slot``."""
        if not self.waiting():  # a look costs no lock
            return None
        with self._change() as db:
            row = db.execute(f"SELECT id FROM ({_QUEUE}) ORDER BY place LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', owner = ?, started = COALESCE(started, ?) WHERE id = ?",
                (slot, time.time(), row[0]),
            )
        return self.get(row[0])

    def update(self, job: str, slot: str, **columns: Any) -> bool:
        """Tell how far a job is. False: it is to be stopped, or no longer this slot's."""
        return self._write(job, slot, columns, " AND cancel = 0")

    def finish(self, job: str, slot: str, state: str, **columns: Any) -> bool:
        """End a job. False: it is no longer this slot's."""
        columns |= {"state": state, "finished": time.time(), "eta": None, "owner": None}
        return self._write(job, slot, columns)

    def _write(self, job: str, slot: str, columns: Mapping[str, Any], unless: str = "") -> bool:
        """Change a running job of this slot's. False: there is none."""
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._change() as db:
            done = db.execute(
                f"UPDATE jobs SET {names} WHERE id = ? AND owner = ? AND state = 'running'{unless}",
                (*columns.values(), job, slot),
            )
        return done.rowcount > 0

    def slots(self) -> set[str]:
        """Slots that running jobs belong to."""
        return {
            row[0] for row in self._connection().execute("SELECT owner FROM jobs WHERE state = 'running'")
        }

    def progress_of(self, slot: str) -> tuple[Any, ...] | None:
        """What changes while a slot's job goes on; None: it has none."""
        columns = "id, seconds, progress, evaluation, frame, preview"
        query = f"SELECT {columns} FROM jobs WHERE state = 'running' AND owner = ?"
        found: tuple[Any, ...] | None = self._connection().execute(query, (slot,)).fetchone()
        return None if found is None else tuple(found)

    def release(self, slot: str, *, died: bool = False, attempts: int = 3) -> None:
        """Put a slot's jobs back into the queue. Only for who holds the slot's lock, or knows its end.

        Args:
            died: the worker ended by itself; a job that did so ``attempts`` times is failed.
        """
        with self._change() as db:
            if died:
                db.execute(
                    "UPDATE jobs SET deaths = deaths + 1 WHERE state = 'running' AND owner = ?", (slot,)
                )
            line = f"the job ended its worker {attempts} times; make the picture smaller, or try another file"
            db.execute(
                "UPDATE jobs SET state = 'failed', owner = NULL, finished = ?, error = ? "
                "WHERE state = 'running' AND owner = ? AND deaths >= ? AND cancel = 0",
                (time.time(), line, slot, attempts),
            )
            db.execute(
                "UPDATE jobs SET state = 'cancelled', owner = NULL, finished = ? "
                "WHERE state = 'running' AND owner = ? AND cancel = 1",
                (time.time(), slot),
            )
            db.execute(
                "UPDATE jobs SET state = 'queued', owner = NULL, eta = NULL "
                "WHERE state = 'running' AND owner = ?",
                (slot,),
            )
            db.execute("DELETE FROM workers WHERE slot = ?", (slot,))

    def beat(self, slot: str, pid: int, *, ready: bool) -> None:
        """A worker's sign of life."""
        with self._change() as db:
            db.execute(
                "INSERT OR REPLACE INTO workers (slot, pid, ready, beat) VALUES (?, ?, ?, ?)",
                (slot, pid, ready, time.time()),
            )

    def workers(self) -> list[Mapping[str, Any]]:
        """slot, pid, ready and beat (a time) of each worker."""
        return [dict(row) for row in self._connection().execute("SELECT slot, pid, ready, beat FROM workers")]
