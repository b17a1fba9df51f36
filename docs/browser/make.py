"""Makes the picture of ``docs/browser.md``: ``python docs/browser/make.py``, after ``make web``.

The photograph is one of scikit-image's, the style one of Impasto's own paintings.
"""

from __future__ import annotations

import functools
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from browsing import DESK, Visit, chromium  # noqa: E402


def take(page: Path, to: Path) -> None:
    """A screenshot of the page with a finished painting, half before and half after."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(page))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with chromium() as browser:
        user = Visit(browser, f"http://127.0.0.1:{server.server_port}", **DESK)
        shown = user.open("/?backend=wasm")
        shown.click("[data-sample=coffee]")
        shown.click("[data-style=wave]")
        shown.wait_for_selector("#gallery:not([aria-busy])")
        shown.click("#paint:not(.idle)")
        shown.wait_for_selector("#save-bar:not([hidden])")
        shown.fill("#compare", "38")
        shown.evaluate("scrollTo(0, 0)")
        shown.wait_for_timeout(400)
        shown.screenshot(path=to.with_suffix(".png"))
        user.verify()
    server.shutdown()
    with Image.open(to.with_suffix(".png")) as picture:
        picture.convert("RGB").save(to, quality=84, optimize=True)
    to.with_suffix(".png").unlink()


if __name__ == "__main__":
    take(ROOT / "build" / "web", Path(__file__).with_name("page.jpg"))
