"""The database file: upgrades, newer versions, transactions that fail."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from impasto.studio.queue.database import SCHEMA_VERSION, Database, DatabaseVersionError
from impasto.studio.queue.jobs import FINAL_STATES, JobStore
from job_rows import add_job

#: As version 0.2 made it, with a job in each state.
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


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "studio.db"
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
    return path


def test_a_database_of_an_earlier_version_is_upgraded_with_jobs_in_every_state(old: Path) -> None:
    store = JobStore(old)
    assert store.all_ids() == set(OLD_ROWS)
    running = store.get("running")
    assert running is not None
    assert (running.attempts, running.reserved, running.owner) == (1, 0, "cpu-0")
    store.release("cpu-0", attempts=3)
    states = {job_id: job.state for job_id in OLD_ROWS if (job := store.get(job_id)) is not None}
    assert states == {
        "queued": "queued", "running": "queued", "cancelling": "cancelled", "done": "done",
        "failed": "failed", "cancelled": "cancelled",
    }  # fmt: skip
    assert store.removable_ids() == ["deleted"]
    claimed = [job.id for job in iter(lambda: store.claim("w"), None)]
    assert claimed == ["running", "queued"]
    assert add_job(JobStore(old)).attempts == 0  # opened once more, by another process


def test_an_upgrade_that_is_interrupted_leaves_the_earlier_version(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = Database._upgrade

    def interrupted(db: sqlite3.Connection) -> None:
        upgrade(db)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "_upgrade", staticmethod(interrupted))
    with pytest.raises(sqlite3.OperationalError):
        JobStore(old)
    with sqlite3.connect(old) as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] == 0
        assert "deaths" in [row[1] for row in database.execute("PRAGMA table_info(jobs)")]
    monkeypatch.undo()
    assert JobStore(old).all_ids() == set(OLD_ROWS)


def test_a_database_of_a_newer_version_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    JobStore(path)
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(DatabaseVersionError, match="newer Impasto"):
        JobStore(path)


class FailingCommit(sqlite3.Connection):
    """Raises once, at the next COMMIT, as on a full disk."""

    armed = False

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
        if statement == "COMMIT" and FailingCommit.armed:
            FailingCommit.armed = False
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(statement, *values)  # type: ignore[arg-type]


def test_a_commit_that_fails_is_rolled_back_and_the_next_transaction_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, factory=FailingCommit, **options)
    )
    store = JobStore(tmp_path / "studio.db")
    FailingCommit.armed = True
    with pytest.raises(sqlite3.OperationalError):
        add_job(store)
    assert store.all_ids() == set()
    add_job(store)
    assert store.waiting_count() == 1
