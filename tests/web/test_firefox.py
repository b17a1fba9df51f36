"""The static site in Firefox, for ``make soak``: photographs, clips and the live view."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browsing import picture
from built_site import by_pytorch, gap
from clips import moving_square, write_clip
from firefox import Firefox

pytest_plugins = ["built_site"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="another browser: make soak"),
]

SHOWN = "(selector => document.querySelector(selector)?.checkVisibility())"


@pytest.fixture(scope="module")
def browser(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with Firefox(tmp_path_factory.mktemp("firefox") / "profile") as started:
        started.open(f"{site}/?backend=wasm")
        started.wait("document.querySelector('body[data-engine]') !== null")
        yield started


def test_paints_what_pytorch_paints(browser: Firefox, tmp_path: Path) -> None:
    content, style = picture(tmp_path / "content.png", 203, 130), picture(tmp_path / "style.png", 96, 96, 3)
    browser.click("#sizes [value=original]")
    browser.choose_file("#file", content)
    browser.choose_file("#style-file", style)
    browser.wait("!document.querySelector('#paint').classList.contains('idle')")
    browser.click("#paint")
    browser.wait(f"{SHOWN}('#save-bar')")
    drawn = browser.run("return document.querySelector('#result-frame canvas').toDataURL().split(',')[1];")
    mine = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn))).convert("RGB"))
    assert gap(mine, by_pytorch(content, style)) < 1


def test_a_clip_is_painted(browser: Firefox, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.webm", moving_square(3), codec="libvpx-vp9", pix_fmt="yuv420p")
    browser.choose_file("#file", clip)
    browser.wait("document.querySelector('#paint').textContent === 'Paint 3 frames at 512 × 342'")
    browser.click("#sizes [value=original]")
    browser.wait("document.querySelector('#paint').textContent === 'Paint 3 frames at 96 × 64'")
    browser.click("#paint")
    browser.wait(
        f"{SHOWN}('#result-frame video') && document.querySelector('#result-frame video').readyState > 1"
    )
    assert browser.run("return document.querySelector('#about').textContent;").startswith("Painted: 3 frames")
    assert browser.run("const v = document.querySelector('#result-frame video'); return v.videoWidth;") == 96


def test_the_live_view_paints(browser: Firefox) -> None:
    browser.click("#back")
    browser.click("#live-open")
    browser.wait("document.querySelector('#live').dataset.rate > 0")
    assert not browser.run(f"return {SHOWN}('#source-error');")
    browser.click("#live-close")
