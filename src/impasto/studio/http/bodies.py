"""Reading the bodies of requests."""

from __future__ import annotations

from fastapi import Request

from impasto.studio.errors import RefusedError
from impasto.studio.http.service import get_service
from impasto.studio.intake.request import JobRequest, parse_form, parse_json_body, parse_json_object

__all__ = ["content_type", "read_job_request", "read_small_body"]

_MAX_TEXT_PART = 1 << 20  # bytes


def content_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def read_job_request(request: Request, *, allow_json: bool) -> JobRequest:
    """What a request asks for, with its files spooled to disk.

    The form stays open in ``request.state.form``, whose files the caller has to close.

    Raises:
        RefusedError: status 415 for another kind of body.
    """
    media_type = content_type(request)
    if media_type == "multipart/form-data":
        max_parts = 6 * get_service(request).settings.files
        form = await request.form(max_files=max_parts, max_fields=max_parts, max_part_size=_MAX_TEXT_PART)
        request.state.form = form
        return parse_form(form.multi_items())
    if allow_json and media_type in ("application/json", ""):
        body = await read_small_body(request)
        return parse_json_body(parse_json_object(body, "body") if body.strip() else {})
    raise RefusedError(f"a body of type '{media_type[:60]}'", "multipart/form-data", status=415)


async def read_small_body(request: Request) -> bytes:
    """The whole body; raises ``RefusedError`` if it is larger than 1 MB."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_TEXT_PART:
            raise RefusedError("a body of more than 1 MB", "settings alone", status=413)
    return bytes(body)
