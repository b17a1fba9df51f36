"""What takes minutes, for ``make soak``: 2048 pixels, a minute of the live view, and WebGPU in software."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browsing import CHROMIUM, DESK, SWITCHES, Visit, picture
from built_site import CAMERA, FRAMES, by_pytorch, gap, live_view, needs_full_chromium, resident_bytes

pytest_plugins = ["browsing", "built_site"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes minutes: make soak"),
    pytest.mark.timeout(1200),
]

#: Seconds of the live view: before the memory is measured, and while it is.
WARM_UP, MEASURED, PAUSE = 15, 60, 5
#: Bytes by which the renderers may differ between the beginning and the end of that minute.
LARGEST_GROWTH = 30e6


def test_a_picture_of_2048_pixels_is_pytorchs(browser: Any, site: str, folder: Path, tmp_path: Path) -> None:
    content, style = picture(tmp_path / "content.png", 2048, 1362), tmp_path / "style.png"
    with Image.open(folder / "styles" / "wave.jpg") as wave:
        wave.resize((160, 160)).save(style)
    user = Visit(browser, site, **DESK, accept_downloads=True)
    user.context.set_default_timeout(1_000_000)
    page = user.open("/?backend=wasm")
    page.check("#sizes [value='2048']")
    page.set_input_files("#file", content)
    page.set_input_files("#style-file", style)
    page.wait_for_selector("#gallery:not([aria-busy])")
    page.click("#paint:not(.idle)")
    page.wait_for_selector("#save-bar:not([hidden])")
    mine = saved(page)
    user.verify()
    user.context.close()
    assert mine.shape == (1362, 2048, 3)
    assert gap(mine, by_pytorch(content, style, tile=512)) < 2


@pytest.fixture
def camera(browser: Any) -> Iterator[Any]:
    switches = [*CAMERA["args"], "--js-flags=--expose-gc"]
    started = browser.browser_type.launch(executable_path=CAMERA["executable_path"], args=switches)
    yield started
    started.close()


@needs_full_chromium
def test_a_minute_of_the_live_view_does_not_grow(camera: Any, site: str) -> None:
    user = live_view(camera, site)
    page = user.page
    page.wait_for_timeout(1000 * WARM_UP)
    frames = page.evaluate(FRAMES)
    sizes = []
    for _ in range(MEASURED // PAUSE):
        page.wait_for_timeout(1000 * PAUSE)
        for place in (page, *page.workers):
            place.evaluate("gc()")  # how much garbage there is depends on the machine's other work
        sizes.append(resident_bytes(camera))
    painted = page.evaluate(FRAMES) - frames
    quarter = len(sizes) // 4
    growth = np.median(sizes[-quarter:]) - np.median(sizes[:quarter])
    assert painted > MEASURED / 2
    assert growth < LARGEST_GROWTH, [round(size / 1e6) for size in sizes]
    user.verify()
    user.context.close()


#: WebGPU by SwiftShader, a graphics card that is a program.
SOFTWARE_CARD = [
    *(switch for switch in SWITCHES if switch != "--disable-gpu"),
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
]
ADAPTER = "async () => Boolean(await navigator.gpu?.requestAdapter())"
#: Ends the worker's graphics card, as a crash of its driver does.
LOSE = """async () => {
  const { env } = await import(`${location.origin}/runtime/ort.min.mjs`);
  (await env.webgpu.device).destroy();
}"""


def test_webgpu_paints_what_pytorch_paints_and_may_be_lost(browser: Any, site: str, tmp_path: Path) -> None:
    """On the card as by PyTorch; when it is lost in the middle of a picture, the processor paints that."""
    started = browser.browser_type.launch(executable_path=CHROMIUM, args=SOFTWARE_CARD)
    user = Visit(started, site, **DESK, accept_downloads=True)
    user.context.set_default_timeout(600_000)
    user.expected = ("mapAsync",)  # the runtime's own promise, when the card is lost
    page = user.open("/?backend=webgpu")
    if not page.evaluate(ADAPTER):
        pytest.skip("this Chromium has no WebGPU in software")
    page.wait_for_selector("body[data-engine^=webgpu]")
    content, style = picture(tmp_path / "content.png", 40, 32), picture(tmp_path / "style.png", 32, 32, 3)
    page.check("#sizes [value=original]")
    page.set_input_files("#file", content)
    page.set_input_files("#style-file", style)
    page.click("#paint:not(.idle)")
    page.wait_for_selector("#save-bar:not([hidden])")
    assert gap(saved(page), by_pytorch(content, style)) < 1
    assert "graphics card" in page.inner_text("#engine")

    page.fill("#strength", "50")
    page.click("#paint:not(.idle)")
    page.workers[0].evaluate(LOSE)
    page.wait_for_selector("body[data-engine^=wasm]")
    assert page.inner_text("#engine").startswith("The graphics card has stopped. Painted on the processor")
    page.wait_for_selector("#save-bar:not([hidden])")
    assert gap(saved(page), by_pytorch(content, style, 0.5)) < 1
    assert page.is_hidden("#paint-error")
    user.verify()
    started.close()


def saved(page: Any) -> np.ndarray:
    """The painting, saved as PNG."""
    with page.expect_download() as download:
        page.click("#save")
    return np.asarray(Image.open(download.value.path()).convert("RGB"))
