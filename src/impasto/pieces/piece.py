"""What an independent piece of work is, what it reads, and what became of it."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from impasto.errors import ImpastoError, PictureError
from impasto.files import write_atomically

__all__ = [
    "Executor",
    "Files",
    "Needs",
    "Outcome",
    "Piece",
    "PlaceError",
    "Report",
    "Stopped",
    "attempt",
]

#: Called by a piece with the share of its work that is done, in [0, 1]; raises :class:`Stopped` when the work
#: is no longer wanted.
Report = Callable[[float], None]


class PlaceError(ImpastoError):
    """The place where pieces are worked on has failed, such as a cluster that is gone: no piece's fault."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The work is no longer wanted: the piece should end at once and leave nothing behind."""


class Files:
    """The files that a piece reads: from the disk, or as bytes that came with the piece.

    Args:
        sent: path as the caller knows it → contents; None: the disk is the caller's own.
    """

    def __init__(self, sent: Mapping[Path, bytes] | None = None) -> None:
        self._sent = sent

    def read(self, path: Path) -> bytes:
        """All bytes of a file.

        Raises:
            PictureError: it cannot be read.
        """
        if self._sent is not None:
            return self._sent[path]
        try:
            return path.read_bytes()
        except OSError as error:
            raise PictureError(f"'{path}' cannot be read: {error.strerror}") from None

    def path(self, path: Path | None) -> Path | None:
        """A path on this machine with the contents of ``path``, for libraries that open files themselves."""
        return path if self._sent is None or path is None else _unpacked(self._sent[path], path.suffix)

    def __contains__(self, path: Path) -> bool:
        return path.is_file() if self._sent is None else path in self._sent

    @property
    def sent(self) -> Sequence[Path]:
        """The files that came with the piece; none where it reads them from the disk."""
        return list(self._sent or ())

    @property
    def were_sent(self) -> bool:
        """Whether the paths mean nothing on this machine."""
        return self._sent is not None


def _unpacked(data: bytes, suffix: str) -> Path:
    """A temporary file with these contents, made once in each process and deleted at its end."""
    path = _temporary_folder() / (hashlib.sha256(data).hexdigest() + suffix)
    if not path.exists():
        write_atomically(path, data)
    return path


@cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="impasto-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Piece(Protocol):
    """An independent piece of work, which any process on any machine can do.

    It is picklable and small: what it reads is named by :meth:`inputs` and travels beside it. Its ``work`` is
    repeated if a machine is lost, and must do no harm then.
    """

    @property
    def label(self) -> str:
        """What people call it, for progress and messages."""

    @property
    def cost(self) -> float:
        """How much work it is in comparison with the others, > 0."""

    def is_done(self) -> bool:
        """Whether its result is where it belongs already. Called where the results are kept."""

    def inputs(self) -> Sequence[Path]:
        """The files that it reads."""

    def work(self, files: Files, report: Report) -> Any:
        """Do it, in any process; returns a picklable result.

        Raises:
            ImpastoError: it cannot be done.
        """

    def keep(self, result: Any) -> None:
        """Put the result where it belongs, whole or not at all. Called in the process that asked for it.

        Raises:
            ImpastoError: it cannot be written.
        """


@dataclass(frozen=True)
class Needs:
    """What one piece takes of a machine while it is being worked on.

    Attributes:
        threads: cores that it keeps busy.
        memory: bytes; 0: not known.
        gpus: number of GPUs; a fraction shares one.
    """

    threads: int = 1
    memory: float = 0.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a piece.

    Attributes:
        index: its position among the pieces.
        result: what ``work`` returned; None where there is an error.
        error: one line, or None.
    """

    index: int
    result: Any = None
    error: str | None = None


class Executor(Protocol):
    """A place where pieces are worked on."""

    def run(self, pieces: Iterable[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        """Work on all pieces and yield what became of each, in the order in which they end.

        When the caller stops iterating, pieces that are being worked on are stopped.

        Args:
            pieces: taken one by one, as there is room for them.
            report: called with the index of a piece and the share of it that is done, in [0, 1]; on a
                cluster also while there is no news, with 0. What it raises ends the run.

        Raises:
            PlaceError: the place itself has failed.
        """


def attempt(index: int, piece: Piece, files: Files, report: Report) -> Outcome:
    """Work on a piece; an error becomes one line in the outcome, because the other pieces must go on."""
    try:
        return Outcome(index, piece.work(files, report))
    except Stopped:
        raise
    except ImpastoError as error:
        return Outcome(index, error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever one piece raises must not end the others
        return Outcome(index, error=" ".join(f"{type(error).__name__}: {error}".split())[:300])
