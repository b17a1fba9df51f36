"""Whether a failed attempt at a job is worth another, and after how long."""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Iterator
from enum import Enum

from impasto.errors import ImpastoError
from impasto.pieces.piece import PlaceError

__all__ = ["AttemptError", "FailureKind", "backoff_seconds", "failure_kind"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_TRANSIENT = {errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY, errno.EINTR}
_FIRST_DELAY, _LONGEST_DELAY = 5.0, 600.0  # seconds


class FailureKind(Enum):
    """Why an attempt failed.

    Attributes:
        PERMANENT: the job's own fault; another attempt would fail too.
        DISK_FULL: no fault of the job's: the attempt does not count.
        TRANSIENT: the fault of the machine, or of the cluster: tried again after a while, and the attempt
            counts.
        UNKNOWN: as ``TRANSIENT``; the process may be damaged (a CUDA error stays until it ends), so that it
            should be replaced.
    """

    PERMANENT = "permanent"
    DISK_FULL = "disk full"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


class AttemptError(Exception):
    """What an attempt on another machine ended with, in one line."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of a failure, by the error and the errors that it was raised from."""
    if isinstance(error, AttemptError):
        return error.kind
    chain = list(_causes(error))
    if any((isinstance(cause, OSError) and cause.errno in _FULL) or _database_full(cause) for cause in chain):
        return FailureKind.DISK_FULL
    for cause in chain:
        if isinstance(cause, (MemoryError, sqlite3.OperationalError, PlaceError)) or _out_of_gpu_memory(
            cause
        ):
            return FailureKind.TRANSIENT
        if isinstance(cause, OSError) and cause.errno in _TRANSIENT:
            return FailureKind.TRANSIENT
    return FailureKind.PERMANENT if isinstance(error, ImpastoError) else FailureKind.UNKNOWN


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it; ``raise … from None`` hides them from readers only."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _database_full(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


def _out_of_gpu_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError"  # PyTorch's, which this package must not load


def backoff_seconds(
    attempts: int,
    jitter: random.Random | None = None,
    *,
    longest: float = _LONGEST_DELAY,
    factor: float = 2.0,
) -> float:
    """Seconds to wait after that many attempts: five, and each time longer, give or take half.

    The jitter keeps what failed together from coming back together.

    Args:
        longest: without the jitter.
        factor: by which each wait is longer than the one before.
    """
    delay = min(longest, _FIRST_DELAY * factor ** min(16, max(0, attempts - 1)))
    return delay * (jitter or random).uniform(0.5, 1.5)
