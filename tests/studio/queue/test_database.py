"""The database file: upgrades, newer versions, transactions that fail."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from impasto.studio.queue.database import SCHEMA_VERSION, Database, DatabaseVersionError
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.people import People, Quotas
from job_rows import add_job
from old_database import OLD_ROWS, make_database_2, make_old_database


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "studio.db"
    make_old_database(path)
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


def test_the_last_version_is_upgraded_in_place_with_jobs_in_every_state(tmp_path: Path) -> None:
    """Every row and column stays; turns go on; nobody has to sign in; somebody added later sees nothing."""
    path = tmp_path / "studio.db"
    make_database_2(path)
    with sqlite3.connect(path) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)")]
        before = database.execute(f"SELECT {', '.join(columns)} FROM jobs ORDER BY number").fetchall()
    store = JobStore(path)
    after = store.database.connection().execute(f"SELECT {', '.join(columns)} FROM jobs ORDER BY number")
    assert [tuple(row) for row in after] == before
    assert {job.person for job in store.all_jobs()} == {None}
    assert store.recall("folder id") == "abc"
    key = store.find_by_key("a", "key of queued")
    assert key is not None
    assert key.id == "queued"
    people = People(store.database)
    assert not people.exist()
    people.add("anna", Quotas())
    assert store.jobs_of(1) == []
    store.release("cpu-0", attempts=3)
    assert store.removable_ids() == ["deleted"]
    # Started ones first, which were turns of a; then b, who was never served, c and a.
    claimed = [job.id for job in iter(lambda: store.claim("w"), None)]
    assert claimed == ["running", "again", "of b", "of c", "queued"]


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


def test_only_what_may_be_lost_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """What a client or the next start relies on is on the disk before anybody sees it."""
    store = JobStore(tmp_path / "studio.db")

    def level() -> str:
        value = store.database.connection().execute("PRAGMA synchronous").fetchone()[0]
        return {1: "NORMAL", 2: "FULL"}[value]

    job = add_job(store)
    assert level() == "FULL"
    store.heartbeat("w", 1, ready=True)
    assert level() == "NORMAL"
    assert store.claim("w") is not None
    assert level() == "FULL"  # the attempt counts even if it brings down the machine
    store.update(job.id, "w", progress=0.5)
    store.touch(job.id, "w", 1.0)
    assert level() == "NORMAL"
    store.finish(job.id, "w", "done")
    assert level() == "FULL"


class FailingCommit(sqlite3.Connection):
    """Raises once, at the next COMMIT, as on a full disk; perhaps at the ROLLBACK as well."""

    armed = rollback_fails = False

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
        if statement == "COMMIT" and FailingCommit.armed:
            FailingCommit.armed = False
            raise sqlite3.OperationalError("database or disk is full")
        if statement == "ROLLBACK" and FailingCommit.rollback_fails:
            raise MemoryError
        return super().execute(statement, *values)  # type: ignore[arg-type]


@pytest.mark.parametrize("rollback_fails", [False, True])
def test_a_commit_that_fails_is_rolled_back_and_the_next_transaction_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rollback_fails: bool
) -> None:
    """Otherwise this connection would show a row that is not on the disk, and a client be told of it."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, factory=FailingCommit, **options)
    )
    monkeypatch.setattr(FailingCommit, "rollback_fails", rollback_fails)
    store = JobStore(tmp_path / "studio.db")
    FailingCommit.armed = True
    with pytest.raises(sqlite3.OperationalError):
        add_job(store, client="a", request_key="k")
    assert store.find_by_key("a", "k") is None
    assert store.all_ids() == set()
    add_job(store)
    assert store.waiting_count() == 1
