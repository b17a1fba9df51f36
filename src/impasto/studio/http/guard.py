"""Who may ask what: token, host and origin, sizes, headers, and a log without content. Plain ASGI.

Everything here looks at the head of a request; the body is only counted.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import re
import secrets
import time
from collections import deque
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.studio.settings import LOOPBACK, StudioSettings

__all__ = ["COOKIE", "Attempts", "Guard", "client_of", "cookie_for", "log", "same_token"]

COOKIE = "impasto-session"
_FAILURES, _WITHIN = 20, 60.0  # wrong tokens, in seconds
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
log = logging.getLogger("impasto.studio")


def client_of(scope: Scope) -> str:
    """Whom limits count against: the address, of IPv6 its network."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def cookie_for(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hmac.new(token.encode(), b"impasto session", hashlib.sha256).hexdigest()


def same_token(given: str, wanted: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


class Attempts:
    """Wrong tokens of late, by all clients together: guessing is slowed down whoever does it."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=_FAILURES)

    def failed(self) -> None:
        """Count a wrong token."""
        self._failures.append(time.monotonic())

    @property
    def locked(self) -> bool:
        """There were too many."""
        return len(self._failures) == _FAILURES and time.monotonic() - self._failures[0] < _WITHIN


class Guard:
    """Before everything else.

    A body is counted as it comes: beyond the limit it is answered with 413 and thrown away for a moment, as
    a client that is cut off at once would see a broken connection, not the answer.
    """

    def __init__(self, app: ASGIApp, settings: StudioSettings, attempts: Attempts) -> None:
        self.app, self.settings, self.attempts = app, settings, attempts
        self._names = {name.lower() for name in (*LOOPBACK, settings.host, *settings.public_name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, begin, status = secrets.token_hex(6), time.perf_counter(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request
            await send(message)

        scope.setdefault("state", {})["request_id"] = request
        try:
            await self._checked(scope, receive, with_headers)
        finally:
            took = 1000 * (time.perf_counter() - begin)
            log.info("%s %s %s %d %.0f ms", request, scope["method"], _shown(scope["path"]), status, took)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        length = headers.get("content-length", "0")
        counted = _Counted(receive, self.settings.upload_bytes, self.settings.upload_seconds)
        if length.isdigit() and int(length) > counted.most:
            await _answer(send, 413, counted.line, more=True)
            await counted.drain(send)
            return
        await counted.run(self.app, scope, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """(status, line) of what is refused by its head; None: welcome."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if _HOST.fullmatch(host) else ""
        if (self.settings.loopback or self.settings.public_name) and name not in self._names:
            return 421, "the Host header names another machine; use the address that the studio printed"
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _same_site(headers, host):
            return 403, "a request from another site; open the studio's own page"
        path = scope["path"]
        if self.settings.token is None or not path.startswith("/v1/"):
            return None
        return self._token_refusal(headers, self.settings.token, entering=path == "/v1/session")

    def _token_refusal(self, headers: Headers, token: str, *, entering: bool) -> tuple[int, str] | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same_token(given.strip(), token):
            return None
        if same_token(_cookie(headers), cookie_for(token)):
            return None
        if self.attempts.locked:
            return 429, "too many wrong tokens; wait a minute"
        if entering:
            return None
        if given:
            self.attempts.failed()
        return 401, "a token is needed; POST it to /v1/session or send Authorization: Bearer"


_HOST = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


def _same_site(headers: Headers, host: str) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _shown(path: str) -> str:
    """A path for the log: of a job's id, which opens it, only the beginning."""
    return (
        re.sub(r"(/v1/jobs/[^/]{0,6})[^/]*", r"\1…", path)[:120].encode("ascii", "backslashreplace").decode()
    )


async def _answer(send: Send, status: int, line: str, more: bool = False) -> None:
    body = json.dumps({"detail": line, "field": None}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"60")] if status == 429 else []
    headers += [(b"connection", b"close")] if more else []
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


class _Counted:
    """A request's body, counted and timed while it comes."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self.receive, self.most, self.seen = receive, most, 0
        self.end = time.monotonic() + seconds
        self.complete = self.over = False

    async def __call__(self) -> Message:
        message = await self.receive()
        self.complete = self.complete or not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > self.most or (not self.complete and time.monotonic() > self.end):
            self.over = True
            raise HTTPException(413, self.line, headers={"Connection": "close"})
        return message

    @property
    def line(self) -> str:
        return f"the request is larger than {self.most / 1e6:g} MB or took too long; send smaller files"

    async def run(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """The application with this body; its answer to one that is too long comes before the line is cut."""

        async def last(message: Message) -> None:
            if not self.over or message["type"] != "http.response.body":
                await send(message)
                return
            await send({**message, "more_body": True})
            await self.drain(send)

        await app(scope, self, last)

    async def drain(self, send: Send) -> None:
        """Throw away what still comes, for two seconds or 64 MB, then end the answer."""
        end, left = time.monotonic() + 2.0, 64_000_000
        while time.monotonic() < end and left > 0 and not self.complete:
            message = await self.receive()
            left -= len(message.get("body", b""))
            self.complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
