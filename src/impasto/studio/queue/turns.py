"""Whose turn it is: clients are served one after the other, however many jobs each has sent.

Each client has a number, its turn; the lowest is next. Being served moves a client behind all others. One
that comes with nothing waiting is put behind those who wait, but before whoever was served last. Between two
turns of a client whose job waits, nobody else has more than one (start-time fair queueing: Goyal, Vin and
Cheng 1996, with each job of size 1).

Turns are kept apart from the jobs: otherwise deleting finished jobs would make a client look as if it had
never been served.
"""

from __future__ import annotations

import sqlite3

__all__ = ["HELD", "WAITING", "place_query", "queue_query", "take_turn", "wait_for_turn"]

WAITING = "state = 'queued' AND deleted = 0"
HELD = -1  # the place of a job that waits for the next day, because its person has painted enough today
_LAST = ""  # the row that counts how many turns there were; no client has this name
_MAX_CLIENTS = 10_000  # remembered at once; the one that was served longest ago is forgotten

#: A job of a person who has had all painting time of the day waits for the next.
_WITHIN_QUOTA = """NOT EXISTS (
    SELECT 1 FROM people JOIN usage ON usage.person = people.id AND usage.day = date('now')
    WHERE people.id = jobs.person AND usage.seconds >= people.daily_seconds
)"""


def queue_query(condition: str = "TRUE") -> str:
    """A query for (id, place) of the waiting jobs that meet a condition.

    Clients take turns, the one served longest ago first. Jobs that had been started go before all others.
    """
    return f"""
    SELECT id, ROW_NUMBER() OVER (ORDER BY started IS NULL, own_place, turn, number) - 1 AS place FROM (
        SELECT id, number, started,
            ROW_NUMBER() OVER (PARTITION BY client ORDER BY started IS NULL, number) AS own_place,
            COALESCE((SELECT turn FROM turns WHERE turns.client = jobs.client), 0) AS turn
        FROM jobs WHERE {WAITING} AND {_WITHIN_QUOTA} AND {condition}
    )
    """


def place_query() -> str:
    """A query for (id, place) of all waiting jobs; ``HELD`` is the place of those that wait for tomorrow."""
    held = f"SELECT id, {HELD} AS place FROM jobs WHERE {WAITING} AND NOT ({_WITHIN_QUOTA})"
    return f"SELECT id, place FROM ({queue_query()}) UNION ALL {held}"


def wait_for_turn(db: sqlite3.Connection, client: str) -> None:
    """Put a client behind those who wait, unless it waits itself. To be called before its job is added."""
    waits = db.execute(f"SELECT 1 FROM jobs WHERE client = ? AND {WAITING} LIMIT 1", (client,)).fetchone()
    if waits is None:
        db.execute(
            "INSERT OR REPLACE INTO turns (client, turn) "
            "VALUES (?, (SELECT turn FROM turns WHERE client = ?) - 0.5)",
            (client, _LAST),
        )


def take_turn(db: sqlite3.Connection, client: str) -> None:
    """Move a client that is served behind all others."""
    db.execute("UPDATE turns SET turn = turn + 1 WHERE client = ?", (_LAST,))
    db.execute(
        "INSERT OR REPLACE INTO turns (client, turn) VALUES (?, (SELECT turn FROM turns WHERE client = ?))",
        (client, _LAST),
    )
    db.execute(
        "DELETE FROM turns WHERE turn < (SELECT turn FROM turns WHERE client = ?) - ? "
        f"AND client NOT IN (SELECT client FROM jobs WHERE {WAITING})",
        (_LAST, _MAX_CLIENTS),
    )
