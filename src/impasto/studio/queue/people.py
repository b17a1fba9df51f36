"""People: who may sign in, their sessions, and their quotas.

While there are none, all who reach the studio (and know its token, if it has one) use it together, and
whoever knows a job's id may see the job. From the first person on, everybody has to sign in, also after all
were revoked; a job belongs to who sent it.

Tokens and sessions are 256 random bits, of which only the SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

from impasto.errors import ImpastoError
from impasto.studio.queue.database import Database
from impasto.studio.queue.usage import Usage, usage_of

__all__ = ["PEOPLE_CREDENTIAL", "People", "PeopleError", "Person", "Quotas", "has_people"]

#: What stands among the valid credentials while there are no people.
PEOPLE_CREDENTIAL = "nobody has to sign in"
_NAME = re.compile(r"[\w][\w.@+-]{0,63}")
_MAX_SESSIONS = 20  # of one person; the oldest ends
_IN_USE = "people.revoked IS NULL AND (people.expires IS NULL OR people.expires > :now)"
_THEIR_SESSIONS = (
    f"FROM sessions JOIN people ON people.id = sessions.person WHERE sessions.expires > :now AND {_IN_USE}"
)


class PeopleError(ImpastoError):
    """There is no such person, or there is one already."""


@dataclass(frozen=True)
class Quotas:
    """What a person may use; None is no limit.

    Attributes:
        daily_jobs: jobs a day (UTC).
        daily_seconds: painting seconds a day.
        bytes: space for all jobs that are kept.
    """

    daily_jobs: int | None = None
    daily_seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Person:
    """Someone who may sign in. Times are seconds since the epoch.

    Attributes:
        expires: when the token and all sessions end; None: never.
        revoked: when the operator shut them out.
    """

    id: int
    name: str
    created: float
    expires: float | None
    revoked: float | None
    daily_jobs: int | None
    daily_seconds: float | None
    bytes: int | None

    @property
    def client(self) -> str:
        """The name for which limits are counted; no address looks like it."""
        return _client(self.id)


_COLUMNS = ", ".join(f"people.{column.name}" for column in fields(Person))


def has_people(database: Path) -> bool:
    """Whether a database has people. It may not exist, or be of an earlier version; it is not changed."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None
    except sqlite3.Error:  # no such table, or not a database: opening it for good reports that
        return False


