"""Routes of signing in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from impasto.studio.errors import RefusedError
from impasto.studio.http.bodies import content_type, read_small_body
from impasto.studio.http.login import SESSION_COOKIE, cookie_value, session_cookie, tokens_match
from impasto.studio.http.openapi import SESSION_BODY
from impasto.studio.http.requester import Requester, client_address, get_requester
from impasto.studio.http.responses import ERROR_RESPONSES, error_responses
from impasto.studio.http.service import get_service
from impasto.studio.http.views import SessionView, session_view
from impasto.studio.intake.request import parse_json_object
from impasto.studio.queue.people import Person

__all__ = ["router"]

_DAY = 86400
_SHARED_SESSION_DAYS = 90.0

router = APIRouter(responses=ERROR_RESPONSES)


@router.get("/v1/session")
def show_session(request: Request) -> SessionView:
    """Who is signed in, and what they may use and have used."""
    person = get_requester(request).person
    usage = None if person is None else get_service(request).people.usage(person)
    return session_view(person, usage)


@router.post(
    "/v1/session", status_code=204, responses=error_responses(413, 422, 429), openapi_extra=SESSION_BODY
)
async def sign_in(request: Request) -> Response:
    """Exchange a token for a cookie."""
    service, address = get_service(request), client_address(request.scope)
    if content_type(request) != "application/json":
        raise RefusedError("a body of another type", "application/json", status=415)
    token = parse_json_object(await read_small_body(request), "body").get("token")
    shared = service.settings.token
    if shared is None and not request.state.people:
        return Response(status_code=204)
    # Whoever is signed in already could otherwise guess other people's tokens unhindered.
    if seconds := service.login_attempts.seconds_locked(address):
        raise RefusedError("too many wrong tokens from this address", status=429, retry_after=seconds)
    if not isinstance(token, str):
        token = ""
    if shared is not None and tokens_match(token, shared):
        cookie, days = session_cookie(shared), _SHARED_SESSION_DAYS
    else:
        # Not in a thread: others from this address could have their guesses looked up in between.
        person = service.people.by_token(token)
        if person is None:
            service.login_attempts.record_failure(address)
            raise HTTPException(401, "that is not the token", headers={"WWW-Authenticate": "Bearer"})
        cookie, days = await run_in_threadpool(_start_session, request, person), service.settings.session_days
    service.login_attempts.record_success(address)
    await run_in_threadpool(service.people.end_session, _cookie(request))  # the browser's former one
    response = Response(status_code=204)
    response.set_cookie(
        SESSION_COOKIE, cookie, max_age=round(days * _DAY), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


def _start_session(request: Request, person: Person) -> str:
    """A session of a person; returns what its cookie holds."""
    service = get_service(request)
    request.state.requester = Requester(client_address(request.scope), person)  # for the audit log
    return service.people.start_session(person, service.settings.session_days)


@router.delete("/v1/session", status_code=204)
def sign_out(request: Request) -> Response:
    """End the session, and have this browser forget its cookie and the pictures that it keeps."""
    get_service(request).people.end_session(_cookie(request))
    response = Response(status_code=204, headers={"Clear-Site-Data": '"cache"'})
    response.delete_cookie(
        SESSION_COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


def _cookie(request: Request) -> str:
    return cookie_value(request.headers.get("cookie", ""), SESSION_COOKIE)
