"""Gives every refusal and failure the same form (see ``problems``)."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from impasto.studio.errors import RefusedError
from impasto.studio.http.problems import error_body
from impasto.studio.http.requester import get_requester
from impasto.studio.http.service import get_service
from impasto.studio.intake.admission import UPLOADS_POLICY
from impasto.studio.queue.attempts import FailureKind, failure_kind

__all__ = ["install_error_handlers"]

log = logging.getLogger("impasto.studio")


def install_error_handlers(app: FastAPI) -> None:
    """Answer the exceptions that routes of ``app`` raise; ``RequestGuard`` answers those nobody expects."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (OSError, sqlite3.OperationalError, MemoryError):
        app.add_exception_handler(kind, _machine_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)


def _response(
    request: Request,
    status: int,
    line: str,
    field: str | None = None,
    headers: dict[str, str] | None = None,
    policy: str | None = None,
) -> Response:
    request_id = getattr(request.state, "request_id", "unknown")
    accept = request.headers.get("accept", "")
    body, media_type = error_body(status, line, field, accept, request_id, policy)
    return Response(body, status, headers, media_type)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    # A refused upload has to be answered quickly, because many are waiting.
    if error.policy not in (None, UPLOADS_POLICY):
        requester, intake = get_requester(request), get_service(request).intake
        with suppress(sqlite3.Error):
            headers |= await run_in_threadpool(intake.rate_limits, requester.client, requester.person)
    return _response(request, error.status, str(error), error.field, headers, error.policy)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else "request"
    return _response(request, 422, f"{name}: {first['msg'].lower()}", name)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(request, error.status_code, str(error.detail), None, dict(error.headers or {}))


async def _disconnected(request: Request, _: Exception) -> Response:
    return _response(request, 400, "the connection ended before the request did")


async def _machine_error(request: Request, error: Exception) -> Response:
    """The disk, the database, or the system's limits: an answer that says whether to try again."""
    # No path: it holds the whole id of a job, which gives access to it.
    reason = error.strerror if isinstance(error, OSError) else str(error)
    log.error("%s %s: %s", request.state.request_id, type(error).__name__, reason)
    if failure_kind(error) is FailureKind.DISK_FULL:
        return _response(request, 507, "the studio's disk is full")
    line = "the studio's machine is out of memory, processes or disk for a moment; try again"
    return _response(request, 503, line, None, {"Retry-After": "10"})
