"""Routes of the service itself: logging in, health, metrics."""

from __future__ import annotations

import sqlite3

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from impasto.studio.errors import RefusedError
from impasto.studio.http.bodies import content_type, read_small_body
from impasto.studio.http.guard import client_address
from impasto.studio.http.login import SESSION_COOKIE, session_cookie, tokens_match
from impasto.studio.http.metrics import metrics_text
from impasto.studio.http.openapi import SESSION_BODY
from impasto.studio.http.responses import ERROR_RESPONSES, error_responses
from impasto.studio.http.service import get_service
from impasto.studio.intake.request import parse_json_object
from impasto.studio.queue.data_folder import disk_short

__all__ = ["router"]

_COOKIE_SECONDS = 90 * 86400

router = APIRouter(responses=ERROR_RESPONSES)


@router.post(
    "/v1/session", status_code=204, responses=error_responses(413, 422, 429), openapi_extra=SESSION_BODY
)
async def log_in(request: Request) -> Response:
    """Exchange the token for a cookie."""
    service = get_service(request)
    token = service.settings.token
    if content_type(request) != "application/json":
        raise RefusedError("a body of another type", "application/json", status=415)
    sent_token = parse_json_object(await read_small_body(request), "body").get("token")
    response = Response(status_code=204)
    if token is None:
        return response
    if not isinstance(sent_token, str) or not tokens_match(sent_token, token):
        service.login_attempts.record_failure(client_address(request.scope))
        raise HTTPException(401, "that is not the token", headers={"WWW-Authenticate": "Bearer"})
    service.login_attempts.record_success(client_address(request.scope))
    response.set_cookie(
        SESSION_COOKIE, session_cookie(token), max_age=_COOKIE_SECONDS, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


@router.delete("/v1/session", status_code=204)
async def log_out(request: Request) -> Response:
    """Have this browser forget its cookie."""
    response = Response(status_code=204)
    response.delete_cookie(
        SESSION_COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


@router.get("/healthz", response_class=PlainTextResponse, responses=error_responses(503))
async def healthz(request: Request) -> str:
    """The server answers, and its workers are watched."""
    if not get_service(request).supervisor.alive:
        raise HTTPException(503, "the workers are not watched any more; the server has to be started again")
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse, responses=error_responses(503))
def readyz(request: Request) -> str:
    """The database can be written, the disk has room, and a worker is ready."""
    service = get_service(request)
    store = service.store
    try:
        store.check_writable()
    except sqlite3.Error:
        raise HTTPException(503, "the database cannot be written; see the log") from None
    if disk_short(service.settings):
        raise HTTPException(503, "the disk is short of space; the queue pauses until there is more")
    if not store.ready_worker_count():
        raise HTTPException(503, "no worker is ready yet")
    return "ready"


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    service = get_service(request)
    return Response(metrics_text(service.store, service.settings), media_type="text/plain; version=0.0.4")
