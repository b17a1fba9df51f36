"""Whose upload is decoded next, and whether another one can be taken at all.

Few uploads are decoded at once. Those that wait for it take turns by client, and an upload that would have to
wait for too long is refused before its body is read: its client comes back, and what waits stays short.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from impasto.studio.errors import RefusedError

__all__ = ["Admission"]

_FIRST_ESTIMATE = 0.3  # seconds that an upload takes to be decoded, until some have been
_WEIGHT = 0.1  # of the latest upload in that estimate
_SILENT_SECONDS = 2.0  # after which a body that does not arrive counts no more among those that will wait


class Admission:
    """Turns of the clients whose uploads are to be decoded. For one event loop.

    Args:
        at_once: uploads that are decoded at the same time.
        longest_wait: seconds that an upload is expected to wait at most.
        clock: seconds that never go back.
    """

    def __init__(
        self, at_once: int, longest_wait: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free, self._at_once, self._longest_wait, self._clock = at_once, at_once, longest_wait, clock
        self._seconds = _FIRST_ESTIMATE
        self._arriving: dict[object, tuple[str, Callable[[], float]]] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of turns
        self._decoding: Counter[str] = Counter()

    def expected_wait(self, client: str) -> float:
        """Seconds until another upload of a client would have its turn: others' go first, one each a turn."""
        counts = Counter({name: len(futures) for name, futures in self._waiting.items()}) + self._decoding
        counts.update(name for name, silence in self._arriving.values() if silence() < _SILENT_SECONDS)
        own = counts.pop(client, 0)
        ahead = own + sum(min(count, own + 1) for count in counts.values())
        return max(0, ahead - self._at_once + 1) * self._seconds / self._at_once

    @contextmanager
    def arriving(self, client: str, silence: Callable[[], float]) -> Iterator[None]:
        """Count an upload whose body is read within the block among those that will wait.

        Args:
            silence: seconds since anything of it has arrived.

        Raises:
            RefusedError: status 429 if it would have to wait for too long.
        """
        wait = self.expected_wait(client)
        if wait > self._longest_wait:
            got, seconds = "too many uploads are being checked at the moment", math.ceil(wait)
            remedy = f"come back in {seconds} s"
            raise RefusedError(got, remedy=remedy, status=429, retry_after=seconds, policy="uploads")
        entry = object()
        self._arriving[entry] = (client, silence)
        try:
            yield
        finally:
            del self._arriving[entry]

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for the client's turn; within the block its upload is decoded."""
        if not self._free or self._waiting:
            await self._wait(client)
        else:
            self._free -= 1
        self._decoding[client] += 1
        begin = self._clock()
        try:
            yield
        finally:
            self._seconds += _WEIGHT * (self._clock() - begin - self._seconds)
            self._decoding[client] -= 1
            self._pass_on()

    async def _wait(self, client: str) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # its turn came at the same moment
                self._pass_on()
            elif client in self._waiting:
                self._waiting[client].remove(future)
                self._forget_idle(client)
            raise

    def _pass_on(self) -> None:
        """Give a place that became free to the next client; it goes behind all others that wait."""
        if not self._waiting:
            self._free += 1
            return
        client = next(iter(self._waiting))
        futures = self._waiting.pop(client)
        futures.popleft().set_result(None)
        if futures:
            self._waiting[client] = futures

    def _forget_idle(self, client: str) -> None:
        if not self._waiting[client]:
            del self._waiting[client]
