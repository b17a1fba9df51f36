"""The outermost layer of the server: checks host, origin and token, adds security headers, writes the log.

It reads only a request's headers and counts the bytes of the body. The log never contains what was sent.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.studio.http.limited_body import LimitedBody
from impasto.studio.http.login import (
    SESSION_COOKIE,
    LoginAttempts,
    cookie_value,
    session_cookie,
    tokens_match,
)
from impasto.studio.http.problems import error_body
from impasto.studio.queue.data_folder import disk_short
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
#: Where the static site is served: its WebAssembly may be compiled, and may use threads.
_SITE_HEADERS = {
    "Content-Security-Policy": _SECURITY_HEADERS["Content-Security-Policy"].replace(
        "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
}
#: Paths outside /v1 that need the token, where there is one.
_PRIVATE_PATHS = {"/metrics", "/openapi.json"}
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
        self._headers = _SECURITY_HEADERS | (_SITE_HEADERS if settings.web else {})
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
                for name, value in self._headers.items():
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
            await _send_refusal(scope, send, *refusal)
            return
        length = headers.get("content-length", "0")
        limits = self.settings
        body = LimitedBody(
            receive, limits.upload_bytes, limits.upload_seconds, disk_short=partial(disk_short, limits)
        )
        if length.isdigit() and int(length) > body.max_bytes:
            await _send_refusal(scope, send, 413, body.refusal, more_body=True)
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
        token, path = self.settings.token, scope["path"]
        metrics_token = self.settings.metrics_token
        if path == "/metrics" and metrics_token is not None:
            if tokens_match(_bearer_token(headers), metrics_token):
                return None
            token = token or metrics_token
        if token is None or not (path.startswith("/v1/") or path in _PRIVATE_PATHS):
            return None
        return self._token_refusal(scope, headers, token)

    def _token_refusal(self, scope: Scope, headers: Headers, token: str) -> tuple[int, str] | None:
        """Why a request to something private is refused; None if it has the token or a session."""
        cookie = cookie_value(headers.get("cookie", ""), SESSION_COOKIE)
        if tokens_match(cookie, session_cookie(token)):
            return None
        address, sent_token = client_address(scope), _bearer_token(headers)
        if seconds := self.login_attempts.seconds_locked(address):
            return 429, f"too many wrong tokens from this address; wait {seconds} s"
        if scope["path"] == "/v1/session":
            return None
        if tokens_match(sent_token, token):
            self.login_attempts.record_success(address)
            return None
        if sent_token:
            self.login_attempts.record_failure(address)
        return 401, "a token is needed; POST it to /v1/session or send Authorization: Bearer"


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


def _bearer_token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _loggable_path(path: str) -> str:
    """A path with only the first letters of a job's id, as the whole id gives access to the job."""
    shortened = re.sub(r"(/v1/jobs/[^/]{0,6})[^/]*", r"\1…", path)[:120]
    return shortened.encode("unicode_escape").decode()  # control characters too, which could forge lines


async def _send_refusal(scope: Scope, send: Send, status: int, line: str, *, more_body: bool = False) -> None:
    """Answer without running the application, in the same form as ``error_handlers``."""
    accept = Headers(scope=scope).get("accept", "")
    body, media_type = error_body(status, line, None, accept, scope["state"]["request_id"])
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 429:
        seconds = re.search(r"\d+", line)
        headers.append((b"retry-after", seconds[0].encode() if seconds else b"60"))
    headers += [(b"connection", b"close")] if more_body else []
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})
