"""What a batch paints and what becomes of it, in a temporary database: ten million pictures do not fit.

SQLite sorts on the disk and holds a few megabytes in memory, however long the lists are.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from impasto.batch.inputs import SourceFile, check_template, file_name, matches
from impasto.errors import PictureError, RecipeError
from impasto.pictures import READABLE_SUFFIXES
from impasto.pieces.addresses import Address, Location, location

__all__ = ["Entry", "Listing", "StoredResults"]

T = TypeVar("T")

#: Rows that are read at a time.
PAGE = 1000
FROM_NUMBER = "where number >= ? order by number"

TABLES = """
create table content (number integer primary key, path text, folder text, fingerprint text, same text unique);
create table style (number integer primary key, path text, folder text, fingerprint text, same text unique);
create temp table found (path text, folder text, fingerprint text, same text, rank text);
create table result (number integer primary key, name text, folded text unique, record text, error text);
"""


@dataclass(frozen=True)
class Entry:
    """A picture that is to be there in the end.

    Attributes:
        number: from 1.
        name: of its file, relative to the folder of the batch, with ``/``.
        content_number: of the content, among the contents.
    """

    number: int
    name: str
    content: SourceFile
    content_number: int
    styles: tuple[Location, ...]


class Listing:
    """The pictures of a batch: every content in every style; all pictures of a style together, so that it is
    loaded once.

    Args:
        contents, styles: files, folders, patterns, addresses; see :func:`impasto.batch.inputs.matches`. Each
            file counts once; those of a folder or pattern are in the order of their names.
        folder: of the batch.
        pair: the first content in the first style, the second in the second …
        blend: every content in a blend of all styles.
        style_suffixes: endings of the styles in folders and patterns.

    Raises:
        PictureError: something that is no picture and no folder of pictures.
        RecipeError: nothing to paint, pair and blend, or pairs of lists that are not equally long.
    """

    def __init__(
        self,
        contents: Sequence[str],
        styles: Sequence[str],
        folder: Location,
        *,
        pair: bool = False,
        blend: bool = False,
        style_suffixes: Sequence[str] = READABLE_SUFFIXES,
    ) -> None:
        if pair and blend:
            raise RecipeError("--pair with --blend", "one of them")
        self.pair, self.blend, self.folder = pair, blend, folder
        # An empty name is a database of its own, which SQLite writes to the disk when it becomes large.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(TABLES)
        self._database.execute("begin")
        self.contents = self._find("content", contents, READABLE_SUFFIXES)
        self.styles = self._find("style", styles, style_suffixes)
        if pair and self.contents != self.styles:
            raise RecipeError(
                f"pairs of {self.contents} contents and {self.styles} styles",
                "as many of one as of the other",
                "leave --pair out for every content in every style",
            )
        if not len(self):
            raise RecipeError(f"{self.contents} contents and {self.styles} styles", "at least one of each")

    def __len__(self) -> int:
        return self.contents * (1 if self.pair or self.blend else self.styles)

    def _find(self, table: str, patterns: Sequence[str], suffixes: Sequence[str]) -> int:
        """Fill a table with the files that patterns name; returns their number."""
        run = self._database.execute
        for pattern in patterns:
            rows = (_row(file) for file in matches(pattern, self.folder, suffixes))
            self._database.executemany("insert into found values (?, ?, ?, ?, ?)", rows)
            run(
                f"insert or ignore into {table} (path, folder, fingerprint, same) "
                "select path, folder, fingerprint, same from found order by rank"
            )
            run("delete from found")
        (count,) = run(f"select count(*) from {table}").fetchone()
        return int(count)

    def name_results(self, template: str) -> None:
        """Give each picture its name.

        Raises:
            RecipeError: a template that cannot be, or one name for two pictures.
        """
        check_template(template)
        run = self._database.execute
        for number, (content, _, styles) in enumerate(self._combinations(), 1):
            name = file_name(template, content, styles, number).as_posix()
            try:
                # File systems of macOS and Windows do not tell capitals from small letters.
                run(
                    "insert into result (number, name, folded) values (?, ?, ?)", (number, name, name.lower())
                )
            except sqlite3.IntegrityError:
                (other,) = run("select number from result where folded = ?", (name.lower(),)).fetchone()
                first, second = self._described(other), self._described(number)
                raise RecipeError(
                    f"two results would be called '{name}': {first} and {second}",
                    "a name of its own for each picture",
                    "add {folder}, {style} or {index} to --name, as in '{folder}/{content}-{style}.png'",
                ) from None

    def _described(self, number: int) -> str:
        content, _, styles = next(self._combinations(number))
        return f"{content.path} in {'+'.join(str(style) for style in styles)}"

    def _combinations(self, start: int = 1) -> Iterator[tuple[SourceFile, int, tuple[Location, ...]]]:
        """(content, its number, styles) of each picture from the one with number ``start``."""
        if self.pair:
            pairs = zip(self._files("content", start), self._files("style", start), strict=True)
            yield from ((content, number, (style.path,)) for (number, content), (_, style) in pairs)
            return
        styles = self.style_paths()
        groups = [styles] if self.blend else [(style,) for style in styles]
        group, offset = divmod(start - 1, self.contents)
        for each in groups[group:]:
            for number, content in self._files("content", offset + 1):
                yield content, number, each
            offset = 0

    def style_paths(self) -> tuple[Location, ...]:
        """All styles."""
        return tuple(file.path for _, file in self._files("style", 1))

    def _files(self, table: str, start: int) -> Iterator[tuple[int, SourceFile]]:
        query = f"select number, path, folder, fingerprint from {table} {FROM_NUMBER} limit {PAGE}"
        for number, path, folder, fingerprint in self._pages(query, start):
            yield number, SourceFile(location(path), PurePath(folder), fingerprint)

    def _pages(self, query: str, start: int) -> Iterator[tuple[Any, ...]]:
        """All rows of a query for a page of rows from a number on; others may write between two pages."""
        while rows := self._database.execute(query, (start,)).fetchall():
            yield from rows
            start = rows[-1][0] + 1

    def entries(self, start: int = 1) -> Iterator[Entry]:
        """The pictures from one number on, in order, once they have names."""
        for (content, content_number, styles), (number, name) in zip(
            self._combinations(start), self._names(start), strict=False
        ):
            yield Entry(number, name, content, content_number, styles)

    def input_named_like_a_result(self, further: Iterable[Path]) -> str | None:
        """The path of a result that would replace an input; None if there is none.

        Args:
            further: inputs beside contents and styles.
        """
        root = self.folder.url.rstrip("/") if isinstance(self.folder, Address) else str(self.folder.resolve())
        others = {_same(path) for path in further}
        for number, name in self._names():
            target = f"{root}/{name}"
            if os.path.islink(target):  # noqa: PTH114 - ten million times
                target = os.path.realpath(target)
            query = "select 1 from content where same = :same union select 1 from style where same = :same"
            if target in others or self._database.execute(query, {"same": target}).fetchone():
                return str(self.folder / self._name(number))
        return None

    def _names(self, start: int = 1) -> Iterator[tuple[int, str]]:
        """(number, name) of the results from one number on, in order."""
        yield from self._pages(f"select number, name from result {FROM_NUMBER} limit {PAGE}", start)

    def _name(self, number: int) -> str:
        (name,) = self._database.execute("select name from result where number = ?", (number,)).fetchone()
        return str(name)

    def endings(self) -> dict[str, str]:
        """Ending of the results' names → the last name that has it."""
        found: dict[str, str] = {}
        for _, name in self._names():
            found[PurePath(name).suffix] = name
        return found

    def folders(self) -> Iterator[PurePath]:
        """The folders of the results, relative to that of the batch; one may come several times."""
        last = None
        for _, name in self._names():
            if (parent := PurePath(name).parent) != last:
                yield (last := parent)

    def remember_fingerprint(self, content_number: int, fingerprint: str) -> None:
        """Note what was found out about the contents of a content's file."""
        query = "update content set fingerprint = ? where number = ?"
        self._database.execute(query, (fingerprint, content_number))

    def finish(self, number: int, record: Mapping[str, Any]) -> None:
        """Note that a picture is finished."""
        query = "update result set record = ?, error = null where number = ?"
        self._database.execute(query, (json.dumps(record, ensure_ascii=False), number))

    def fail(self, number: int, error: str) -> None:
        """Note why a picture could not be painted."""
        self._database.execute("update result set error = ? where number = ?", (error, number))

    def outcomes(self) -> Iterator[tuple[int, str, dict[str, Any] | None, str | None]]:
        """(number, name, record or None, error or None) of all pictures, in order."""
        query = f"select number, name, record, error from result {FROM_NUMBER} limit {PAGE}"
        for number, name, record, error in self._pages(query, 1):
            yield number, name, None if record is None else json.loads(record), error

    def count(self, column: str) -> int:
        """How many results have a ``record``, or an ``error``."""
        (count,) = self._database.execute(f"select count({column}) from result").fetchone()
        return int(count)

    def value(self, column: str, name: str) -> str | None:
        """The ``record`` or ``error`` of the result with a name, or None."""
        query = f"select {column} from result where folded = ? and name = ?"
        row = self._database.execute(query, (name.lower(), name)).fetchone()
        return None if row is None else row[0]


