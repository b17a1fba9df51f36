"""A limit on the size of a request's body and on the time that it takes to arrive."""

from __future__ import annotations

import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LimitedBody"]

_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 64_000_000


class LimitedBody:
    """Counts a request's body while it is received.

    Beyond the limit the request is answered with 413, and the rest of the body is still read for a moment:
    a client whose connection is cut while it is sending reports a broken connection instead of the answer.

    Args:
        receive: ASGI's function that returns the next part of the body.
        max_bytes: largest body.
        max_seconds: longest time for all of it.
    """

    def __init__(self, receive: Receive, max_bytes: int, max_seconds: float) -> None:
        self.max_bytes = max_bytes
        self._receive, self._received_bytes = receive, 0
        self._deadline = time.monotonic() + max_seconds
        self._complete = self._exceeded = False

    async def __call__(self) -> Message:
        """The next part of the body; raises ``HTTPException`` 413 beyond the limits."""
        message = await self._receive()
        self._complete = self._complete or not message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        late = not self._complete and time.monotonic() > self._deadline
        if self._received_bytes > self.max_bytes or late:
            self._exceeded = True
            raise HTTPException(413, self.refusal, headers={"Connection": "close"})
        return message

    @property
    def refusal(self) -> str:
        """The line for a body beyond the limits."""
        megabytes = self.max_bytes / 1e6
        return f"the request is larger than {megabytes:g} MB or took too long; send smaller files"

    async def run(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """Run an application with this body; if the body is too long, drain it before the response ends."""

        async def send_then_drain(message: Message) -> None:
            if not self._exceeded or message["type"] != "http.response.body":
                await send(message)
                return
            await send({**message, "more_body": True})
            await self.drain(send)

        await app(scope, self, send_then_drain)

    async def drain(self, send: Send) -> None:
        """Read and discard what still arrives, for two seconds or 64 MB, then end the response."""
        deadline, left = time.monotonic() + _DRAIN_SECONDS, _DRAIN_BYTES
        while time.monotonic() < deadline and left > 0 and not self._complete:
            message = await self._receive()
            left -= len(message.get("body", b""))
            self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
