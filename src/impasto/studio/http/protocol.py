"""HTTP/1.1 as uvicorn speaks it, without patience for clients that begin no request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_SECONDS", "ImpatientProtocol"]

HEAD_SECONDS = 20.0


class ImpatientProtocol(H11Protocol):
    """Ends a connection whose next request's head does not arrive within ``HEAD_SECONDS``.

    uvicorn ends one that is silent between two requests, but waits for ever for the first, and for the rest
    of a head. Bodies have limits of their own (``LimitedBody``).
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

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
