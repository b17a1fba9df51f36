"""The body of every refusal: one line, or a problem document (RFC 9457) for clients that ask for one."""

from __future__ import annotations

import json
from http import HTTPStatus

__all__ = ["error_body"]

_PROBLEM_TYPE = "application/problem+json"
_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


def error_body(
    status: int, line: str, field: str | None, accept: str, request_id: str, policy: str | None = None
) -> tuple[bytes, str]:
    """A refusal's body and its media type.

    Args:
        line: what was got, what is possible, what to do.
        field: the setting or the form part that it is about.
        accept: the request's ``Accept`` header.
        policy: name of the limit that was reached.
    """
    fields: dict[str, object] = {"detail": line, "field": field}
    if _PROBLEM_TYPE not in accept.lower():
        return json.dumps(fields).encode(), "application/json"
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    problem: dict[str, object] = {
        "type": _QUOTA_EXCEEDED if policy else "about:blank",
        "title": title,
        "status": status,
        "instance": f"urn:request:{request_id}",
    }
    if policy:
        problem["violated-policies"] = [policy]
    return json.dumps(problem | fields).encode(), _PROBLEM_TYPE