def _client(person: int) -> str:
    return f"person {person}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class People:
    """All people of one data folder. Safe to use from several threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exist(self) -> bool:
        """Whether anybody was ever added: then everybody has to sign in."""
        return self._database.connection().execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None

    # -- for the operator -------------------------------------------------------------------------------
    def add(self, name: str, quotas: Quotas, *, expires: float | None = None, adopt: bool = False) -> str:
        """Add a person, or let one in again; returns the new token, which is stored nowhere.

        Args:
            expires: when the token ends.
            adopt: give them all jobs that belong to nobody.

        Raises:
            PeopleError: there is such a person, neither revoked nor expired, or the name cannot be used.
        """
        if not _NAME.fullmatch(name):
            expected = "letters, digits and . _ @ + -, at most 64"
            raise PeopleError(f"the name '{name[:80]}' cannot be used", expected)
        token, now = f"impasto_{secrets.token_urlsafe(32)}", time.time()
        values = (_hash(token), expires, quotas.daily_jobs, quotas.daily_seconds, quotas.bytes)
        with self._database.transaction() as db:
            known = db.execute(
                f"SELECT id, {_IN_USE} AS in_use FROM people WHERE name = :name", {"name": name, "now": now}
            ).fetchone()
            if known is None:
                db.execute(
                    "INSERT INTO people (token_hash, expires, daily_jobs, daily_seconds, bytes, name, "
                    "created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*values, name, now),
                )
            elif known["in_use"]:
                raise PeopleError(
                    f"there is a '{name}' already",
                    remedy=f"for a new token: `impasto studio users revoke {name}` first",
                )
            else:
                db.execute(
                    "UPDATE people SET token_hash = ?, expires = ?, daily_jobs = ?, daily_seconds = ?, "
                    "bytes = ?, revoked = NULL WHERE id = ?",
                    (*values, known["id"]),
                )
                db.execute("DELETE FROM sessions WHERE person = ?", (known["id"],))
            if adopt:
                _adopt(db, name)
        return token

    def set_quotas(self, name: str, quotas: Quotas) -> None:
        """Replace a person's quotas; raises ``PeopleError`` if there is no such person."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE people SET daily_jobs = ?, daily_seconds = ?, bytes = ? WHERE id = ?",
                (quotas.daily_jobs, quotas.daily_seconds, quotas.bytes, _id_of(db, name)),
            )

    def revoke(self, name: str) -> int:
        """Shut a person out: token and sessions end now, and what is not finished is cancelled.

        Returns:
            How many jobs were cancelled.

        Raises:
            PeopleError: there is no such person.
        """
        now = time.time()
        with self._database.transaction() as db:
            own = (_id_of(db, name),)
            db.execute("UPDATE people SET token_hash = NULL, revoked = ? WHERE id = ?", (now, *own))
            db.execute("DELETE FROM sessions WHERE person = ?", own)
            waiting = db.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, reserved = 0 "
                "WHERE person = ? AND state = 'queued'",
                (now, *own),
            )
            running = db.execute("UPDATE jobs SET cancel = 1 WHERE person = ? AND state = 'running'", own)
        return waiting.rowcount + running.rowcount

    def all(self) -> list[tuple[Person, Usage]]:
        """Everybody, revoked ones included, with what they have used."""
        db = self._database.connection()
        people = [Person(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM people ORDER BY name")]
        return [(person, usage_of(db, person.id)) for person in people]

    def id_of(self, name: str) -> int:
        """The number of a person; raises ``PeopleError`` if there is no such person."""
        return _id_of(self._database.connection(), name)

    # -- for the server ---------------------------------------------------------------------------------
    def by_token(self, token: str) -> Person | None:
        """Whose token it is; None if it is nobody's, or no longer."""
        return self._find(f"SELECT {_COLUMNS} FROM people WHERE token_hash = :hash AND {_IN_USE}", token)

    def by_session(self, session: str) -> Person | None:
        """Whose session it is; None if it is nobody's, or has ended."""
        return self._find(f"SELECT {_COLUMNS} {_THEIR_SESSIONS} AND sessions.hash = :hash", session)

    def _find(self, query: str, secret: str) -> Person | None:
        if not secret:
            return None
        row = (
            self._database.connection().execute(query, {"hash": _hash(secret), "now": time.time()}).fetchone()
        )
        return None if row is None else Person(*row)

    def start_session(self, person: Person, days: float) -> str:
        """A new session of a person; returns what its cookie holds."""
        session, now = secrets.token_urlsafe(32), time.time()
        with self._database.transaction() as db:
            db.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            db.execute(
                "INSERT INTO sessions (hash, person, created, expires) VALUES (?, ?, ?, ?)",
                (_hash(session), person.id, now, now + days * 86400),
            )
            db.execute(
                "DELETE FROM sessions WHERE person = ? AND hash NOT IN "
                "(SELECT hash FROM sessions WHERE person = ? ORDER BY rowid DESC LIMIT ?)",
                (person.id, person.id, _MAX_SESSIONS),
            )
        return session

    def end_session(self, session: str) -> None:
        """End a session, if there is one."""
        if session and self.by_session(session) is not None:
            with self._database.transaction() as db:
                db.execute("DELETE FROM sessions WHERE hash = ?", (_hash(session),))

    @staticmethod
    def credential(secret: str) -> str:
        """What stands for a token or a session among :meth:`valid_credentials`."""
        return _hash(secret)

    def valid_credentials(self) -> set[str]:
        """What somebody may have signed in with that is still valid."""
        db, now = self._database.connection(), {"now": time.time()}
        if not self.exist():
            return {PEOPLE_CREDENTIAL}
        tokens = db.execute(f"SELECT token_hash FROM people WHERE {_IN_USE}", now)
        sessions = db.execute(f"SELECT sessions.hash {_THEIR_SESSIONS}", now)
        return {row[0] for row in (*tokens, *sessions)}

    def usage(self, person: Person) -> Usage:
        """What a person has used."""
        return usage_of(self._database.connection(), person.id)


def _id_of(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise PeopleError(f"there is no '{name[:80]}'", remedy="see `impasto studio users list`")
    return int(row[0])


def _adopt(db: sqlite3.Connection, name: str) -> None:
    """Give a person the jobs that belong to nobody."""
    person = _id_of(db, name)
    db.execute(
        "UPDATE jobs SET person = ?, client = ?, request_key = NULL WHERE person IS NULL",
        (person, _client(person)),
    )
