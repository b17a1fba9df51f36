"""Every refusal has one form: ``{"detail": one line, "field": …}``."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from impasto.studio.sandbox.isolation import RefusedError

__all__ = ["install"]


def install(app: FastAPI) -> None:
    """Answer what goes wrong in ``app``."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(OSError, _no_room)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)


def _said(
    status: int, line: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"detail": line, "field": field}, status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _said(
        error.status, str(error), error.field, {"Retry-After": "30"} if error.status == 429 else None
    )


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else "request"
    return _said(422, f"{name}: {first['msg'].lower()}", name)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(error.status_code, str(error.detail), None, dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> Response:
    return _said(400, "the connection ended before the request did")


async def _failed(request: Request, _: Exception) -> Response:
    return _said(500, f"the studio failed at this; its log has it as {request.state.request_id}")


async def _no_room(request: Request, error: Exception) -> Response:
    logging.getLogger("impasto.studio").error("%s %s", request.state.request_id, error)
    full = isinstance(error, OSError) and error.errno == 28
    return _said(
        507 if full else 500, "the studio's disk is full" if full else "the studio cannot use its disk"
    )
