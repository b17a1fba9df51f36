"""What each person has used: jobs and painting seconds of each day (UTC), and bytes on the disk.

Days are counted in a table of their own, so that deleting a job gives nothing back.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

__all__ = ["Usage", "count_job", "count_seconds", "usage_of"]

_KEPT_DAYS = 40


@dataclass(frozen=True)
class Usage:
    """What a person has used.

    Attributes:
        jobs, seconds: of today.
        bytes: of all jobs that are kept, what unfinished ones may still take included. Files that jobs share
            are counted for each.
        renewal: seconds until the next day.
    """

    jobs: int
    seconds: float
    bytes: int
    renewal: int


def count_job(db: sqlite3.Connection, person: int) -> None:
    """Count a job that was accepted."""
    db.execute(
        "INSERT INTO usage (person, day, jobs) VALUES (?, date('now'), 1) "
        "ON CONFLICT (person, day) DO UPDATE SET jobs = jobs + 1",
        (person,),
    )
    db.execute("DELETE FROM usage WHERE person = ? AND day < date('now', ?)", (person, f"-{_KEPT_DAYS} days"))


def count_seconds(db: sqlite3.Connection, seconds: float, condition: str, values: tuple[Any, ...]) -> None:
    """Count what was painted of a job since it was last counted. To be called before ``seconds`` is written.

    Args:
        seconds: painting time of the job so far.
        condition: of the job's row, with its ``values``.
    """
    db.execute(
        "INSERT INTO usage (person, day, seconds) "
        f"SELECT person, date('now'), MAX(0.0, ? - COALESCE(seconds, 0.0)) FROM jobs WHERE {condition} "
        "AND person IS NOT NULL ON CONFLICT (person, day) DO UPDATE SET seconds = seconds + excluded.seconds",
        (seconds, *values),
    )


def usage_of(db: sqlite3.Connection, person: int) -> Usage:
    """What a person has used up to now."""
    today = db.execute(
        "SELECT jobs, seconds FROM usage WHERE person = ? AND day = date('now')", (person,)
    ).fetchone()
    kept = db.execute(
        "SELECT SUM(bytes + CASE WHEN state IN ('queued', 'running') THEN reserved ELSE 0 END) "
        "FROM jobs WHERE person = ? AND deleted = 0",
        (person,),
    ).fetchone()[0]
    renewal = db.execute("SELECT 86400 - strftime('%s', 'now') % 86400").fetchone()[0]
    jobs, seconds = today or (0, 0.0)
    return Usage(int(jobs), float(seconds), int(kept or 0), int(renewal))
