"""Routes of the service itself: health, metrics."""

from __future__ import annotations

import sqlite3

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from impasto.studio.http.metrics import metrics_text
from impasto.studio.http.responses import ERROR_RESPONSES, error_responses
from impasto.studio.http.service import get_service
from impasto.studio.queue.data_folder import disk_short

__all__ = ["router"]

router = APIRouter(responses=ERROR_RESPONSES)


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
