"""The queue: one row for each job in SQLite (WAL mode).

A job is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``. A running job belongs to a *slot*:
the name of a worker, which holds the lock file of that name (see ``slots``) for as long as it lives.
Whoever gets the lock therefore knows that nobody works on the slot's jobs and may put them back into the
queue; no job has two workers. Everything that a worker writes is bound to the slot with which it claimed
the job.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from impasto.studio.queue.attempts import backoff_seconds
from impasto.studio.queue.database import Database
from impasto.studio.queue.durations import PAINT, WAIT, count_duration
from impasto.studio.queue.studio_job import COLUMNS, FINAL_STATES, StudioJob, new_job_id
from impasto.studio.queue.turns import HELD, WAITING, place_query, queue_query, take_turn, wait_for_turn
from impasto.studio.queue.usage import count_job, count_seconds

__all__ = ["FINAL_STATES", "HELD", "JobStore", "StudioJob", "new_job_id"]

_HEARTBEAT_EXPIRY = 15.0  # seconds after which a worker that sent no heartbeat counts as absent

_LONGEST_WAIT = 1000.0  # seconds; a longer wait for another attempt means that the clock was moved back
_DUE = f"NOT (not_before > :now AND not_before < :now + {_LONGEST_WAIT})"

_REMEMBER = "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)"


def _requeue(db: sqlite3.Connection, condition: str, values: tuple[Any, ...], attempts: int | None) -> None:
    """Put running jobs back into the queue; end those that were cancelled or claimed ``attempts`` times."""
    running, now = f"WHERE state = 'running' AND {condition}", time.time()
    if attempts is not None:
        # The last error is for the operator: it may name what a client should not see.
        error = f"the job failed {attempts} times and was set aside; make it smaller, or try another file"
        db.execute(
            "UPDATE jobs SET state = 'failed', failure = 'attempts', owner = NULL, eta = NULL, reserved = 0, "
            f"finished = ?, error = ?, last_error = COALESCE(last_error, 'its worker ended') {running} "
            "AND attempts >= ? AND cancel = 0",
            (now, error, *values, attempts),
        )
    db.execute(
        "UPDATE jobs SET state = 'cancelled', owner = NULL, eta = NULL, reserved = 0, finished = ? "
        f"{running} AND cancel = 1",
        (now, *values),
    )
    db.execute(f"UPDATE jobs SET state = 'queued', owner = NULL, eta = NULL {running}", values)


def _cancel(db: sqlite3.Connection, job_id: str) -> None:
    db.execute(
        "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
        (time.time(), job_id),
    )
    db.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))


class JobStore:
    """All jobs of one data folder. Safe to use from several threads and processes.

    Args:
        path: the database file; created if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path)

    def _select(self, condition: str, *values: Any) -> list[StudioJob]:
        rows = self.database.connection().execute(f"SELECT {COLUMNS} FROM jobs WHERE {condition}", values)
        return [StudioJob(*row) for row in rows]

    # -- used by the server -----------------------------------------------------------------------------
    def add(self, *, id: str, **columns: Any) -> StudioJob:
        """Insert a row; returns it."""
        columns = {"id": id, "state": "queued", "created": time.time(), **columns}
        names, placeholders = ", ".join(columns), ", ".join("?" * len(columns))
        with self.database.transaction() as db:
            if columns["state"] == "queued":
                wait_for_turn(db, columns["client"])
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({placeholders})", tuple(columns.values()))
            if columns.get("person") is not None:
                count_job(db, columns["person"])
        job = self.get(id)
        assert job is not None
        return job

    def get(self, job_id: str) -> StudioJob | None:
        """The job of that id; None if there is none or it was deleted."""
        return next(iter(self._select("id = ? AND deleted = 0", job_id)), None)

    def find_duplicate(self, digest: str, person: int | None = None) -> StudioJob | None:
        """A finished job with the same uploads and settings, of the same person.

        Not of another: how soon a picture is there would tell that somebody had painted it before. Nor one
        that was cut short, for which there may be time now.
        """
        condition = (
            "digest = ? AND person IS ? AND state = 'done' AND result IS NOT NULL AND failure IS NULL "
            "AND deleted = 0 ORDER BY number LIMIT 1"
        )
        return next(iter(self._select(condition, digest, person)), None)

    def jobs_of(self, person: int, limit: int = -1) -> list[StudioJob]:
        """A person's jobs, newest first, at most ``limit`` unless it is negative."""
        return self._select("person = ? AND deleted = 0 ORDER BY number DESC LIMIT ?", person, limit)

    def find_by_key(self, client: str, key: str) -> StudioJob | None:
        """The job that a client's request with that key was accepted as."""
        return next(iter(self._select("client = ? AND request_key = ? AND deleted = 0", client, key)), None)

    def position(self, job: StudioJob) -> int | None:
        """How many waiting jobs come before this one, or ``HELD``; None unless it is waiting itself."""
        if job.state != "queued":
            return None
        query = f"SELECT place FROM ({place_query()}) WHERE id = ?"
        row = self.database.connection().execute(query, (job.id,)).fetchone()
        return None if row is None else int(row[0])

    def positions(self) -> dict[str, int]:
        """Id → how many jobs come before it, or ``HELD``, of all waiting jobs."""
        return {row[0]: int(row[1]) for row in self.database.connection().execute(place_query())}

    def get_many(self, ids: Iterable[str]) -> list[StudioJob]:
        """The jobs of those ids that there are."""
        names = list(ids)
        blocks = [names[first : first + 500] for first in range(0, len(names), 500)]
        return [
            job
            for block in blocks
            for job in self._select(f"deleted = 0 AND id IN ({', '.join('?' * len(block))})", *block)
        ]

    def waiting_count(self) -> int:
        """Length of the queue."""
        return int(
            self.database.connection().execute(f"SELECT COUNT(*) FROM jobs WHERE {WAITING}").fetchone()[0]
        )

    def unfinished_count(self, client: str) -> int:
        """Waiting and running jobs of one client."""
        query = "SELECT COUNT(*) FROM jobs WHERE client = ? AND state IN ('queued', 'running')"
        return int(self.database.connection().execute(query, (client,)).fetchone()[0])

    def cancel(self, job_id: str) -> StudioJob | None:
        """Cancel a job: a waiting one at once, a running one when its worker next reports progress."""
        with self.database.transaction() as db:
            _cancel(db, job_id)
        return self.get(job_id)

    def mark_deleted(self, job_id: str) -> bool:
        """Hide a job; ``retention`` removes its files later. False if there is no such job."""
        with self.database.transaction() as db:
            _cancel(db, job_id)
            cursor = db.execute(
                "UPDATE jobs SET deleted = 1, request_key = NULL WHERE id = ? AND deleted = 0", (job_id,)
            )
        return cursor.rowcount > 0

    def retry(self, job_id: str) -> bool:
        """Put a failed job back into the queue with all its attempts and time; False if it did not fail."""
        job = self.get(job_id)
        if job is None:
            return False
        frames = (job.frames or 0) if job.kind == "video" else None
        reserved = job.inputs.painting_bytes((job.height, job.width), frames)
        with self.database.transaction() as db:
            cursor = db.execute(
                "UPDATE jobs SET state = 'queued', attempts = 0, error = NULL, failure = NULL, "
                "finished = NULL, not_before = 0, seconds = NULL, cancel = 0, reserved = ? "
                "WHERE id = ? AND state = 'failed' AND deleted = 0",
                (reserved, job_id),
            )
        return cursor.rowcount > 0

    def all_jobs(self) -> list[StudioJob]:
        """All jobs that no client has deleted, in the order in which they were accepted."""
        return self._select("deleted = 0 ORDER BY number")

    def removable_ids(self) -> list[str]:
        """Deleted jobs that no worker is painting."""
        return [job.id for job in self._select("deleted = 1 AND state <> 'running'")]

    def delete_row(self, job_id: str) -> None:
        """Remove the row. The job's files must have been deleted before."""
        with self.database.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def finished_jobs(self) -> list[StudioJob]:
        """Finished jobs, oldest first."""
        return self._select("state IN ('done', 'failed', 'cancelled') AND deleted = 0 ORDER BY finished")

    def started_jobs(self) -> list[StudioJob]:
        """Jobs that are being painted, or wait to go on."""
        return self._select("state IN ('queued', 'running') AND started IS NOT NULL")

    def record_size(self, job: StudioJob, size: int) -> None:
        """Write what a job's folder takes, unless its state has changed meanwhile.

        What the folder of an unfinished job has grown by is not reserved any more.
        """
        if size == job.bytes:
            return
        reserved = 0 if job.state in FINAL_STATES else max(0, job.reserved + job.bytes - size)
        with self.database.transaction(durable=False) as db:
            db.execute(
                "UPDATE jobs SET bytes = ?, reserved = ? WHERE id = ? AND state = ?",
                (size, reserved, job.id, job.state),
            )

    def all_ids(self) -> set[str]:
        """Ids of all rows, those of deleted jobs included."""
        return {row[0] for row in self.database.connection().execute("SELECT id FROM jobs")}

    def count_by_state(self) -> dict[str, int]:
        """State → number of jobs."""
        rows = self.database.connection().execute(
            "SELECT state, COUNT(*) FROM jobs WHERE deleted = 0 GROUP BY state"
        )
        return {row[0]: row[1] for row in rows}

    def painted_seconds(self) -> float:
        """Painting time of all pictures and clips that are kept."""
        query = "SELECT SUM(seconds) FROM jobs WHERE state = 'done' AND deleted = 0"
        return float(self.database.connection().execute(query).fetchone()[0] or 0.0)

    def data_version(self) -> int:
        """A number that changes with every change that another thread or process made."""
        return int(self.database.connection().execute("PRAGMA data_version").fetchone()[0])

    def check_writable(self) -> None:
        """Raise ``sqlite3.Error`` if the database cannot be written."""
        with self.database.transaction(durable=False) as db:
            db.execute(_REMEMBER, ("last check", repr(time.time())))

    def recall(self, name: str) -> str | None:
        """A fact about the data folder; None if it was never written."""
        query = "SELECT value FROM facts WHERE name = ?"
        row = self.database.connection().execute(query, (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Write a fact about the data folder."""
        with self.database.transaction() as db:
            db.execute(_REMEMBER, (name, value))

    def reserved_bytes(self) -> int:
        """Bytes that waiting and running jobs may still take on the disk."""
        query = "SELECT SUM(reserved) FROM jobs WHERE state IN ('queued', 'running')"
        return int(self.database.connection().execute(query).fetchone()[0] or 0)

    # -- used by workers and their supervisor -----------------------------------------------------------
    def claim(self, slot: str, room: float = float("inf")) -> StudioJob | None:
        """Give the next waiting job to ``slot``, and count the attempt; None if there is none.

        The attempt is counted now, because a job that ends the whole machine leaves no other trace.

        Args:
            room: bytes that the job may take on the disk; larger ones are left waiting.
        """
        if not self.waiting_count():  # reading takes no lock, so an idle worker does not block writers
            return None
        query = f"SELECT id FROM ({queue_query(f'{_DUE} AND reserved <= :room')}) ORDER BY place LIMIT 1"
        now = time.time()
        with self.database.transaction() as db:
            row = db.execute(query, {"now": now, "room": room}).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', owner = ?, started = COALESCE(started, ?), "
                "attempts = attempts + 1, not_before = 0 WHERE id = ?",
                (slot, now, row[0]),
            )
            # Read before the commit: afterwards its client may delete it, and it would belong to nobody.
            claimed = StudioJob(*db.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (row[0],)).fetchone())
            take_turn(db, claimed.client)
            if claimed.started == now:  # for the first time
                count_duration(db, WAIT, now - claimed.created)
        return claimed

    def update(self, job_id: str, slot: str, **columns: Any) -> bool:
        """Write a running job's progress. False if it was cancelled or no longer belongs to ``slot``."""
        return self._write(job_id, slot, columns, " AND cancel = 0", durable=False)

    def finish(self, job_id: str, slot: str, state: str, **columns: Any) -> bool:
        """End a job. False if it no longer belongs to ``slot``."""
        columns |= {"state": state, "finished": time.time(), "eta": None, "owner": None, "reserved": 0}
        return self._write(job_id, slot, columns)

    def touch(self, job_id: str, slot: str, seconds: float) -> bool:
        """Record the painting time of a job that was cancelled and is being ended, as a sign of life."""
        return self._write(job_id, slot, {"seconds": seconds}, durable=False)

    def retry_later(
        self, job: StudioJob, slot: str, reason: str, *, attempts: int, counts: bool = True
    ) -> None:
        """Put a job whose attempt failed back into the queue, or set it aside after too many.

        Args:
            reason: what the attempt ended with, in one line.
            attempts: limit of attempts.
            counts: whether this attempt counts.
        """
        delay = backoff_seconds(job.attempts)
        with self.database.transaction() as db:
            db.execute(
                "UPDATE jobs SET last_error = ?, not_before = ?, attempts = MAX(0, attempts - ?) "
                "WHERE id = ? AND state = 'running' AND owner = ?",
                (reason, time.time() + delay, 0 if counts else 1, job.id, slot),
            )
            _requeue(db, "id = ? AND owner = ?", (job.id, slot), attempts if counts else None)

    def _write(
        self,
        job_id: str,
        slot: str,
        columns: Mapping[str, Any],
        condition: str = "",
        *,
        durable: bool = True,
    ) -> bool:
        """Change a running job of ``slot``; False if there is no such job."""
        assignments = ", ".join(f"{name} = ?" for name in columns)
        condition = f"id = ? AND owner = ? AND state = 'running'{condition}"
        with self.database.transaction(durable=durable) as db:
            if columns.get("seconds") is not None:
                count_seconds(db, columns["seconds"], condition, (job_id, slot))
            cursor = db.execute(
                f"UPDATE jobs SET {assignments} WHERE {condition}", (*columns.values(), job_id, slot)
            )
            if cursor.rowcount and columns.get("state") == "done" and columns.get("seconds") is not None:
                count_duration(db, PAINT, columns["seconds"])
        return cursor.rowcount > 0

    def busy_slots(self) -> set[str]:
        """Slots that running jobs belong to."""
        rows = self.database.connection().execute("SELECT owner FROM jobs WHERE state = 'running'")
        return {row[0] for row in rows}

    def progress_marker(self, slot: str) -> tuple[Any, ...] | None:
        """Values that change while a slot's job makes progress; None if the slot has no job."""
        columns = "id, seconds, progress, evaluation, frame, preview"
        query = f"SELECT {columns} FROM jobs WHERE state = 'running' AND owner = ?"
        row = self.database.connection().execute(query, (slot,)).fetchone()
        return None if row is None else tuple(row)

    def release(self, slot: str, *, attempts: int | None = None, take_back: bool = False) -> None:
        """Put a slot's jobs back into the queue. Only for the holder of the slot's lock.

        Args:
            attempts: set aside a job that was claimed so often; None: however often it was.
            take_back: the worker was asked to end, so that the attempt does not count.
        """
        with self.database.transaction() as db:
            if take_back:
                db.execute(
                    "UPDATE jobs SET attempts = MAX(0, attempts - 1) WHERE state = 'running' AND owner = ?",
                    (slot,),
                )
            _requeue(db, "owner = ?", (slot,), None if take_back else attempts)
            db.execute("DELETE FROM workers WHERE slot = ?", (slot,))

    def heartbeat(self, slot: str, pid: int, *, ready: bool) -> None:
        """Record that a worker is alive, and whether it can paint yet."""
        with self.database.transaction(durable=False) as db:
            db.execute(
                "INSERT OR REPLACE INTO workers (slot, pid, ready, beat) VALUES (?, ?, ?, ?)",
                (slot, pid, ready, time.time()),
            )

    def workers(self) -> list[Mapping[str, Any]]:
        """``slot``, ``pid``, ``ready`` and ``beat`` (time of the last heartbeat) of each worker."""
        return [
            dict(row)
            for row in self.database.connection().execute("SELECT slot, pid, ready, beat FROM workers")
        ]

    def ready_worker_count(self) -> int:
        """Number of workers that can paint and whose last heartbeat is recent."""
        now = time.time()  # the absolute value, because the clock may have been moved back
        return sum(
            bool(worker["ready"]) and abs(now - worker["beat"]) < _HEARTBEAT_EXPIRY
            for worker in self.workers()
        )
