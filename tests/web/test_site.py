"""The static site in Chromium, in WebAssembly: it paints what PyTorch paints, and says what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import impasto
from browsing import DESK, Visit, picture
from built_site import by_pytorch, gap, pixels
from impasto.losses.statistics import sample_positions
from impasto.pictures.colour import with_chroma

pytest_plugins = ["browsing", "built_site"]
pytestmark = pytest.mark.browser

#: Grey levels by which equal pictures may differ on the mean.
CLOSE = 1.0


@pytest.fixture(scope="module")
def user(browser: Any, site: str) -> Iterator[Visit]:
    """A user whose page stays open for all tests of this file: loading the network takes seconds."""
    visitor = Visit(browser, site, **DESK, accept_downloads=True)
    visitor.open("/?backend=wasm")
    visitor.page.wait_for_selector("body[data-engine]")
    visitor.page.check("#sizes [value=original]")
    yield visitor
    visitor.verify()
    visitor.context.close()


def choose(user: Visit, path: Path) -> None:
    user.page.set_input_files("#file", path)
    user.page.wait_for_selector("#result-frame img")


def painted(user: Visit) -> NDArray[np.uint8]:
    """Paint at full size, and save as PNG."""
    user.page.wait_for_selector("#gallery:not([aria-busy])")
    user.page.click("#paint:not(.idle)")
    user.page.wait_for_selector("#save-bar:not([hidden])")
    with user.page.expect_download() as download:
        user.page.click("#save")
    return np.asarray(Image.open(download.value.path()).convert("RGB"))


@pytest.fixture(scope="module")
def wave(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the site's styles, small."""
    path = tmp_path_factory.mktemp("style") / "small wave.png"
    with Image.open(folder / "styles" / "wave.jpg") as style:
        style.resize((160, 160)).save(path)
    return path


def test_paints_what_pytorch_paints(user: Visit, tmp_path: Path, wave: Path) -> None:
    content = picture(tmp_path / "content.png", 203, 130)
    choose(user, content)
    user.page.set_input_files("#style-file", wave)
    user.page.fill("#strength", "70")
    mine = painted(user)
    assert gap(mine, by_pytorch(content, wave, 0.7)) < CLOSE
    settings = {"size": "original", "strength": 0.7, "precision": "float32", "device": "cpu"}
    impasto.instant(content, wave, **settings).save(tmp_path / "instant.png")
    assert gap(mine, pixels(tmp_path / "instant.png")) < CLOSE
    assert gap(mine, pixels(content)) > 4 * CLOSE
    user.page.check("#keep-colours")
    coloured = painted(user)
    tensors = [torch.from_numpy(x / 255.0).movedim(2, 0)[None].float() for x in (mine, pixels(content))]
    expected = with_chroma(*tensors)[0].movedim(0, 2).mul(255).numpy()
    assert gap(coloured, expected) < 1
    user.page.uncheck("#keep-colours")
    user.page.fill("#strength", "100")


@pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes ten seconds: make soak")
def test_a_picture_of_several_tiles_is_that_of_one(user: Visit, tmp_path: Path, wave: Path) -> None:
    content = picture(tmp_path / "content.png", 1024, 490)
    choose(user, content)
    user.page.set_input_files("#style-file", wave)
    mine = painted(user)
    tiles = user.page.evaluate(
        """async () => {
          const { tilesOf } = await import('/js/engine/tiles.js');
          return tilesOf(490, 1024, (await (await fetch('/site.json')).json()).facts).length;
        }"""
    )
    assert tiles == 2
    assert gap(mine, by_pytorch(content, wave)) < CLOSE


def test_tiles_cover_a_picture_once(user: Visit) -> None:
    """Cut and pasted again, a picture is the same; each pixel counts once."""
    assert user.page.evaluate(
        """async () => {
          const { tilesOf, cut, paste, innerWeights } = await import('/js/engine/tiles.js');
          const { facts } = await (await fetch('/site.json')).json();
          const [width, height] = [1300, 1029];
          const value = (_, i) => (i % 4 === 3 ? 255 : (i * 7919) % 256);
          const data = Uint8ClampedArray.from({ length: 4 * width * height }, value);
          const copy = { width, height, data: new Uint8ClampedArray(data.length) };
          let weight = 0;
          for (const tile of tilesOf(height, width, facts)) {
            paste(copy, cut({ width, height, data }, tile, facts).values, tile);
            weight += innerWeights(tile).reduce((a, b) => a + b, 0);
          }
          return [copy.data.every((x, i) => x === data[i]), weight];
        }"""
    ) == [True, 1304 * 1032]


