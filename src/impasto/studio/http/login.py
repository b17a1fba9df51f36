"""Tokens, the cookies that stand for them in a browser, and limits of guessing them."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = [
    "SESSION_COOKIE", "LoginAttempts", "bearer_token", "cookie_value", "session_cookie", "tokens_match",
]  # fmt: skip

SESSION_COOKIE = "impasto-session"
_FREE_FAILURES = 5  # wrong tokens that an address may send before it has to wait
_FIRST_LOCK, _LONGEST_LOCK = 2.0, 900.0  # seconds
_MAX_ADDRESSES = 10_000  # remembered at once; the one that failed longest ago is forgotten


def session_cookie(token: str) -> str:
    """The cookie for the token that all share: it proves that a client knew it, but does not contain it."""
    return hmac.new(token.encode(), b"impasto session", hashlib.sha256).hexdigest()


def cookie_value(header: str, name: str) -> str:
    """A cookie's value; empty if there is none.

    Unlike ``http.cookies``, which gives up at the first cookie that it finds malformed: one of another
    program at the same host may hold JSON.
    """
    for part in header.split(";"):
        found, _, value = part.strip().partition("=")
        if found == name:
            return value.strip('"')
    return ""


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the header ``Authorization: Bearer``; empty if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def tokens_match(sent: str, expected: str) -> bool:
    """Compare in constant time, so that the time tells nothing about the token."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode())


@dataclass
class _Failures:
    count: int = 0
    locked_until: float = 0.0


class LoginAttempts:
    """Makes each address that sends wrong tokens wait, twice as long each time, up to 15 minutes.

    While it waits, the right token is refused as well: otherwise guessing would go on unhindered. Others are
    not affected, nor are browsers that are logged in.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    def record_failure(self, address: str) -> None:
        """Count a wrong token."""
        failures = self._failures.pop(address, _Failures())
        self._failures[address] = failures  # at the end: the order is that of the last failure
        while len(self._failures) > _MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        failures.count += 1
        excess = failures.count - _FREE_FAILURES
        if excess >= 0:
            wait = min(_LONGEST_LOCK, _FIRST_LOCK * 2.0 ** min(excess, 16))
            failures.locked_until = self._clock() + wait

    def record_success(self, address: str) -> None:
        """Forget an address's wrong tokens."""
        self._failures.pop(address, None)

    def seconds_locked(self, address: str) -> int:
        """How long the address still has to wait; 0: not at all."""
        failures = self._failures.get(address)
        return 0 if failures is None else max(0, math.ceil(failures.locked_until - self._clock()))
