"""HTTP/1.1 as uvicorn speaks it, without patience for clients that begin no request or ignore its answer."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_SECONDS", "ImpatientProtocol"]

HEAD_SECONDS = 20.0
_IGNORED_BYTES = 64e6  # a second, of all connections together


class ImpatientProtocol(H11Protocol):
    """Ends a connection whose next request's head does not arrive within ``HEAD_SECONDS``.

    uvicorn ends one that is silent between two requests, but waits for ever for the first, and for the rest
    of a head. Bodies have limits of their own (``LimitedBody``).

    What a client sends of a body after its request was answered (an upload that was refused, mostly) is read
    one piece at a time of all connections, and no faster than ``_IGNORED_BYTES``: two hundred of them would
    otherwise keep the event loop from everybody else. It has to be read, because a client whose connection is
    cut while it sends reports that instead of the answer.
    """

    _next_ignored: ClassVar[float] = 0.0  # when the next such piece may be read, by the clock of the loop
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()
        if self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            self._read_on_later(len(data))

    def _read_on_later(self, ignored: int) -> None:
        """Read nothing until there is time for what was ignored, and for what was before it."""
        kind = ImpatientProtocol
        kind._next_ignored = max(self.loop.time(), kind._next_ignored) + ignored / _IGNORED_BYTES
        self.transport.pause_reading()
        self.loop.call_at(kind._next_ignored, self.transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _await_head(self) -> None:
        """Set the deadline of a head that has not arrived, or remove it once the head is there."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