@pytest.mark.parametrize("size", [1, 700, 1024, 5000])
def test_styles_are_sampled_where_pytorch_samples_them(user: Visit, size: int) -> None:
    mine = user.page.evaluate(
        """async (size) => {
          const { samplePositions } = await import('/js/engine/sampling.js');
          return Array.from(samplePositions(1024, size), Number);
        }""",
        size,
    )
    assert mine == np.resize(sample_positions(1024, 1, size).numpy(), 1024).tolist()


def test_says_that_it_paints_while_the_picture_before_can_be_compared(user: Visit, tmp_path: Path) -> None:
    """So that a tap is seen to do something, and the gallery does not move under the finger."""
    page = user.page
    choose(user, picture(tmp_path / "content.png", 64, 48))
    page.click("[data-style=wave]")
    page.wait_for_selector("#compare-field:not([hidden])")
    seen = page.evaluate(
        """() => new Promise((resolve) => {
          const [about, compare] = ['about', 'compare-field'].map((id) => document.getElementById(id));
          const seen = [];
          new MutationObserver(() => {
            seen.push([about.textContent, compare.checkVisibility()]);
            if (about.textContent.startsWith('First look')) resolve(seen);
          }).observe(about, { childList: true });
          document.querySelector('[data-style=glass]').click();
        })"""
    )
    assert seen[0] == ["Painting …", True]
    assert seen[-1] == ["First look: 64 × 48", True]


def test_several_styles_are_blended(user: Visit, tmp_path: Path) -> None:
    content = picture(tmp_path / "content.png", 96, 80)
    choose(user, content)
    user.page.click("[data-style=wave]")
    wave = painted(user)
    user.page.click("label:has(#blend)")
    user.page.click("[data-style=glass]")
    both = painted(user)
    assert user.page.locator("#weights input").count() == 2
    user.page.locator("#weights input").first.fill("0")
    glass = painted(user)
    assert gap(wave, glass) > 10
    assert gap(both, wave) < gap(wave, glass)
    assert gap(both, glass) < gap(wave, glass)
    user.page.click("label:has(#blend)")


def test_saved_as_jpeg_and_shared(user: Visit, tmp_path: Path) -> None:
    page = user.page
    page.evaluate(
        """() => {
          navigator.canShare = () => true;
          navigator.share = async ({ files }) => { window.shared = [files[0].name, files[0].type]; };
        }"""
    )
    choose(user, picture(tmp_path / "holiday.png", 64, 48))
    page.click("[data-style=wave]")
    painted(user)
    page.select_option("#format", "jpeg")
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "impasto-holiday.jpg"
    with Image.open(download.value.path()) as saved:
        assert (saved.format, saved.size) == ("JPEG", (64, 48))
    page.click("#share")
    page.wait_for_function("() => window.shared")
    assert page.evaluate("window.shared") == ["impasto-holiday.jpg", "image/jpeg"]
    page.select_option("#format", "png")


def test_too_little_memory_is_said_and_the_page_goes_on(user: Visit, tmp_path: Path) -> None:
    worker = user.page.workers[0]
    worker.evaluate(
        """() => {
          self.Own = Float32Array;
          self.Float32Array = class {
            constructor() { throw new RangeError('Array buffer allocation failed'); }
          };
        }"""
    )
    choose(user, picture(tmp_path / "large.png", 60, 40))
    user.page.click("[data-style=wave]")
    user.page.wait_for_selector("#paint-error:not([hidden])")
    said = "This device has too little memory for that size. Choose a smaller one."
    assert user.page.inner_text("#paint-error") == said
    worker.evaluate("() => { self.Float32Array = self.Own; }")
    assert painted(user).shape == (40, 60, 3)
    assert user.page.is_hidden("#paint-error")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.jpg", "not a picture"),
        ("dot.png", "1 × 1 pixels"),
        ("vast.jpg", "100 megapixels"),
        ("half.jpg", ""),
    ],
)
def test_bad_files_are_refused_in_a_sentence(user: Visit, tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / name
    if name == "text.jpg":
        path.write_text("This is not a picture.")
    elif name == "half.jpg":
        whole = picture(tmp_path / "whole.jpg", 300, 200).read_bytes()
        path.write_bytes(whole[:200])
    else:
        Image.new("L", (1, 1) if name == "dot.png" else (10_000, 10_000)).save(path)
    user.page.set_input_files("#file", path)
    user.page.wait_for_selector("#source-error:not([hidden])")
    said = user.page.inner_text("#source-error")
    assert words in said
    assert name in said
    assert re.fullmatch(r"[^\n]{20,140}\.", said)
    user.page.set_input_files("#style-file", path)
    user.page.wait_for_selector("#style-error:not([hidden])")
    assert user.page.inner_text("#style-error") == said
    choose(user, picture(tmp_path / "good.png"))
    assert user.page.is_hidden("#source-error")
    user.page.click("[data-style=wave]")
    assert painted(user).shape == (60, 90, 3)
