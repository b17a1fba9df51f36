"""The outermost layer of the server: checks host, origin and token, adds security headers, writes the log.

It reads only a request's headers and counts the bytes of the body. The log never contains what was sent.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.studio.http.limited_body import LimitedBody
from impasto.studio.http.login import SESSION_COOKIE, LoginAttempts, session_cookie, tokens_match
from impasto.studio.settings import LOOPBACK_HOSTS, StudioSettings

__all__ = ["RequestGuard", "client_address"]

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
_HOST_HEADER = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")

log = logging.getLogger("impasto.studio")


def client_address(scope: Scope) -> str:
    """The address for which jobs are counted: IPv4, or the /64 network of an IPv6 address."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class RequestGuard:
    """ASGI middleware that refuses a request by its headers, before any route sees it."""

    def __init__(self, app: ASGIApp, settings: StudioSettings, login_attempts: LoginAttempts) -> None:
        self.app, self.settings, self.login_attempts = app, settings, login_attempts
        names = (*LOOPBACK_HOSTS, settings.host, *settings.public_name)
        self._host_names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, begin, status = secrets.token_hex(6), time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        try:
            await self._check_and_run(scope, receive, send_with_headers)
        finally:
            milliseconds = 1000 * (time.perf_counter() - begin)
            path = _loggable_path(scope["path"])
            log.info("%s %s %s %d %.0f ms", request_id, scope["method"], path, status, milliseconds)

    async def _check_and_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _send_refusal(send, *refusal)
            return
        length = headers.get("content-length", "0")
        body = LimitedBody(receive, self.settings.upload_bytes, self.settings.upload_seconds)
        if length.isdigit() and int(length) > body.max_bytes:
            await _send_refusal(send, 413, body.refusal, more_body=True)
            await body.drain(send)
            return
        await body.run(self.app, scope, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """(status, message) if the headers alone are reason to refuse a request; None if it may pass."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if _HOST_HEADER.fullmatch(host) else ""
        # Otherwise a web page whose name was made to resolve to 127.0.0.1 could reach the server (DNS
        # rebinding).
        if (self.settings.loopback or self.settings.public_name) and name not in self._host_names:
            return 421, "the Host header names another machine; use the address that the studio printed"
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _is_same_site(headers, host):
            return 403, "a request from another site; open the studio's own page"
        path = scope["path"]
        if self.settings.token is None or not path.startswith("/v1/"):
            return None
        return self._token_refusal(headers, self.settings.token, logging_in=path == "/v1/session")

    def _token_refusal(self, headers: Headers, token: str, *, logging_in: bool) -> tuple[int, str] | None:
        scheme, _, sent_token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and tokens_match(sent_token.strip(), token):
            return None
        if tokens_match(_session_cookie_of(headers), session_cookie(token)):
            return None
        if self.login_attempts.locked:
            return 429, "too many wrong tokens; wait a minute"
        if logging_in:
            return None
        if sent_token:
            self.login_attempts.record_failure()
        return 401, "a token is needed; POST it to /v1/session or send Authorization: Bearer"


def _is_same_site(headers: Headers, host: str) -> bool:
    """Whether a request comes from the studio's own page, or from a program other than a browser."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _session_cookie_of(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _loggable_path(path: str) -> str:
    """A path with only the first letters of a job's id, as the whole id gives access to the job."""
    shortened = re.sub(r"(/v1/jobs/[^/]{0,6})[^/]*", r"\1…", path)[:120]
    return shortened.encode("ascii", "backslashreplace").decode()


async def _send_refusal(send: Send, status: int, line: str, *, more_body: bool = False) -> None:
    """Answer without running the application, in the same form as ``error_handlers``."""
    body = json.dumps({"detail": line, "field": None}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"60")] if status == 429 else []
    headers += [(b"connection", b"close")] if more_body else []
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})
