"""The outermost layer of the server: checks host, origin and sender, adds security headers, writes the logs.

It reads only a request's headers and counts the bytes of the body. The log never contains what was sent.
"""

from __future__ import annotations

import logging
import re
import secrets
import sqlite3
import time
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.studio.certificates import certificate_names
from impasto.studio.http.audit import RequestAudit
from impasto.studio.http.authentication import Authenticator, Refusal
from impasto.studio.http.limited_body import LimitedBody
from impasto.studio.http.problems import error_body
from impasto.studio.queue.data_folder import disk_short
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import Traces, note_error

__all__ = ["RequestGuard"]

_SECURITY_HEADERS = {
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
#: Where the static site is served: its WebAssembly may be compiled, and may use threads.
_SITE_HEADERS = {
    "Content-Security-Policy": _SECURITY_HEADERS["Content-Security-Policy"].replace(
        "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_HOST_HEADER = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")

log = logging.getLogger("impasto.studio")


class RequestGuard:
    """ASGI middleware that refuses a request by its headers, before any route sees it."""

    def __init__(
        self,
        app: ASGIApp,
        settings: StudioSettings,
        authenticator: Authenticator,
        audit: RequestAudit,
        traces: Traces,
    ) -> None:
        self.app, self.settings = app, settings
        self._authenticator, self._audit, self._traces = authenticator, audit, traces
        self._headers = _SECURITY_HEADERS | (_SITE_HEADERS if settings.web else {})
        self._host_names = certificate_names(settings) | {settings.host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, begin, status = secrets.token_hex(6), time.perf_counter(), 0
        location = failure = ""

        async def send_with_headers(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        with self._traces.request(scope) as span:
            try:
                await self._check_and_run(scope, receive, send_with_headers)
            except Exception as error:
                failure = type(error).__qualname__
                log.exception("%s failed", request_id)
                if status:  # an answer has begun, which has to end with the connection
                    raise
                line = f"the studio failed at this; look for {request_id} in its log"
                await _send_refusal(Refusal(500, line), scope, receive, send_with_headers)
            finally:
                milliseconds = round(1000 * (time.perf_counter() - begin))
                facts = {
                    "request": request_id,
                    "method": scope["method"],
                    "path": _loggable_path(scope["path"]),
                    "status": status,
                    "ms": milliseconds,
                }
                log.info("%s %s %s %d %d ms", *facts.values(), extra={"facts": facts})
                self._audit.record(scope, status, location)
                span.set_attribute("impasto.request", request_id)
                if status:  # otherwise nothing was answered: the client went away
                    span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    note_error(failure or str(status))

    async def _check_and_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, limits = Headers(scope=scope), self.settings
        body = LimitedBody(
            scope, receive, limits.upload_bytes, limits.upload_seconds, disk_short=partial(disk_short, limits)
        )
        refusal = self._refusal(scope, headers) or self._authenticate(scope, headers)
        if refusal is None and body.exceeded:
            refusal = Refusal(413, body.refusal)
        scope["state"]["body"] = body
        try:
            await body.run(self.app if refusal is None else partial(_send_refusal, refusal), scope, send)
        finally:
            # It holds what receives for the connection, which holds the scope: such a circle would stay until
            # the next full collection, thousands a minute.
            del scope["state"]["body"]

    def _authenticate(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Note who sent a request; returns why it may not pass, or None."""
        try:
            outcome = self._authenticator.identify(scope, headers)
        except sqlite3.Error as error:
            log.error("signing in: %s: %s", type(error).__name__, error)
            return Refusal(503, "the studio's database does not answer; try again in a moment")
        if isinstance(outcome, Refusal):
            return outcome
        scope["state"]["requester"] = outcome
        return None

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Why host or origin of a request are reason to refuse it; None if it may pass."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if _HOST_HEADER.fullmatch(host) else ""
        # Otherwise a web page whose name was made to resolve to 127.0.0.1 could reach the server (DNS
        # rebinding).
        if (self.settings.loopback or self.settings.public_name) and name not in self._host_names:
            return Refusal(
                421, "the Host header names another machine; use the address that the studio printed"
            )
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _is_same_site(headers, host):
            return Refusal(403, "a request from another site; open the studio's own page")
        return None


def _is_same_site(headers: Headers, host: str) -> bool:
    """Whether a request comes from the studio's own page, or from a program other than a browser."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # half an IPv6 address
        return False


def _loggable_path(path: str) -> str:
    """A path with only the first letters of a job's id, as the whole id gives access to the job."""
    shortened = re.sub(r"(/v1/jobs/[^/]{0,6})[^/]*", r"\1…", path)[:120]
    return shortened.encode("unicode_escape").decode()  # control characters too, which could forge lines


async def _send_refusal(refusal: Refusal, scope: Scope, _: Receive, send: Send) -> None:
    """Answer without running the application, in the same form as ``error_handlers``."""
    status, line = refusal.status, refusal.line
    accept = Headers(scope=scope).get("accept", "")
    body, media_type = error_body(status, line, None, accept, scope["state"]["request_id"])
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if status in (429, 503):
        seconds = re.search(r"\d+", line)
        headers.append((b"retry-after", seconds[0].encode() if seconds else b"10"))
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