class StoredResults(Mapping[Location, T]):
    """What is known about the pictures of a batch, read from its listing when it is asked for.

    Args:
        column: ``record``, of those that are finished, or ``error``, of those that are not.
        decode: makes a value of what is stored.
    """

    def __init__(self, listing: Listing, column: str, decode: Callable[[str], T]) -> None:
        self._listing, self._column, self._decode = listing, column, decode

    def __len__(self) -> int:
        return self._listing.count(self._column)

    def __iter__(self) -> Iterator[Location]:
        for _, name, record, error in self._listing.outcomes():
            if (record if self._column == "record" else error) is not None:
                yield self._listing.folder / name

    def __getitem__(self, path: Location) -> T:
        folder = str(self._listing.folder).rstrip("/")
        value = self._listing.value(self._column, str(path).removeprefix(folder).lstrip("/"))
        if value is None:
            raise KeyError(path)
        return self._decode(value)


def _row(file: SourceFile) -> tuple[str, str, str | None, str, str]:
    """A row of the table ``found``; its rank sorts by the parts of the path."""
    path = str(file.path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise PictureError(f"the name {path!r}", "a name in UTF-8", "rename the file") from None
    return path, file.folder.as_posix(), file.fingerprint, _same(file.path), path.replace("/", "\1")


def _same(path: Location) -> str:
    """What two names of the same file have in common."""
    if isinstance(path, Address):
        return path.url if path.local is None else str(path.local.resolve())
    return str(path.resolve())
