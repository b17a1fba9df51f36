"""The SQLite file of the queue: connections, transactions, and the schema with its versions."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from impasto.errors import ImpastoError

__all__ = ["SCHEMA_VERSION", "Database", "DatabaseVersionError"]

_FIRST_SCHEMA = """
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
#: What turns each version of the schema into the next. Versions before 1 had no number, which reads as 0.
_MIGRATIONS = (
    _FIRST_SCHEMA,
    """
    ALTER TABLE jobs RENAME COLUMN deaths TO attempts;
    ALTER TABLE jobs ADD COLUMN not_before REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN failure TEXT;
    ALTER TABLE jobs ADD COLUMN last_error TEXT;
    ALTER TABLE jobs ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN request_key TEXT;
    CREATE UNIQUE INDEX by_request_key ON jobs (client, request_key) WHERE request_key IS NOT NULL;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
    """
    CREATE TABLE people (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        token_hash TEXT UNIQUE, created REAL NOT NULL, expires REAL, revoked REAL,
        daily_jobs INTEGER, daily_seconds REAL, bytes INTEGER
    );
    CREATE TABLE sessions (
        hash TEXT PRIMARY KEY, person INTEGER NOT NULL, created REAL NOT NULL, expires REAL NOT NULL
    );
    CREATE INDEX sessions_by_person ON sessions (person, created);
    CREATE TABLE usage (
        person INTEGER NOT NULL, day TEXT NOT NULL, jobs INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0, PRIMARY KEY (person, day)
    );
    ALTER TABLE jobs ADD COLUMN person INTEGER;
    CREATE INDEX by_person ON jobs (person, number) WHERE person IS NOT NULL;
    CREATE TABLE turns (client TEXT PRIMARY KEY, turn REAL NOT NULL);
    INSERT INTO turns (client, turn)
        SELECT client, ROW_NUMBER() OVER (ORDER BY MAX(COALESCE(started, 0))) FROM jobs GROUP BY client;
    INSERT INTO turns (client, turn) SELECT '', COUNT(*) FROM turns;
    ALTER TABLE jobs ADD COLUMN webhook TEXT;
    CREATE TABLE deliveries (
        id TEXT PRIMARY KEY, job TEXT NOT NULL, state TEXT NOT NULL, url TEXT NOT NULL, created REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0
    );
    CREATE TRIGGER job_ended AFTER UPDATE OF state ON jobs
        WHEN NEW.webhook IS NOT NULL AND NEW.deleted = 0
        AND NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state IN ('queued', 'running')
        BEGIN INSERT INTO deliveries (id, job, state, url, created) VALUES (
            lower(hex(randomblob(16))), NEW.id, NEW.state, NEW.webhook,
            (julianday('now') - 2440587.5) * 86400.0
        ); END;
    CREATE TRIGGER job_was_finished AFTER INSERT ON jobs
        WHEN NEW.webhook IS NOT NULL AND NEW.state = 'done'
        BEGIN INSERT INTO deliveries (id, job, state, url, created) VALUES (
            lower(hex(randomblob(16))), NEW.id, NEW.state, NEW.webhook,
            (julianday('now') - 2440587.5) * 86400.0
        ); END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN traceparent TEXT;
    CREATE TABLE durations (
        name TEXT NOT NULL, bound REAL NOT NULL, count INTEGER NOT NULL, total REAL NOT NULL,
        PRIMARY KEY (name, bound)
    );
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)
#: A semicolon within a line belongs to the body of a trigger.
_END_OF_STATEMENT = re.compile(r";$", re.MULTILINE)


class DatabaseVersionError(ImpastoError):
    """The database was written by a newer version of Impasto."""


class Database:
    """Connections to one SQLite file in WAL mode, one for each thread.

    Args:
        path: the file; created if it is missing, and upgraded if an earlier version wrote it.

    Raises:
        DatabaseVersionError: a newer version wrote it.
        sqlite3.Error: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self.transaction() as db:
            self._upgrade(db)

    def connection(self) -> sqlite3.Connection:
        """This thread's connection: SQLite's must not be shared between threads."""
        connection: sqlite3.Connection | None = getattr(self._local, "db", None)
        if connection is None:
            connection = self._open()
            self._local.db = connection
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection: sqlite3.Connection | None = getattr(self._local, "db", None)
        self._local.db = None
        if connection is not None:
            connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; all of it happens, or nothing.

        Args:
            durable: wait for the disk, so that nobody sees what a power cut could take back. Without it the
                change is on the disk by the next durable one.
        """
        db = self.connection()
        try:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")  # on a full disk this raises, and the transaction is still open
        except BaseException:
            self._roll_back(db)
            raise

    def _roll_back(self, db: sqlite3.Connection) -> None:
        """End a transaction that failed, by closing the connection if need be.

        What it wrote would be seen by later queries of this connection, and by nobody else.
        """
        try:
            if db.in_transaction:  # some errors make SQLite roll back by itself
                db.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - also if there is no memory for it; the first error is reported
            self.close()

    @staticmethod
    def _upgrade(db: sqlite3.Connection) -> None:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise DatabaseVersionError(
                f"the studio's database has version {version}",
                f"at most {SCHEMA_VERSION} here",
                "install the newer Impasto that wrote it, or choose another --data",
            )
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
            for statement in filter(str.strip, _END_OF_STATEMENT.split(statements)):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
