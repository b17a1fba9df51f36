"""The studio's page with the static site's network: first looks are painted in the browser."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impasto
from browsing import Visit
from serving import Studio, pixels

pytest_plugins = ["browsing", "built_site"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: The first look as base64 of a PNG.
DRAWN = """() => {
  const image = document.querySelector('#frame img.instant');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL().split(',')[1];
}"""


@pytest.fixture(scope="module")
def studio(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with the site, which paints no first looks itself."""
    with Studio(tmp_path_factory.mktemp("studio"), "--web", str(folder), "--instant-minute", "0") as running:
        yield running


def test_first_looks_without_the_studio(browser: Any, studio: Studio, folder: Path, tmp_path: Path) -> None:
    """Nothing is sent, and the colours are PyTorch's."""
    user = Visit(browser, studio.url)
    user.expected = ("404",)  # what the studio answers when it is first asked for a look
    page = user.open("/")
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    assert page.evaluate("crossOriginIsolated")  # so WebAssembly has threads
    user.choose("coffee")
    user.style("wave")
    page.wait_for_selector("#frame img.instant")
    asked = len(posts)
    shown = page.evaluate("document.querySelector('#frame img.instant').src")
    user.style("mosaic")
    page.wait_for_function(
        "before => (document.querySelector('#frame img.instant')?.src ?? before) !== before", arg=shown
    )
    assert len(posts) == asked <= 1
    mine = pixels(base64.b64decode(page.evaluate(DRAWN)))
    user.verify()
    user.context.close()
    content, painting = tmp_path / "coffee.jpg", tmp_path / "painting.png"
    content.write_bytes(studio.http.get("/v1/samples/coffee/picture").content)
    impasto.instant(content, folder / "styles" / "mosaic.jpg", size=384, device="cpu").save(painting)
    theirs = pixels(painting.read_bytes())
    assert max(mine.shape) == 384
    assert theirs.shape == mine.shape
    assert np.abs(mine.mean((0, 1)) - theirs.mean((0, 1))).max() < 6


def test_the_site_is_there_too(browser: Any, studio: Studio) -> None:
    """At /web/, for whoever wants nothing to be sent at all."""
    user = Visit(browser, studio.url)
    page = user.open("/web/")
    page.wait_for_selector("body[data-engine]")
    page.click("[data-sample=chelsea]")
    page.click("[data-style=wave]")
    page.wait_for_selector("#result-frame canvas")
    user.verify()
    user.context.close()
