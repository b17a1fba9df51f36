"""What of a batch is finished: one line of JSON for each picture, in ``results.jsonl``; also as a table.

A picture is known by the contents of its files and by its recipe, not by names or times. Its line is written
after its file, so that a batch that is killed at any moment goes on without losing or trusting too much: at
worst one picture is painted again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from impasto.errors import ImpastoError, PictureError
from impasto.files import write_atomically

__all__ = ["Journal", "write_table"]

#: Columns of ``results.csv`` before those of the losses.
COLUMNS = (
    "output", "status", "content", "style", "seconds", "width", "height", "evaluations", "threads", "error",
)  # fmt: skip


class Journal:
    """The finished pictures of a folder.

    Args:
        folder: of the batch; made if its parent exists.

    Raises:
        PictureError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / "results.jsonl"
        try:
            folder.mkdir(exist_ok=True)
            self.records = self._read()
        except OSError as error:
            raise PictureError(
                f"the folder '{folder}' cannot be used: {error.strerror}", "a folder in a folder that exists"
            ) from None

    def _read(self) -> dict[str, dict[str, Any]]:
        """Identity → record. Lines that are not whole, as after a power cut, are left out."""
        records = {}
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            try:
                record = json.loads(line)
                records[record["identity"]] = record
            except (ValueError, KeyError, TypeError):
                continue
        return records

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other batches out of the folder, and remove what a killed one has left half-written.

        Raises:
            ImpastoError: another batch is at work there.
        """
        lock = FileLock(self.folder / ".results.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ImpastoError(
                f"another batch is painting into '{self.folder}'",
                remedy="wait for it, or choose another folder",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def finished(self, identity: str, output: Path) -> dict[str, Any] | None:
        """The record of a picture that is finished and still in its file; None otherwise."""
        record = self.records.get(identity)
        if record is None or self.folder / record["output"] != output:
            return None
        try:
            return record if output.stat().st_size == record["bytes"] else None
        except OSError:
            return None

    def add(self, record: Mapping[str, Any]) -> None:
        """Write down that a picture is finished.

        Raises:
            PictureError: the line cannot be written.
        """
        line = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            with self._path.open("ab") as file:
                # A line that a killed batch has not finished must not spoil this one.
                if file.tell() and not self._ends_with_newline():
                    file.write(b"\n")
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise PictureError(f"'{self._path}' cannot be written: {error.strerror}") from None
        self.records[record["identity"]] = dict(record)

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def remove_unfinished(outputs: Sequence[Path]) -> None:
    """Delete the temporary files that a killed batch has left beside these outputs."""
    for folder in {output.parent for output in outputs}:
        for leftover in folder.glob(".*.partial*"):
            if re.fullmatch(r"\..*\.[0-9a-f]{8}\.partial(\.\w+)?", leftover.name):
                leftover.unlink(missing_ok=True)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``results.csv``: a row for each picture, with a column for each loss that occurs.

    Raises:
        PictureError: it cannot be written.
    """
    losses = sorted({name for row in rows for name in row if name == "loss" or name.startswith("loss/")})
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *losses], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        write_atomically(path, text.getvalue())
    except OSError as error:
        raise PictureError(f"'{path}' cannot be written: {error.strerror}") from None
