"""Finds out who sent a request: by a token, or by the session of a browser."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from impasto.studio.http.login import (
    SESSION_COOKIE,
    LoginAttempts,
    bearer_token,
    cookie_value,
    session_cookie,
    tokens_match,
)
from impasto.studio.http.requester import Requester, client_address
from impasto.studio.queue.people import PEOPLE_CREDENTIAL, People, Person
from impasto.studio.settings import StudioSettings

__all__ = ["Authenticator", "Refusal"]

#: Paths outside /v1 that are not for everybody.
_PRIVATE_PATHS = {"/metrics", "/openapi.json"}
_SIGN_IN = "/v1/session"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not passed on: an HTTP status, and one line for the client."""

    status: int
    line: str


@dataclass(frozen=True)
class _Known:
    """What the database says of a request: whether there are people, and whose session and token it has."""

    people: bool
    by_session: Person | None
    by_token: Person | None


class Authenticator:
    """Tells who may pass.

    Args:
        people: who may sign in.
        attempts: wrong tokens of each address.
    """

    def __init__(self, settings: StudioSettings, people: People, attempts: LoginAttempts) -> None:
        self._settings, self._people, self._attempts = settings, people, attempts

    def identify(self, scope: Scope, headers: Headers) -> Requester | Refusal:
        """Who sent a request; a refusal if it has no right to the path.

        Raises:
            sqlite3.Error: the database does not answer.
        """
        path, address = scope["path"], client_address(scope)
        if not (path.startswith("/v1/") or path in _PRIVATE_PATHS):
            return Requester(address)
        cookie, token = cookie_value(headers.get("cookie", ""), SESSION_COOKIE), bearer_token(headers)
        known = self._look_up(cookie, token)
        scope["state"]["people"] = known.people
        if path == "/metrics":
            return self._for_metrics(address, token, cookie, known)
        shared = self._settings.token
        if shared is None and not known.people:
            return Requester(address, credential=PEOPLE_CREDENTIAL)
        if shared is not None and tokens_match(cookie, session_cookie(shared)):
            return Requester(address)
        if known.by_session is not None:
            return Requester(address, known.by_session, self._people.credential(cookie))
        return self._by_token(path, scope["method"], address, token, known.by_token)

    def _look_up(self, cookie: str, token: str) -> _Known:
        """Two rows by their keys, which no writer delays (WAL), read within the event loop.

        Handing that to a thread holds the loop up for longer: a thread that has Python's lock may have to
        wait for a processor.
        """
        if not self._people.exist():
            return _Known(False, None, None)
        return _Known(True, self._people.by_session(cookie), self._people.by_token(token))

    def _by_token(
        self, path: str, method: str, address: str, token: str, person: Person | None
    ) -> Requester | Refusal:
        if (locked := self._locked(address)) is not None:
            return locked
        if path == _SIGN_IN and method in ("POST", "DELETE"):
            return Requester(address)
        shared = self._settings.token
        is_shared = shared is not None and tokens_match(token, shared)
        if is_shared or person is not None:
            self._attempts.record_success(address)
            return Requester(address, person, None if is_shared else self._people.credential(token))
        if token:
            self._attempts.record_failure(address)
        return Refusal(401, "a token is needed; POST it to /v1/session or send Authorization: Bearer")

    def _for_metrics(self, address: str, token: str, cookie: str, known: _Known) -> Requester | Refusal:
        """Figures of all people together are for the operator only: no person's token opens them."""
        settings = self._settings
        accepted = [secret for secret in (settings.metrics_token, settings.token) if secret is not None]
        has_session = settings.token is not None and tokens_match(cookie, session_cookie(settings.token))
        if has_session or not (accepted or known.people):
            return Requester(address)
        if (locked := self._locked(address)) is not None:
            return locked
        if any(tokens_match(token, secret) for secret in accepted):
            return Requester(address)
        if token:
            self._attempts.record_failure(address)
        return Refusal(401, "the token for metrics is needed; start the studio with --metrics-token")

    def _locked(self, address: str) -> Refusal | None:
        """Why an address that has sent too many wrong tokens has to wait; None if it has not."""
        seconds = self._attempts.seconds_locked(address)
        return Refusal(429, f"too many wrong tokens from this address; wait {seconds} s") if seconds else None
