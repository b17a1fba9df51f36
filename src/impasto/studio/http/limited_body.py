"""A limit on the size of a request's body and on the time that it takes to arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LimitedBody"]

_PART_BYTES = 1_000_000  # passed on at once: each part costs the parser of forms a change of threads
_LOOK_BYTES = 8_000_000  # between two looks at the disk
_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 64_000_000  # of a body beyond the limits
_REFUSED_SECONDS = 20.0  # for the rest of one within them
_SMALL_BYTES = 64_000  # what is read of one anyway, before its request is answered
_DISCARDED_BYTES = 64e6  # a second, of all connections together


class LimitedBody:
    """Counts a request's body while it is received.

    Beyond the limit the request is answered with 413. If an answer comes before the end of the body, the rest
    is still read for a while: a client whose connection is cut while it is sending reports a broken
    connection instead of the answer. No request follows on that connection, because it would have to wait
    for the rest of the body, and two hundred bodies together are discarded no faster than
    ``_DISCARDED_BYTES``, so that they do not keep the event loop from everybody else.

    Attributes:
        stated_bytes: by the request's head; None if it does not say.
        exceeded: whether it is larger than it may be, as stated or as received.

    Args:
        scope: of the request.
        receive: ASGI's function that returns the next part of the body.
        max_bytes: largest body.
        max_seconds: longest time for all of it.
        max_silence: longest time in which nothing of it arrives.
        disk_short: whether there is no room for more of it; asked every few megabytes.
    """

    _next_discarded: ClassVar[float] = 0.0  # when the next piece may be discarded, by ``time.monotonic``

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        max_bytes: int,
        max_seconds: float,
        max_silence: float = 60.0,
        disk_short: Callable[[], bool] = lambda: False,
    ) -> None:
        self._disk_short, self._next_look = disk_short, _LOOK_BYTES
        self.max_bytes, self._max_silence = max_bytes, max_silence
        self.stated_bytes = _stated_length(scope)
        self._receive, self._received_bytes = receive, 0
        self._last_heard = time.monotonic()
        self._deadline = self._last_heard + max_seconds
        self._complete, self.exceeded = False, (self.stated_bytes or 0) > max_bytes

    async def __call__(self) -> Message:
        """The next megabyte of the body; raises ``HTTPException`` 413, 408 or 507 beyond the limits."""
        if self._complete:
            return await self._next_message()
        parts, size = [], 0
        while True:
            message = await self._next_part()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if self._complete or size >= _PART_BYTES:
                return {**message, "body": b"".join(parts) if len(parts) > 1 else parts[0]}

    async def _next_part(self) -> Message:
        """What arrives next, counted."""
        message = await self._next_message()
        self._last_heard = time.monotonic()
        self._complete = self._complete or not message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self.max_bytes:
            self.exceeded = True
            raise HTTPException(413, self.refusal, headers={"Connection": "close"})
        if self._received_bytes >= self._next_look:
            self._next_look = self._received_bytes + _LOOK_BYTES
            if self._disk_short():
                self.exceeded = True
                line = "the studio's disk is short of space; come back later"
                raise HTTPException(507, line, headers={"Connection": "close"})
        return message

    async def _next_message(self) -> Message:
        """What arrives next. A client that is silent for too long would hold its connection for ever."""
        if self._complete:  # now this waits for the end of the connection
            return await self._receive()
        remaining = min(self._max_silence, self._deadline - time.monotonic())
        try:
            return await asyncio.wait_for(self._receive(), max(0.0, remaining))
        except asyncio.TimeoutError:
            self._complete = True
            line = "the request took too long to arrive; send smaller files, or try a faster connection"
            raise HTTPException(408, line, headers={"Connection": "close"}) from None

    def silence(self) -> float:
        """Seconds since anything of the body has arrived."""
        return time.monotonic() - self._last_heard

    @property
    def refusal(self) -> str:
        """The line for a body beyond the limits."""
        megabytes = self.max_bytes / 1e6
        return f"the request is larger than {megabytes:g} MB; send smaller files"

    async def run(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """Run an application with this body; drain what it has not read before the response ends."""
        large = self.stated_bytes is None or self.stated_bytes > _SMALL_BYTES
        left_over = False

        async def send_then_drain(message: Message) -> None:
            nonlocal left_over
            if message["type"] == "http.response.start" and not self._complete and (large or self.exceeded):
                left_over = True
                MutableHeaders(scope=message)["Connection"] = "close"
            if not left_over or message["type"] != "http.response.body" or message.get("more_body"):
                await send(message)
                return
            await send({**message, "more_body": True})
            await self._drain()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await app(scope, self, send_then_drain)

    async def _drain(self) -> None:
        """Read and discard what still arrives, for a while, or for a moment if it is beyond the limits."""
        seconds, left = _REFUSED_SECONDS, self.max_bytes - self._received_bytes
        if self.exceeded:
            seconds, left = _DRAIN_SECONDS, _DRAIN_BYTES
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and left > 0 and not self._complete:
            try:
                message = await asyncio.wait_for(self._receive(), deadline - now)
            except asyncio.TimeoutError:
                break
            size = len(message.get("body", b""))
            left -= size
            self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
            now = time.monotonic()
            LimitedBody._next_discarded = max(now, LimitedBody._next_discarded) + size / _DISCARDED_BYTES
            await asyncio.sleep(LimitedBody._next_discarded - now)


def _stated_length(scope: Scope) -> int | None:
    """Bytes of a request's body by its head; None: the head does not say."""
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    return int(length) if length.isdigit() and "transfer-encoding" not in headers else None
