"""What responses of several routes have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from impasto.studio.http.views import ErrorView

__all__ = ["CACHED", "ERROR_RESPONSES", "FILE_RESPONSE", "PAGE_FOLDER", "PRIVATE", "error_responses"]

PAGE_FOLDER = Path(__file__).parents[1] / "page"
PRIVATE = {"Cache-Control": "private, no-cache"}
CACHED = {"Cache-Control": "public, max-age=86400"}

# For the OpenAPI document.
ResponseTable = dict[int | str, dict[str, Any]]


def error_responses(*statuses: int) -> ResponseTable:
    """Entries for statuses whose body is an ``ErrorView``."""
    return {status: {"model": ErrorView} for status in statuses}


ERROR_RESPONSES = error_responses(401, 403, 404, 421)
FILE_RESPONSE: ResponseTable = {
    200: {"content": {kind: {} for kind in ("image/webp", "image/jpeg", "image/png", "video/mp4")}}
}
