"""Faults at random, seeded moments, and what they need: a clock that is moved, processes that are killed."""

from __future__ import annotations

import errno
import io
import os
import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock", "FakeEvent", "FakeProcess", "Faults", "Killed"]

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EAGAIN, errno.EMFILE)


class Killed(BaseException):
    """Raised where a process would have been killed. Nothing of it may happen afterwards."""


class Faults:
    """Decides when something fails.

    Attributes:
        rate: probability of a fault at each chance.
        role: who runs now: ``accepter``, ``supervisor``, ``worker`` or ``watcher``; None: no faults.
        counts: (role, fault) → how often it was raised.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self.random, self.rate = random.Random(seed), rate
        self.role: str | None = None
        self.dead = False
        self.counts: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def of(self, role: str) -> Iterator[None]:
        """Let things fail for ``role`` during the block."""
        self.role, self.dead = role, False
        try:
            yield
        finally:
            self.role, self.dead = None, False

    def chance(self, *kinds: str) -> None:
        """Raise one of the faults, perhaps: ``database``, ``system``, ``memory``, ``kill``."""
        if self.role is None:
            return
        if self.dead:  # clean-up code of a process that is not there any more
            raise Killed
        if self.random.random() > self.rate:
            return
        kind = self.random.choice(kinds)
        error = self._fault(kind)
        name = os.strerror(error.errno or 0) if isinstance(error, OSError) else type(error).__name__
        self.counts[self.role, name] += 1
        self.dead = isinstance(error, Killed)
        raise error

    def _fault(self, kind: str) -> BaseException:
        if kind == "database":
            text = self.random.choice(
                ["disk I/O error", "database is locked", "database or disk is full", "unable to open"]
            )
            return sqlite3.OperationalError(text)
        if kind == "system":
            number = self.random.choice(ERRNOS)
            return OSError(number, os.strerror(number))
        return MemoryError() if kind == "memory" else Killed()


class FakeProcess:
    """What the supervisor sees of a worker."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.stdin = io.BytesIO()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9


class FakeEvent:
    """An event whose waiting takes no time; the clock goes on all the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._set = clock, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def wait(self, seconds: float) -> bool:
        self._clock.sleep(seconds)
        return self._set


class Clock:
    """The time of day, which can be moved, and the time since the start, which cannot."""

    def __init__(self) -> None:
        self.now, self.steady = time.time(), time.monotonic()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds
