"""Gives every refusal and failure the same form: ``{"detail": one line, "field": …}``."""

from __future__ import annotations

import errno
import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from impasto.studio.errors import RefusedError

__all__ = ["install_error_handlers"]

log = logging.getLogger("impasto.studio")


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception that a route of ``app`` raises."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _disk_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


def _response(
    status: int, line: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"detail": line, "field": field}, status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {"Retry-After": "30"} if error.status == 429 else None
    return _response(error.status, str(error), error.field, headers)


async def _invalid_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else "request"
    return _response(422, f"{name}: {first['msg'].lower()}", name)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(error.status_code, str(error.detail), None, dict(error.headers or {}))


async def _disconnected(_: Request, __: Exception) -> Response:
    return _response(400, "the connection ended before the request did")


async def _unexpected(request: Request, _: Exception) -> Response:
    return _response(500, f"the studio failed at this; look for {request.state.request_id} in its log")


async def _disk_error(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.state.request_id, error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _response(507, "the studio's disk is full")
    return _response(500, "the studio cannot use its disk")
