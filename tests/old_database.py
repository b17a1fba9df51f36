"""Databases of the studio as earlier versions made them, with a job in each state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from impasto.studio.queue.jobs import FINAL_STATES

OLD_DATABASE = """
CREATE TABLE jobs (
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
CREATE INDEX by_state ON jobs (state, number);
CREATE INDEX by_digest ON jobs (digest);
CREATE INDEX by_client ON jobs (client, started);
CREATE TABLE workers (
    slot TEXT PRIMARY KEY, pid INTEGER NOT NULL, ready INTEGER NOT NULL, beat REAL NOT NULL
);
PRAGMA journal_mode = WAL;
"""
OLD_ROWS = {
    "queued": "NULL, NULL, NULL, 0, 0, 0",
    "running": "5.0, NULL, 'cpu-0', 1, 0, 0",
    "cancelling": "5.0, NULL, 'cpu-0', 0, 1, 0",
    "deleted": "5.0, NULL, 'cpu-0', 0, 1, 1",
    "done": "5.0, 9.0, NULL, 0, 0, 0",
    "failed": "5.0, 9.0, NULL, 3, 0, 0",
    "cancelled": "5.0, 9.0, NULL, 0, 1, 0",
}


def make_job_files(data: Path, names: Iterable[str]) -> None:
    """Write the files that every job has: each holds its name."""
    for name in names:
        folder = data / "jobs" / name
        folder.mkdir(parents=True)
        for file in ("content", "content.png", "style-0.png"):
            (folder / file).write_text(name)


def make_old_database(path: Path) -> None:
    """Write such a database."""
    with sqlite3.connect(path) as database:
        database.executescript(OLD_DATABASE)
        for name, values in OLD_ROWS.items():
            state = name if name in ("queued", *FINAL_STATES) else "running"
            uploads = '{"styles": [], "masks": 0, "style_masks": 0}'
            database.execute(
                "INSERT INTO jobs (id, client, kind, state, digest, created, preset, recipe, uploads, "
                "height, width, started, finished, owner, deaths, cancel, deleted) "
                f"VALUES ('{name}', 'a', 'image', '{state}', '{name}', 1.0, 'fast', '{{}}', '{uploads}', 4, "
                f"4, {values})"
            )


#: Version 2 of the schema: attempts and keys of requests, but no people.
DATABASE_2 = (
    OLD_DATABASE.replace("deaths INTEGER", "attempts INTEGER").replace(
        "bytes INTEGER NOT NULL DEFAULT 0\n",
        "bytes INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0, failure TEXT, "
        "last_error TEXT, reserved INTEGER NOT NULL DEFAULT 0, request_key TEXT\n",
    )
    + """
CREATE UNIQUE INDEX by_request_key ON jobs (client, request_key) WHERE request_key IS NOT NULL;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
PRAGMA user_version = 2;
"""
)


ROWS_2 = OLD_ROWS | {
    "again": "5.0, NULL, NULL, 2, 0, 0",
    "served": "8.0, 9.0, NULL, 1, 0, 0",
    "of b": "NULL, NULL, NULL, 0, 0, 0",
    "of c": "NULL, NULL, NULL, 0, 0, 0",
}


def make_database_2(path: Path) -> None:
    """Write a database of version 2 with ``OLD_ROWS``, a job that failed once, and more clients."""
    with sqlite3.connect(path) as database:
        database.executescript(DATABASE_2)
        clients = {"served": "c", "of b": "b", "of c": "c"}
        states = {"served": "done", "again": "queued", "of b": "queued", "of c": "queued"}
        for name, values in ROWS_2.items():
            state = states.get(name, name if name in ("queued", *FINAL_STATES) else "running")
            uploads = '{"styles": [], "masks": 0, "style_masks": 0}'
            database.execute(
                "INSERT INTO jobs (id, client, kind, state, digest, created, preset, recipe, uploads, "
                "height, width, request_key, started, finished, owner, attempts, cancel, deleted) "
                f"VALUES ('{name}', '{clients.get(name, 'a')}', 'image', '{state}', '{name}', 1.0, 'fast', "
                f"'{{}}', '{uploads}', 4, 4, 'key of {name}', {values})"
            )
        database.execute("INSERT INTO facts VALUES ('folder id', 'abc')")
