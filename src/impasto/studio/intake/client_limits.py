"""Limits of what one client may have at once or within an hour, and the headers that state them."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from impasto.studio.errors import RefusedError

__all__ = ["ConcurrencyLimit", "HourlyLimit", "RateLimit", "rate_limit_headers"]

_HOUR, _HOURLY = 3600.0, "hourly-jobs"
_MAX_CLIENTS = 10_000  # remembered at once; the one seen longest ago is forgotten


@dataclass(frozen=True)
class RateLimit:
    """How much of something is left.

    Attributes:
        limit: within ``window`` seconds.
        remaining: of ``limit``.
        reset: seconds until there is more.
    """

    name: str
    limit: int
    window: int
    remaining: int
    reset: int


def rate_limit_headers(limits: Iterable[RateLimit]) -> dict[str, str]:
    """The headers ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-09)."""
    known = list(limits)
    return {
        "RateLimit-Policy": ", ".join(f'"{one.name}";q={one.limit};w={one.window}' for one in known),
        "RateLimit": ", ".join(f'"{one.name}";r={one.remaining};t={one.reset}' for one in known),
    }


class ConcurrencyLimit:
    """How much of something one client may have at once.

    Args:
        limit: for each client.
        what: for messages: "event streams are open".
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """Count one more for the time of the block.

        Raises:
            RefusedError: status 429 if the client has as many as it may.
        """
        with self._lock:
            if self._counts[client] >= self._limit:
                got = f"{self._limit} of your {self._what} already"
                raise RefusedError(got, remedy="wait for one of them to end", status=429, retry_after=5)
            self._counts[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[client] -= 1
                if not self._counts[client]:
                    del self._counts[client]


class HourlyLimit:
    """How often each client may do something within an hour.

    Args:
        limit: for each client.
        clock: seconds that never go back.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._times: dict[str, deque[float]] = {}
        self._lock = Lock()

    def count(self, client: str) -> None:
        """Count one more; raises ``RefusedError`` with status 429 if there were too many."""
        now = self._clock()
        with self._lock:
            times = self._times.pop(client, deque())
            self._times[client] = times  # at the end: the order is that of the last visit
            while len(self._times) > _MAX_CLIENTS:
                del self._times[next(iter(self._times))]
            while times and now - times[0] >= _HOUR:
                times.popleft()
            if len(times) >= self._limit:
                wait = math.ceil(times[0] + _HOUR - now)
                got = f"{self._limit} of your jobs were sent within an hour"
                remedy = f"come back in {wait} s"
                raise RefusedError(got, remedy=remedy, status=429, retry_after=wait, policy=_HOURLY)
            times.append(now)

    def remaining(self, client: str) -> RateLimit:
        """How much is left for a client."""
        now = self._clock()
        with self._lock:
            times = [time for time in self._times.get(client, ()) if now - time < _HOUR]
        reset = math.ceil(times[0] + _HOUR - now) if times else round(_HOUR)
        return RateLimit(_HOURLY, self._limit, round(_HOUR), max(0, self._limit - len(times)), reset)
