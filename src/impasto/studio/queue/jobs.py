"""The queue: one row for each job in SQLite (WAL mode).

A job is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``. A running job belongs to a *slot*:
the name of a worker, which holds the lock file of that name (see ``slots``) for as long as it lives.
Whoever gets the lock therefore knows that nobody works on the slot's jobs and may put them back into the
queue; no job has two workers. Everything that a worker writes is bound to the slot with which it claimed
the job.
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

from impasto.studio.queue.inputs import JobInputs

__all__ = ["FINAL_STATES", "JobStore", "StudioJob", "new_job_id"]

FINAL_STATES = ("done", "failed", "cancelled")
_HEARTBEAT_EXPIRY = 15.0  # seconds after which a worker that sent no heartbeat counts as absent

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
# Clients take turns, the one served longest ago first. Jobs that had been started when their worker ended go
# before all others.
_QUEUE = f"""
SELECT id, ROW_NUMBER() OVER (ORDER BY started IS NULL, turn, served, number) - 1 AS place FROM (
    SELECT id, number, started,
        ROW_NUMBER() OVER (PARTITION BY client ORDER BY started IS NULL, number) AS turn,
        (SELECT MAX(started) FROM jobs AS same WHERE same.client = jobs.client) AS served
    FROM jobs WHERE {_WAITING}
)
"""


@dataclass(frozen=True)
class StudioJob:
    """One row of the queue. Times are seconds since the epoch.

    Attributes:
        number: order of acceptance.
        client: address (or network) of the sender; used for limits only.
        kind: ``image`` or ``video``.
        digest: hash of all uploaded bytes and settings: equal digests give equal results.
        recipe, video, uploads: JSON.
        height, width: of the result.
        progress: 0 to 1.
        eta: estimated seconds left.
        preview: how many previews were published; 0 means that there is none yet.
        result: name of the result's file in the job's folder.
        seconds: painting time so far.
        owner: slot of the worker that paints it.
        deaths: how many workers ended unexpectedly while they painted it.
        cancel, deleted: 1 if a client asked for it.
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
        """What was uploaded, as ``intake`` recorded it."""
        uploads: dict[str, Any] = json.loads(self.uploads)
        return uploads

    @property
    def inputs(self) -> JobInputs:
        """Settings, styles and masks."""
        return JobInputs.from_uploads(self.recipe, self.video, self.files)


_COLUMNS = ", ".join(column.name for column in fields(StudioJob))


def new_job_id() -> str:
    """128 random bits, URL-safe: whoever knows the id may see the job."""
    return secrets.token_urlsafe(16)


class JobStore:
    """All jobs of one data folder. Safe to use from several threads and processes.

    Args:
        path: the database file; created if it is missing.
        durable: wait for the disk at each change, so that an accepted job survives a power cut.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.path, self.durable = path, durable
        self._local = threading.local()
        with self._transaction() as db:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection: SQLite's must not be shared between threads."""
        connection: sqlite3.Connection | None = getattr(self._local, "db", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
            self._local.db = connection
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start."""
        db = self._connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _select(self, condition: str, *values: Any) -> list[StudioJob]:
        rows = self._connection().execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)
        return [StudioJob(*row) for row in rows]

    # -- used by the server -----------------------------------------------------------------------------
    def add(self, *, id: str, **columns: Any) -> StudioJob:
        """Insert a row; returns it."""
        columns = {"id": id, "state": "queued", "created": time.time(), **columns}
        names, placeholders = ", ".join(columns), ", ".join("?" * len(columns))
        with self._transaction() as db:
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({placeholders})", tuple(columns.values()))
        job = self.get(id)
        assert job is not None
        return job

    def get(self, job_id: str) -> StudioJob | None:
        """The job of that id; None if there is none or it was deleted."""
        return next(iter(self._select("id = ? AND deleted = 0", job_id)), None)

    def find_duplicate(self, digest: str) -> StudioJob | None:
        """A finished job with the same uploads and settings."""
        matches = self._select(
            "digest = ? AND state = 'done' AND deleted = 0 ORDER BY number LIMIT 1", digest
        )
        return next(iter(matches), None)

    def position(self, job: StudioJob) -> int | None:
        """How many waiting jobs come before this one; None unless it is waiting itself."""
        if job.state != "queued":
            return None
        query = f"SELECT place FROM ({_QUEUE}) WHERE id = ?"
        row = self._connection().execute(query, (job.id,)).fetchone()
        return None if row is None else int(row[0])

    def waiting_count(self) -> int:
        """Length of the queue."""
        return int(self._connection().execute(f"SELECT COUNT(*) FROM jobs WHERE {_WAITING}").fetchone()[0])

    def unfinished_count(self, client: str) -> int:
        """Waiting and running jobs of one client."""
        query = "SELECT COUNT(*) FROM jobs WHERE client = ? AND state IN ('queued', 'running')"
        return int(self._connection().execute(query, (client,)).fetchone()[0])

    def cancel(self, job_id: str) -> StudioJob | None:
        """Cancel a job: a waiting one at once, a running one when its worker next reports progress."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
                (time.time(), job_id),
            )
            db.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))
        return self.get(job_id)

    def mark_deleted(self, job_id: str) -> bool:
        """Hide a job; ``retention`` removes its files later. False if there is no such job."""
        self.cancel(job_id)
        with self._transaction() as db:
            cursor = db.execute("UPDATE jobs SET deleted = 1 WHERE id = ? AND deleted = 0", (job_id,))
        return cursor.rowcount > 0

    def removable_ids(self) -> list[str]:
        """Deleted jobs that no worker is painting."""
        return [job.id for job in self._select("deleted = 1 AND state <> 'running'")]

    def delete_row(self, job_id: str) -> None:
        """Remove the row. The job's files must have been deleted before."""
        with self._transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def finished_jobs(self) -> list[StudioJob]:
        """Finished jobs, oldest first."""
        return self._select("state IN ('done', 'failed', 'cancelled') AND deleted = 0 ORDER BY finished")

    def all_ids(self) -> set[str]:
        """Ids of all rows, those of deleted jobs included."""
        return {row[0] for row in self._connection().execute("SELECT id FROM jobs")}

    def count_by_state(self) -> dict[str, int]:
        """State → number of jobs."""
        rows = self._connection().execute("SELECT state, COUNT(*) FROM jobs WHERE deleted = 0 GROUP BY state")
        return {row[0]: row[1] for row in rows}

    def data_version(self) -> int:
        """A number that changes with every change that another thread or process made."""
        return int(self._connection().execute("PRAGMA data_version").fetchone()[0])

    def check_writable(self) -> None:
        """Raise ``sqlite3.Error`` if the database cannot be written."""
        with self._transaction() as db:
            db.execute("UPDATE workers SET beat = beat WHERE slot = ''")

    # -- used by workers and their supervisor -----------------------------------------------------------
    def claim(self, slot: str) -> StudioJob | None:
        """Give the next waiting job to ``slot``; None if the queue is empty."""
        if not self.waiting_count():  # reading takes no lock, so an idle worker does not block writers
            return None
        with self._transaction() as db:
            row = db.execute(f"SELECT id FROM ({_QUEUE}) ORDER BY place LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', owner = ?, started = COALESCE(started, ?) WHERE id = ?",
                (slot, time.time(), row[0]),
            )
        return self.get(row[0])

    def update(self, job_id: str, slot: str, **columns: Any) -> bool:
        """Write a running job's progress. False if it was cancelled or no longer belongs to ``slot``."""
        return self._write(job_id, slot, columns, " AND cancel = 0")

    def finish(self, job_id: str, slot: str, state: str, **columns: Any) -> bool:
        """End a job. False if it no longer belongs to ``slot``."""
        columns |= {"state": state, "finished": time.time(), "eta": None, "owner": None}
        return self._write(job_id, slot, columns)

    def _write(self, job_id: str, slot: str, columns: Mapping[str, Any], condition: str = "") -> bool:
        """Change a running job of ``slot``; False if there is no such job."""
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._transaction() as db:
            cursor = db.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND owner = ? AND state = 'running'{condition}",
                (*columns.values(), job_id, slot),
            )
        return cursor.rowcount > 0

    def busy_slots(self) -> set[str]:
        """Slots that running jobs belong to."""
        rows = self._connection().execute("SELECT owner FROM jobs WHERE state = 'running'")
        return {row[0] for row in rows}

    def progress_marker(self, slot: str) -> tuple[Any, ...] | None:
        """Values that change while a slot's job makes progress; None if the slot has no job."""
        columns = "id, seconds, progress, evaluation, frame, preview"
        query = f"SELECT {columns} FROM jobs WHERE state = 'running' AND owner = ?"
        row = self._connection().execute(query, (slot,)).fetchone()
        return None if row is None else tuple(row)

    def release(self, slot: str, *, died: bool = False, attempts: int = 3) -> None:
        """Put a slot's jobs back into the queue. Only for the holder of the slot's lock.

        Args:
            died: the worker ended unexpectedly. A job that has ended ``attempts`` workers fails instead.
            attempts: limit for ``died``.
        """
        running = "WHERE state = 'running' AND owner = ?"
        error = f"the job ended its worker {attempts} times; make the picture smaller, or try another file"
        with self._transaction() as db:
            if died:
                db.execute(f"UPDATE jobs SET deaths = deaths + 1 {running}", (slot,))
            db.execute(
                "UPDATE jobs SET state = 'failed', owner = NULL, finished = ?, error = ? "
                f"{running} AND deaths >= ? AND cancel = 0",
                (time.time(), error, slot, attempts),
            )
            db.execute(
                f"UPDATE jobs SET state = 'cancelled', owner = NULL, finished = ? {running} AND cancel = 1",
                (time.time(), slot),
            )
            db.execute(f"UPDATE jobs SET state = 'queued', owner = NULL, eta = NULL {running}", (slot,))
            db.execute("DELETE FROM workers WHERE slot = ?", (slot,))

    def heartbeat(self, slot: str, pid: int, *, ready: bool) -> None:
        """Record that a worker is alive, and whether it can paint yet."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO workers (slot, pid, ready, beat) VALUES (?, ?, ?, ?)",
                (slot, pid, ready, time.time()),
            )

    def workers(self) -> list[Mapping[str, Any]]:
        """``slot``, ``pid``, ``ready`` and ``beat`` (time of the last heartbeat) of each worker."""
        return [dict(row) for row in self._connection().execute("SELECT slot, pid, ready, beat FROM workers")]

    def ready_worker_count(self) -> int:
        """Number of workers that can paint and whose last heartbeat is recent."""
        oldest = time.time() - _HEARTBEAT_EXPIRY
        return sum(bool(worker["ready"]) and worker["beat"] > oldest for worker in self.workers())
