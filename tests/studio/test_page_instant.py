"""The first look on the page: there before anything is queued, and kept up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from browsing import TINY, Visit, first_look, picture
from learned_styles import learned_style

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser

SHOWN = "document.querySelector('#frame img.instant')?.src"


def test_the_first_look_follows_style_and_strength(visit: Callable[..., Visit]) -> None:
    user = visit()
    page = user.page
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    user.choose("coffee")
    assert page.query_selector("#frame img.instant") is None
    assert page.query_selector("#instant-toggle") is None

    def next_look(change: Callable[[], None]) -> np.ndarray:
        before = page.evaluate(SHOWN)
        change()
        page.wait_for_function(f"before => {SHOWN} && {SHOWN} !== before", arg=before)
        return first_look(page)

    wave = next_look(lambda: user.style("wave"))
    assert wave.shape == (133, 200, 3)  # the sample's
    assert page.inner_text("#instant-toggle") == "First look: show the photograph"
    assert "wave" in page.get_attribute("#frame img.instant", "alt").lower()
    mosaic = next_look(lambda: user.style("mosaic"))
    assert np.abs(mosaic - wave).mean() > 8
    weak = next_look(lambda: page.fill("#strength", "5"))
    assert np.abs(weak - mosaic).mean() > 4
    assert {url.removeprefix(user.base) for url in posts} == {"/v1/instant"}  # nothing is queued

    visible = "getComputedStyle(document.querySelector('#frame img.instant')).visibility"
    page.click("#instant-toggle")
    assert page.evaluate(visible) == "hidden"
    page.click("#instant-toggle")
    assert page.evaluate(visible) == "visible"

    page.fill("#strength", "50")
    page.wait_for_function("() => !document.querySelector('#frame').hasAttribute('aria-busy')")
    user.set(TINY)
    user.paint()
    page.wait_for_selector("#live img.instant, #result:not([hidden])")
    user.finished()


def test_a_photograph_of_the_users_and_a_style_of_the_users(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    user = visit()
    user.choose(picture(tmp_path / "mine.png", 900, 600))
    user.page.set_input_files("#style-file", picture(tmp_path / "style.jpg", 700, 500, seed=5))
    user.page.wait_for_selector("#frame img.instant")
    assert user.page.eval_on_selector("#frame img.instant", "i => [i.naturalWidth, i.naturalHeight]") == [
        384,
        256,
    ]
    user.page.click("#to-new, #home >> nth=0")
    assert user.page.query_selector("#frame img.instant") is None


def test_a_learned_style_of_the_users(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit()
    user.choose("coffee")
    learned_style(tmp_path)
    user.page.set_input_files("#style-file", tmp_path / "learned.safetensors")
    tile = user.page.wait_for_selector("[data-style^='upload:'] img")
    assert tile.evaluate("i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])") == [150, 100]
    assert user.page.input_value("#presets input:checked") == "instant"
    user.page.wait_for_selector("#frame img.instant")
    user.set({"size": "64"})
    user.paint()
    job = user.finished()
    view = user.get(f"/v1/jobs/{job}").json()
    assert (view["preset"], view["styles"][0]["learned"]) == ("instant", True)
