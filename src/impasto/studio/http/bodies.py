"""What comes in the body of a request."""

from __future__ import annotations

from fastapi import Request

from impasto.studio.queue import accepting
from impasto.studio.queue.accepting import Asked
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.service import studio_of

__all__ = ["asked_for", "small_body"]


async def asked_for(request: Request, *, json_too: bool) -> Asked:
    """What a request asks for, its files spooled to disk; ``RefusedError`` for another kind of body."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        most = 4 * studio_of(request).settings.files
        form = await request.form(max_files=most, max_fields=most, max_part_size=1 << 20)
        request.state.form = form
        return accepting.from_form(form.multi_items())
    if json_too and kind in ("application/json", ""):
        body = await small_body(request)
        return accepting.from_json(accepting.read_json(body, "body") if body.strip() else {})
    raise RefusedError(f"a body of type '{kind[:60]}'", "multipart/form-data", status=415)


async def small_body(request: Request, most: int = 1 << 20) -> bytes:
    """The whole body; ``RefusedError`` when there is more than ``most`` bytes of it."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most:
            raise RefusedError("a body of more than 1 MB", "settings alone", status=413)
    return bytes(found)
