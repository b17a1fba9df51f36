"""A web server on 127.0.0.1 that fails in the ways in which real servers fail."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from weight_files import block1, torchvision_keys

STATE = block1()


def pth(state: dict[str, torch.Tensor] = STATE) -> bytes:
    buffer = io.BytesIO()
    torch.save(torchvision_keys(state), buffer)
    return buffer.getvalue()


BODY = pth()
SHA = hashlib.sha256(BODY).hexdigest()


@dataclass
class Page:
    """What the server does for one path."""

    body: bytes = BODY
    status: int = 200
    content_type: str = "application/octet-stream"
    ranges: bool = True
    #: Bytes after which the connection is cut, one for each request until they are used up.
    cuts: list[int] = field(default_factory=list)
    #: The header Content-Range of a partial answer, whatever was requested; empty: the correct one.
    content_range: str = ""
    announce_length: bool = True
    delay: float = 0.0


class Server:
    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        requested_range = handler.headers.get("Range")
        self.requests.append((handler.path, requested_range))
        page = self.pages.get(handler.path)
        if page is None or page.status != 200:
            handler.send_error(page.status if page else 404)
            return
        time.sleep(page.delay)
        start = 0
        if requested_range and page.ranges:
            start = int(requested_range.removeprefix("bytes=").rstrip("-"))
        if start >= len(page.body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(page.body)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            content_range = page.content_range or f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
            handler.send_header("Content-Range", content_range)
        handler.send_header("Content-Type", page.content_type)
        if page.announce_length:
            handler.send_header("Content-Length", str(len(page.body) - start))
        handler.end_headers()
        rest = page.body[start:]
        handler.wfile.write(rest[: page.cuts.pop(0)] if page.cuts else rest)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)
