"""Which requests are acts that the audit log has a line of."""

from __future__ import annotations

import re

from starlette.types import Scope

from impasto.studio.http.requester import client_address
from impasto.studio.queue.audit import AuditLog

__all__ = ["RequestAudit"]

_JOB = r"/v1/jobs/([^/]+)"
#: (method, path) → act. Views and first looks leave nothing behind and are no acts.
_ACTS = [
    ("POST", re.compile(r"/v1/session()"), "sign in"),
    ("DELETE", re.compile(r"/v1/session()"), "sign out"),
    ("POST", re.compile(r"/v1/jobs()"), "paint"),
    ("POST", re.compile(rf"{_JOB}/again"), "paint again"),
    ("POST", re.compile(rf"{_JOB}/cancel"), "cancel"),
    ("DELETE", re.compile(_JOB), "delete"),
]
_SHOWN = 6  # letters of a job's id


class RequestAudit:
    """Writes a line for each act, where there are people: otherwise nobody could be named."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def record(self, scope: Scope, status: int, location: str) -> None:
        """Write a line if a request was an act.

        Args:
            status: of the response; an act that was refused has a line too.
            location: the response's header: the new job.
        """
        state = scope["state"]
        act, job = _act(scope["method"], scope["path"])
        if act is None or not state.get("people"):
            return
        requester = state.get("requester")
        person = None if requester is None or requester.person is None else requester.person.name
        facts = {"person": person, "status": status, "request": state["request_id"]}
        job = location.rpartition("/")[2] or job
        if job:
            facts["job"] = job[:_SHOWN].encode("ascii", "replace").decode()
        if act == "sign in":  # only there: it shows who guesses tokens
            facts["address"] = client_address(scope)
        self._audit.write(act, **facts)


def _act(method: str, path: str) -> tuple[str | None, str]:
    """The act, or None, and the job that the path names."""
    for acting, pattern, act in _ACTS:
        match = pattern.fullmatch(path) if method == acting else None
        if match is not None:
            return act, match[1]
    return None, ""
