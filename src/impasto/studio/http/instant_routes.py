"""The route of instant pictures, which the page shows before anything is queued."""

from __future__ import annotations

from functools import partial

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from impasto.studio.http import openapi
from impasto.studio.http.bodies import read_job_request
from impasto.studio.http.requester import get_requester
from impasto.studio.http.responses import ERROR_RESPONSES, FILE_RESPONSE, error_responses
from impasto.studio.http.service import get_service

__all__ = ["router"]

router = APIRouter(responses=ERROR_RESPONSES)

#: One at a time: a picture takes one core for half a second, and paintings need the others.
_AT_ONCE = 1


@router.post(
    "/v1/instant",
    response_class=FileResponse,
    responses=FILE_RESPONSE | error_responses(400, 413, 415, 422, 429),
    openapi_extra=openapi.INSTANT_BODY,
)
async def instant_picture(request: Request) -> Response:
    """A small picture at once, painted by the preset ``instant``: JPEG; nothing is kept."""
    service, client = get_service(request), get_requester(request).client
    service.instant_intake.count(client)
    with service.views.one(client):
        job_request = await read_job_request(request, allow_json=False)
    try:
        with service.instant_intake.reserve_place():
            paint = partial(service.instant_intake.paint, job_request)
            data = await to_thread.run_sync(paint, limiter=_limiter(request))
    finally:
        await request.state.form.close()
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _limiter(request: Request) -> CapacityLimiter:
    """The application's limiter, made within its event loop."""
    state = request.app.state
    if not hasattr(state, "instant_limiter"):
        state.instant_limiter = CapacityLimiter(_AT_ONCE)
    limiter: CapacityLimiter = state.instant_limiter
    return limiter
