"""The static site, built where npm is and served on this machine; for test files that name this module in
``pytest_plugins``."""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from browsing import FULL_CHROMIUM, SWITCHES, Visit
from conftest import ROOT
from impasto import samples
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.networks.registry import load_encoder
from impasto.studio.http.responses import PAGE_FOLDER


class _QuietHandler(SimpleHTTPRequestHandler):
    #: (path, bytes) of every answer, where somebody keeps account.
    sent: ClassVar[list[tuple[str, int]] | None] = None

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        if self.sent is not None:
            self.sent.append((self.path, len(data)))
        outputfile.write(data)


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """The module ``web/build.py``."""
    spec = importlib.util.spec_from_file_location("web_build", ROOT / "web" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folder(builder: ModuleType) -> Path:
    """The site as `make web` builds it, from the sources as they are now; tests beside these wait for it.

    But for its styles: they are the studio's thumbnails, because painting them takes half a minute.
    """
    built: Path = ROOT / "build" / "web-tests"
    built.mkdir(parents=True, exist_ok=True)
    with FileLock(built.with_suffix(".lock")):
        _install_packages(builder.PACKAGES)
        with patch.object(samples, "painting", _thumbnail):
            builder.build(built)
    return built


def _thumbnail(name: str, **_: Any) -> torch.Tensor:
    levels = torch.from_numpy(pixels(PAGE_FOLDER / "styles" / f"{name}.webp"))
    return levels.movedim(2, 0)[None] / 255.0


def _install_packages(folder: Path) -> None:
    """Install the packages that package.json names where one is missing or old, or skip with the reason."""
    wanted = _read(ROOT / "package.json")
    versions = wanted["dependencies"] | wanted["devDependencies"]
    if all(_read(folder / name / "package.json").get("version") == versions[name] for name in versions):
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here: it delivers the static site's runtime")
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"npm ci: {done.stderr.strip()[-200:] or done.returncode}")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[str]:
    """The site's address."""
    with served(folder) as (address, _):
        yield address


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The address of a server of its own, and (path, bytes) of the bodies that it has sent."""
    sent: list[tuple[str, int]] = []
    handler = type("Handler", (_QuietHandler,), {"sent": sent})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


# -- what the site's pictures are compared with ------------------------------------------------------------


def gap(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean difference of pixels in grey levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def by_pytorch(
    content: Path, style: Path, strength: float = 1.0, tile: int | None = None
) -> NDArray[np.float32]:
    """The picture that PyTorch paints in float32, not rounded."""
    network = InstantNetwork(load_encoder(), load_decoder())
    tensors = [
        torch.from_numpy(pixels(path) / 255.0).float().movedim(2, 0)[None] for path in (content, style)
    ]
    regions = [StyledRegion(network.remember(tensors[1]))]
    result = network.paint(tensors[0], regions, strength=strength, tile=tile)
    return result[0].movedim(0, 2).mul(255).numpy()


# -- the live view -------------------------------------------------------------------------------------------

#: How a Chromium is started that has two cameras with a moving picture.
CAMERA: dict[str, Any] = {
    "executable_path": FULL_CHROMIUM,
    "args": [*SWITCHES, "--use-fake-device-for-media-stream=device-count=2"],
}
needs_full_chromium = pytest.mark.skipif(
    not Path(FULL_CHROMIUM).exists(), reason="no whole chromium here: apt-get install chromium"
)
FRAMES = "window.painted"
#: Counts the frames that reach the page, and keeps the brightness of one of its pixels.
COUNTER = """() => {
  window.painted = 0;
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    if (this.canvas.id === 'live-canvas') window.painted += 1;
    return put.apply(this, given);
  };
}"""

#: Asks for a small picture: what Chromium keeps of large ones would hide what the page keeps.
SMALL_CAMERA = """(() => {
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = () => own({ video: { width: 320, height: 240 } });
})()"""


def resident_bytes(browser: Any) -> int:
    """Memory of the browser's renderers."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(psutil.Process(p["id"]).memory_info().rss for p in processes if p["type"] == "renderer")


def live_view(browser: Any, site: str, **options: Any) -> Visit:
    """A visit whose live view paints a small picture of the camera, in the style of the wave."""
    user = Visit(browser, site, permissions=["camera"], **options)
    user.context.add_init_script(SMALL_CAMERA)
    page = user.open("/?backend=wasm")
    page.evaluate(COUNTER)
    page.wait_for_selector("body[data-engine]")
    page.click("[data-style=wave]")
    page.click("#live-open")
    page.wait_for_selector("#live[data-rate]")
    return user
