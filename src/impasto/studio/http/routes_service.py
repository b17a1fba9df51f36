"""Routes to the service itself: the token's cookie, health, figures."""

from __future__ import annotations

import sqlite3

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from impasto.studio.http import schema
from impasto.studio.http.answers import REFUSALS
from impasto.studio.http.bodies import small_body
from impasto.studio.http.guard import COOKIE, cookie_for, same_token
from impasto.studio.http.metrics import exposition
from impasto.studio.http.views import Problem
from impasto.studio.queue import accepting
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.service import studio_of

__all__ = ["router"]

router = APIRouter(responses=REFUSALS)


@router.post(
    "/v1/session",
    status_code=204,
    responses={code: {"model": Problem} for code in (413, 422, 429)},
    openapi_extra=schema.SESSION,
)
async def session(request: Request) -> Response:
    """A cookie for who knows the token."""
    settings = studio_of(request).settings
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise RefusedError("a body of another type", "application/json", status=415)
    given = accepting.read_json(await small_body(request), "body").get("token")
    answer = Response(status_code=204)
    if settings.token is None:
        return answer
    if not isinstance(given, str) or not same_token(given, settings.token):
        studio_of(request).attempts.failed()
        raise HTTPException(401, "that is not the token", headers={"WWW-Authenticate": "Bearer"})
    answer.set_cookie(
        COOKIE, cookie_for(settings.token), max_age=90 * 86400, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """The server answers."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse, responses={503: {"model": Problem}})
def readyz(request: Request) -> str:
    """The database can be written and a worker is ready."""
    studio = studio_of(request)
    try:
        studio.jobs.check_writable()
    except sqlite3.Error as error:
        raise HTTPException(503, f"the database cannot be written: {error}") from None
    if not studio.supervisor.alive():
        raise HTTPException(503, "no worker is ready yet")
    return "ready"


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    studio = studio_of(request)
    return Response(exposition(studio.jobs, studio.settings), media_type="text/plain; version=0.0.4")
