"""What answers have in common: kinds of files, how long they may be kept, how a request may be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from impasto.studio.http.views import Problem

__all__ = ["KEPT", "PAGE", "PICTURE", "PRIVATE", "REFUSALS"]

PAGE = Path(__file__).parents[1] / "page"
PRIVATE = {"Cache-Control": "private, no-cache"}
KEPT = {"Cache-Control": "public, max-age=86400"}
REFUSALS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (401, 403, 404, 421)}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in ("image/webp", "image/jpeg", "image/png", "video/mp4")}}
}
