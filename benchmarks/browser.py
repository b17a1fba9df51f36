"""Frames per second of the live view's network in Chromium, by WebAssembly: ``python benchmarks/browser.py``.

Needs what ``make web`` builds. Frames of 384×288 are painted one after the other as the live view does,
without a camera; the first ones, which compile and read the style, are not counted. On a page that is
isolated from others WebAssembly uses threads. Processor time is that of the browser's renderers: on a machine
that has other work, it says more than the rate.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parents[1] / "build" / "web"
WIDTH, HEIGHT, WARM_UP, FRAMES = 384, 288, 5, 40

PAINT = """async ([width, height, frames]) => {
  const { paintPicture, startPainter } = await import('/js/painter.js');
  const { backend, threads } = await startPainter();
  const values = (seed) => Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => (
    i % 4 === 3 ? 255 : 128 + 100 * Math.sin((i + 977 * seed) / 41) * Math.cos((i + seed) / 1997)));
  const style = { key: 'style', weight: 1, width, height, data: values(9) };
  const start = performance.now();
  for (let frame = 0; frame < frames; frame += 1) {
    const picture = { key: 'camera', width, height, data: values(frame) };
    await paintPicture({ picture, styles: [style], strength: 1, keepColours: false }, { isFrame: true });
  }
  return { backend, threads, rate: frames * 1000 / (performance.now() - start) };
}"""


class _Handler(SimpleHTTPRequestHandler):
    isolated = False

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


def measure(browser: Any, isolated: bool) -> dict[str, Any]:
    """Backend, threads, and frames per second."""
    handler = type("Handler", (_Handler,), {"isolated": isolated})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(service_workers="block")  # it would isolate the page
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.goto(f"http://127.0.0.1:{server.server_port}/?backend=wasm")
    page.wait_for_selector("body[data-engine]")
    page.evaluate(PAINT, [WIDTH, HEIGHT, WARM_UP])
    begin = renderer_seconds(browser)
    found: dict[str, Any] = page.evaluate(PAINT, [WIDTH, HEIGHT, FRAMES])
    found["cpu_seconds_per_frame"] = (renderer_seconds(browser) - begin) / FRAMES
    context.close()
    server.shutdown()
    return found


def renderer_seconds(browser: Any) -> float:
    """Processor time that the browser's renderers have used."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return float(sum(process["cpuTime"] for process in processes if process["type"] == "renderer"))


def main() -> None:
    executable = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for isolated in (False, True):
            found = measure(browser, isolated)
            load = os.getloadavg()[0]
            print(json.dumps(found | {"size": [WIDTH, HEIGHT], "processors": os.cpu_count(), "load": load}))
        browser.close()


if __name__ == "__main__":
    main()
