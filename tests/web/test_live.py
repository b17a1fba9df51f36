"""The live view with Chromium's fake camera: frames keep coming, memory does not grow, a clip can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accessibility import violations
from browsing import Visit
from built_site import CAMERA, COUNTER, FRAMES, live_view, needs_full_chromium, resident_bytes

pytest_plugins = ["browsing", "built_site"]
pytestmark = [pytest.mark.browser, needs_full_chromium]


#: Keeps which camera the page asks for.
NOTE_CAMERA = """() => {
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.opened = [];
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    window.facing = wanted.video.facingMode;
    const stream = await own(wanted);
    window.opened.push(stream.getVideoTracks()[0]);
    return stream;
  };
}"""


LIVE = "window.opened.filter(({ readyState }) => readyState === 'live').length"


@pytest.fixture(scope="module")
def cameras(browser: Any) -> Iterator[Any]:
    """A browser with two cameras that show a moving picture."""
    started = browser.browser_type.launch(**CAMERA)
    yield started
    started.close()


def test_a_live_view_runs_without_growing(cameras: Any, site: str) -> None:
    user = live_view(cameras, site, accept_downloads=True)
    page = user.page
    page.evaluate(
        "() => { const now = performance.now.bind(performance); performance.now = () => 20 * now(); }"
    )
    # What seems twenty times slower is painted smaller.
    page.wait_for_function("() => /^192 × 144, /.test(document.querySelector('#live-about').textContent)")
    before, frames = resident_bytes(cameras), page.evaluate(FRAMES)
    page.click("#live-record")
    page.wait_for_function(f"() => {FRAMES} > {frames + 4}")
    with page.expect_download() as download:
        page.click("#live-record")
    assert resident_bytes(cameras) - before < 60e6
    assert download.value.suggested_filename == "impasto-live.webm"
    assert Path(download.value.path()).read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML, as WebM begins
    assert violations(page) == []

    page.click("#live-photograph")  # becomes the photograph, at the camera's full size
    page.wait_for_selector("#result-frame canvas")
    assert page.is_hidden("#live")
    width = page.eval_on_selector("#result-frame img", "image => image.naturalWidth")
    assert width >= 640
    user.verify()
    user.context.close()


def test_a_hidden_page_does_not_paint(cameras: Any, site: str) -> None:
    user = Visit(cameras, site, permissions=["camera"])
    page = user.open("/?backend=wasm")
    page.evaluate(COUNTER)
    page.evaluate(NOTE_CAMERA)
    page.evaluate("for (let tap = 0; tap < 2; tap += 1) document.getElementById('live-open').click()")
    page.wait_for_function(f"() => {FRAMES} > 2")
    assert page.evaluate(LIVE) == 1  # a second tap leaves no camera running behind
    assert page.inner_text("#live-about") == "Tap a style"
    set_hidden = """hidden => {
      Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(set_hidden, True)
    page.wait_for_timeout(300)
    frames = page.evaluate(FRAMES)
    page.wait_for_timeout(700)
    assert page.evaluate(FRAMES) == frames
    assert "Paused" in page.inner_text("#live-about")
    page.evaluate(set_hidden, False)
    page.wait_for_function(f"() => {FRAMES} > {frames + 2}")
    page.click("#live-turn")
    frames = page.evaluate(FRAMES)
    page.wait_for_function(f"() => {FRAMES} > {frames + 2}")
    assert page.evaluate("window.facing") == "user"
    page.click("#live-close")
    assert page.is_visible("#start")
    assert page.evaluate(LIVE) == 0
    user.verify()
    user.context.close()


def test_a_refused_camera_and_none_at_all(cameras: Any, browser: Any, site: str) -> None:
    for engine, words in ((cameras, "may not be used"), (browser, "No camera was found")):
        user = Visit(engine, site)
        page = user.open("/?backend=wasm")
        page.click("#live-open")
        page.wait_for_selector("#source-error:not([hidden])")
        assert words in page.inner_text("#source-error")
        assert page.is_visible("#start")
        user.verify()
        user.context.close()
