"""The token and the cookie that stands for it in a browser."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import deque

__all__ = ["SESSION_COOKIE", "LoginAttempts", "session_cookie", "tokens_match"]

SESSION_COOKIE = "impasto-session"
_MAX_FAILURES, _WINDOW_SECONDS = 20, 60.0


def session_cookie(token: str) -> str:
    """The cookie's value: it proves that a client knew the token, but does not contain it."""
    return hmac.new(token.encode(), b"impasto session", hashlib.sha256).hexdigest()


def tokens_match(sent: str, expected: str) -> bool:
    """Compare in constant time, so that the time tells nothing about the token."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode())


class LoginAttempts:
    """Counts recent wrong tokens of all clients together: guessing stays slow from however many addresses."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=_MAX_FAILURES)

    def record_failure(self) -> None:
        """Count a wrong token."""
        self._failures.append(time.monotonic())

    @property
    def locked(self) -> bool:
        """Whether there were too many within a minute."""
        full = len(self._failures) == _MAX_FAILURES
        return full and time.monotonic() - self._failures[0] < _WINDOW_SECONDS
