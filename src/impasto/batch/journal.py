"""What of a batch is finished: one line of JSON for each picture, in ``results.jsonl``; also as a table.

A picture is known by the contents of its files and by its recipe, not by names or times. Its line is written
after its file, so that a batch that is killed at any moment goes on without losing or trusting too much: at
worst one picture is painted again.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import sqlite3
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from impasto.errors import ImpastoError, PictureError
from impasto.files import replacing
from impasto.pieces.addresses import Address, Location

__all__ = ["Journal", "write_table"]

#: Columns of ``results.csv`` before those of the losses.
COLUMNS = (
    "output", "status", "content", "style", "seconds", "width", "height", "evaluations", "threads", "error",
)  # fmt: skip

#: Seconds of work whose lines go to an object store together, and are lost if the batch is killed: then these
#: pictures are painted again.
PART_SECONDS = 10.0
#: A temporary database, because the records of ten million pictures do not fit into memory.
TABLES = """
create table record (identity text, output text, record text, primary key (identity, output)) without rowid;
create table file (path text primary key, bytes integer) without rowid;
"""


class Journal:
    """The finished pictures of a folder.

    Args:
        folder: of the batch; made if its parent exists. In an object store, which cannot append to a file,
            there is a file of lines for every :data:`PART_SECONDS` in the folder ``results``, and no lock.

    Raises:
        PictureError: the folder cannot be made or read.
    """

    def __init__(self, folder: Location) -> None:
        self.folder, self._path = folder, folder / "results.jsonl"
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(TABLES)
        self._database.execute("begin")
        self._part = _Part(folder / "results") if isinstance(folder, Address) else None
        try:
            if isinstance(folder, Path):
                folder.mkdir(exist_ok=True)
            for line in self._lines():
                self._index(line)
        except OSError as error:
            raise PictureError(
                f"the folder '{folder}' cannot be used: {error.strerror}", "a folder in a folder that exists"
            ) from None
        if isinstance(folder, Address) and self.identities():
            self._list_results(folder)

    def _lines(self) -> Iterator[bytes]:
        """All lines of earlier runs."""
        if isinstance(self._path, Path):
            if self._path.exists():
                with self._path.open("rb") as file:
                    yield from file
            return
        for entry in (self.folder / "results").files(recursive=False):  # type: ignore[union-attr]
            if entry.address.suffix == ".jsonl":
                yield from entry.address.read_bytes().splitlines()

    def _index(self, line: bytes) -> None:
        """Note a line. One that is not whole, as after a power cut, is left out."""
        try:
            record = json.loads(line)
            self._remember(record)
        except (ValueError, KeyError, TypeError):
            return

    def _remember(self, record: Mapping[str, Any]) -> None:
        text = json.dumps(record, ensure_ascii=False)
        row = (record["identity"], record["output"], text)
        self._database.execute("insert or replace into record values (?, ?, ?)", row)

    def _list_results(self, folder: Address) -> None:
        """Note what files there are, because asking for one at a time takes a store far longer."""
        files = ((entry.address.path, entry.size) for entry in folder.files(recursive=True))
        self._database.executemany("insert or replace into file values (?, ?)", files)

    def identities(self) -> int:
        """How many pictures have a record."""
        return int(self._database.execute("select count(*) from record").fetchone()[0])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other batches out of the folder; an object store has no locks.

        Raises:
            ImpastoError: another batch is at work there.
            PictureError: the folder cannot be written to.
        """
        if isinstance(self.folder, Address):
            yield
            return
        lock = FileLock(self.folder / ".results.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ImpastoError(
                f"another batch is painting into '{self.folder}'",
                remedy="wait for it, or choose another folder",
            ) from None
        except OSError as error:
            raise PictureError(
                f"the folder '{self.folder}' cannot be written to: {error.strerror}",
                remedy="choose another folder",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def finished(self, identity: str, name: str) -> dict[str, Any] | None:
        """The record of a picture that is finished and still in its file; None otherwise.

        Args:
            name: of its file, relative to the folder, with ``/``.
        """
        query = "select record from record where identity = ? and output = ?"
        row = self._database.execute(query, (identity, name)).fetchone()
        record: dict[str, Any] | None = None if row is None else json.loads(row[0])
        return record if record is not None and self._size(name) == record.get("bytes") else None

    def _size(self, name: str) -> int:
        """The bytes of a result's file; -1 if there is none."""
        path = self.folder / name
        if isinstance(path, Address):
            row = self._database.execute("select bytes from file where path = ?", (path.path,)).fetchone()
            return -1 if row is None else int(row[0])
        try:
            return path.stat().st_size
        except OSError:
            return -1

    def add(self, record: Mapping[str, Any]) -> None:
        """Write down that a picture is finished.

        Raises:
            PictureError: the line cannot be written.
        """
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        self._remember(record)
        if self._part is not None:
            self._part.add(line)
            return
        try:
            with self._path.open("ab") as file:  # type: ignore[union-attr]
                # A line that a killed batch has not finished must not spoil this one.
                if file.tell() and not self._ends_with_newline():
                    file.write(b"\n")
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise PictureError(f"'{self._path}' cannot be written: {error.strerror}") from None

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:  # type: ignore[union-attr]
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def close(self) -> None:
        """Write what an object store does not have yet.

        Raises:
            PictureError: it cannot be written.
        """
        if self._part is not None:
            self._part.write()


class _Part:
    """Lines that go to an object store together, in a file of their own."""

    def __init__(self, folder: Address) -> None:
        self._folder, self._since = folder, time.monotonic()
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        if time.monotonic() - self._since > PART_SECONDS:
            self.write()

    def write(self) -> None:
        if self._lines:
            name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.jsonl"
            (self._folder / name).write_bytes(b"".join(self._lines))
        self._lines, self._since = [], time.monotonic()


def remove_unfinished(folders: Iterable[Path]) -> None:
    """Delete the temporary files that a killed batch has left in folders; one may come several times."""
    last: OrderedDict[Path, None] = OrderedDict()
    for folder in folders:
        if folder in last:
            continue
        last[folder] = None
        while len(last) > 10_000:
            last.popitem(last=False)
        for leftover in folder.glob(".*.partial*"):
            if re.fullmatch(r"\..*\.[0-9a-f]{8}\.partial(\.\w+)?", leftover.name):
                leftover.unlink(missing_ok=True)


def write_table(path: Location, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``results.csv``: a row for each picture, with a column for each loss that occurs.

    Args:
        rows: gone through twice.

    Raises:
        PictureError: it cannot be written.
    """
    names = {name for row in rows for name in row if name == "loss" or name.startswith("loss/")}
    try:
        if isinstance(path, Path):
            with replacing(path) as partial, partial.open("x", encoding="utf-8", newline="") as file:
                _write_rows(file, rows, sorted(names))
            return
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
            _write_rows(file, rows, sorted(names))
            file.seek(0)
            path.write_bytes(file.read().encode())
    except OSError as error:
        raise PictureError(f"'{path}' cannot be written: {error.strerror}") from None


def _write_rows(file: IO[str], rows: Iterable[Mapping[str, Any]], losses: Sequence[str]) -> None:
    writer = csv.DictWriter(file, [*COLUMNS, *losses], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
