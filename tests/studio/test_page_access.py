"""The studio's page on phones, by keyboard and screen reader, in light and dark, offline; and with clips."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browsing import DESK, NO_SERVICE_WORKER, PHONE, TINY, Visit, picture
from clips import moving_square, write_clip
from impasto.studio.http.responses import PAGE_FOLDER
from serving import served_here

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser


# -- the phone -----------------------------------------------------------------------------------------

#: Controls smaller than a touch target (44 pixels); an input inside its label counts as the label.
SMALL = """() => [...document.querySelectorAll('a, button, input, select, summary, [tabindex="0"]')]
  .map(element => element.matches('label input:not([type=range])') ? element.closest('label') : element)
  .filter(element => element.checkVisibility({ visibilityProperty: true }) && !element.matches('.skip, pre'))
  .map(element => [element.outerHTML.slice(0, 90), element.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
WIDE = "document.documentElement.scrollWidth"


def test_touch_targets_and_no_horizontal_scrolling(visit: Callable[..., Visit], painted: str) -> None:
    """At 390 pixels and at 320, in every view and dialog."""
    user = visit(**PHONE)
    page = user.page

    def check() -> None:
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 700})
            assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)

    check()
    user.choose()
    page.evaluate("document.getElementById('blend').checked = true")
    user.style("wave")
    user.style("swirl")
    page.evaluate("document.getElementById('more').open = true")
    check()
    page.click("#mask-open")
    page.click(".numbers summary")
    check()
    page.keyboard.press("Escape")
    user.open(f"/#job/{painted}")
    page.reload()
    user.finished()
    check()
    page.click("#zoom-open")
    check()


def test_the_button_stays_in_reach(visit: Callable[..., Visit]) -> None:
    user = visit(**PHONE)
    for top in (0, 10_000):
        user.page.evaluate("top => window.scrollTo(0, top)", top)
        box = user.page.locator("#paint").bounding_box()
        assert 700 < box["y"] + box["height"] <= 844


def test_installable(visit: Callable[..., Visit]) -> None:
    """Chromium reports no error in the manifest, and every icon has the size that it states."""
    user = visit(**DESK, service_workers="allow")
    session = user.context.new_cdp_session(user.page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    wrong = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in wrong} <= {"in-incognito"}  # as the profile of a test is
    for icon in json.loads(manifest["data"])["icons"]:
        from_page = user.page.evaluate(
            """async src => {
              const i = new Image(); i.src = src; await i.decode(); return `${i.width}x${i.height}`;
            }""",
            f"/{icon['src']}",
        )
        assert from_page == icon["sizes"]


def test_the_page_opens_without_network(visit: Callable[..., Visit], painted: str) -> None:
    """The page opens and says that the server is away; no API answer is cached."""
    user = visit(f"/#job/{painted}", **DESK, service_workers="allow")
    page = user.page
    user.finished()
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("async () => (await (await caches.open('impasto-shell')).keys()).length > 15")
    cached = page.evaluate(
        """async () => (await (await caches.open('impasto-shell')).keys())
          .map(request => new URL(request.url).pathname)"""
    )
    files = {f"/{path.relative_to(PAGE_FOLDER).as_posix()}" for path in PAGE_FOLDER.rglob("*.*")} - {
        "/sw.js",
        "/index.html",
    }
    assert {path for path in files if not path.endswith((".png", ".webp"))} <= set(cached)
    assert set(cached) <= files | {"/"}
    user.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "Failed to fetch")
    user.context.set_offline(True)
    page.goto(user.base)
    page.wait_for_selector("#connection-message:visible")
    assert "does not answer" in page.inner_text("#connection-message")
    user.context.set_offline(False)
    page.wait_for_selector("#connection-message", state="hidden")
    page.wait_for_selector("[data-style='id:wave']")


# -- keyboard, screen reader, contrast -------------------------------------------------------------------


def tab_to(page: Any, selector: str, limit: int = 90) -> None:
    """Press Tab until the element has the focus, which must be visible."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            break
    else:
        raise AssertionError(f"{selector} cannot be reached by Tab")
    focused = """() => [document.activeElement, document.activeElement.nextElementSibling]
      .filter(element => element)
      .map(element => getComputedStyle(element))
      .some(style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)"""
    assert page.evaluate(focused), f"the focus on {selector} is not visible"


def test_with_keys_alone(visit: Callable[..., Visit]) -> None:
    user = visit()
    page = user.page
    tab_to(page, "#samples button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#frame img")
    tab_to(page, "[data-style='id:facets']")
    page.keyboard.press("Space")
    tab_to(page, "#presets input")
    page.keyboard.press("ArrowLeft")
    tab_to(page, "#strength")
    page.keyboard.press("ArrowRight")
    tab_to(page, "#more summary")
    page.keyboard.press("Enter")
    for name, value in TINY.items():
        tab_to(page, f"#recipe-{name}")
        page.keyboard.press("Control+a")
        page.keyboard.type(value)
    tab_to(page, "#paint")
    page.keyboard.press("Enter")
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert (job["preset"], job["recipe"]["strength"], job["recipe"]["size"]) == ("draft", 0.51, 64)
    assert page.evaluate("document.activeElement.id") == "result-title"
    tab_to(page, "#after")
    tab_to(page, "#save")
    page.focus("#skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert user.job == job["id"], "it is still in the address"


ROLES = {
    "button", "checkbox", "combobox", "image", "link", "progressbar", "radio", "radiogroup", "searchbox",
    "slider", "spinbutton", "textbox", "switch", "region", "dialog", "form",
}  # fmt: skip


def nameless(user: Visit) -> list[str]:
    """Roles of the nodes in the accessibility tree that have no name."""
    nodes = user.context.new_cdp_session(user.page).send("Accessibility.getFullAXTree")["nodes"]
    relevant = [node for node in nodes if not node["ignored"] and node["role"]["value"] in ROLES]
    assert len(relevant) > 8
    return [node["role"]["value"] for node in relevant if not node.get("name", {}).get("value", "").strip()]


def test_everything_has_a_name(visit: Callable[..., Visit], painted: str) -> None:
    user = visit()
    user.page.evaluate("document.getElementById('more').open = true")
    assert nameless(user) == []
    user.choose()
    user.style()
    user.page.click("#mask-open")
    assert nameless(user) == []
    user.page.keyboard.press("Escape")
    user.open(f"/#job/{painted}")
    user.page.reload()
    user.finished()
    assert nameless(user) == []
    ids = user.page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    assert user.page.get_attribute("html", "lang") == "en"


#: Visible text, with its contrast to the nearest opaque background; disabled controls are left out.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = element => {
    for (let current = element; current; current = current.parentElement) {
      const colour = rgba(getComputedStyle(current).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return [255, 255, 255, 255];
  };
  const contrasts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest('script, noscript, :disabled, .skip, .visually-hidden, option')) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(background(element))];
    contrasts.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 90)]);
  }
  return contrasts;
}"""


def test_contrast_in_light_and_dark(visit: Callable[..., Visit], painted: str) -> None:
    user = visit(**DESK, reduced_motion="reduce")  # colours change at once
    page = user.page
    contrasts: dict[str, list[Any]] = {"light": [], "dark": []}

    def look() -> None:
        for scheme, found in contrasts.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found += page.evaluate(CONTRAST)
            background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert (int(re.findall(r"\d+", background)[0]) > 127) == (scheme == "light")

    page.evaluate("document.getElementById('more').open = true")
    page.evaluate(
        """['form-error', 'connection-message'].forEach(id => Object.assign(
          document.getElementById(id), { textContent: 'a line', hidden: false }))"""
    )
    look()
    user.choose()
    user.style()
    look()
    page.click("#mask-open")
    look()
    user.open(f"/#job/{painted}")
    page.reload()
    user.finished()
    look()
    for found in contrasts.values():
        assert len(found) > 150
        assert [pair for pair in found if pair[0] < 4.5] == []


def test_reduced_motion(visit: Callable[..., Visit]) -> None:
    moving = "getComputedStyle(document.getElementById('paint')).transitionDuration"
    page = visit().page
    assert page.evaluate(moving) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == "0s"


# -- a token, and a server that goes away --------------------------------------------------------------


def test_the_token_is_asked_for_once(browser: Any, tmp_path: Path) -> None:
    with served_here(tmp_path, token="correct-horse-battery") as (address, _):
        user = Visit(browser, address, **NO_SERVICE_WORKER | DESK)
        user.expected = ("401", "403")
        page = user.page
        page.goto(user.base)
        page.wait_for_selector("#token[open]")
        for _ in range(2):  # the second time the browser closes it whatever the page says
            page.keyboard.press("Escape")
        page.wait_for_selector("#token[open]")
        page.fill("#token-text", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token-error:visible")
        assert page.inner_text("#token-error") == "That is not the token."
        page.fill("#token-text", "correct-horse-battery")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-style='id:wave']")
        assert page.is_hidden("#token")
        page.reload()
        page.wait_for_selector("[data-style='id:wave']")
        assert page.is_hidden("#token")
        user.verify()
        user.context.close()


def test_nothing_is_lost_while_the_server_is_away(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """While requests fail the page says so and loses nothing; afterwards the same button works."""
    user = visit()
    user.expected = ("ERR_",)
    page = user.page
    user.choose(picture(tmp_path / "mine.png"))
    user.style("garden")
    user.set(TINY)
    page.route("**/*", lambda route: route.abort())
    user.paint()
    page.wait_for_selector("#connection-message:visible")
    assert "Nothing you entered is lost" in page.inner_text("#form-error")
    page.unroute("**/*")
    page.wait_for_selector("#connection-message", state="hidden")
    user.paint()
    user.finished()


# -- clips ---------------------------------------------------------------------------------------------


def test_a_clip(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Frames are counted, the newest is shown, and the result plays beside the original."""
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    path = write_clip(tmp_path / "clip.webm", moving_square(6), codec="libvpx-vp9", pix_fmt="yuv420p")
    user = visit(**PHONE)
    page = user.page
    user.choose(path)
    assert page.locator("#frame video").count() == 1
    assert page.inner_text("#paint") == "Tap a style"
    user.style("swirl")
    assert page.inner_text("#paint") == "Paint the clip"
    user.set({"size": "96", "iterations": "6", "coarsest": "96"})
    user.set({"following_iterations": "6", "fill_iterations": "2"}, "video")
    lines: list[str] = []
    page.expose_function("record", lambda line: lines.append(line))
    page.evaluate(
        "new MutationObserver(() => record(document.getElementById('live-part').textContent)).observe("
        "document.getElementById('live-part'), { childList: true })"
    )
    user.paint()
    job = user.get(f"/v1/jobs/{user.finished(120)}").json()
    assert (job["kind"], job["frames"], job["video"]["following_iterations"]) == ("video", 6, 6)
    assert any(re.search(r"frame [1-6] of 6", line) for line in lines)
    players = page.locator("#result-frame video")
    assert players.count() == 2
    page.wait_for_function(
        "() => [...document.querySelectorAll('#result-frame video')].every(video => video.readyState >= 1)"
    )
    assert page.eval_on_selector("#result-frame video", "video => [video.videoWidth, video.videoHeight]") == [
        96,
        64,
    ]
    assert page.evaluate(WIDE) <= 390
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename.endswith(".mp4")


def test_a_clip_from_painted_frames_by_keyboard(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Numbers are taken from the files' names, can be changed, and an error stands beside them."""
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    path = write_clip(tmp_path / "clip.webm", moving_square(4), codec="libvpx-vp9", pix_fmt="yuv420p")
    key = picture(tmp_path / "key-000002.png", 96, 64)
    user = visit(**PHONE)
    user.expected = ("422",)
    page = user.page
    assert page.is_hidden("#keys")
    user.choose(path)
    page.set_input_files("#key-file", [key, key])
    numbers = page.locator("#key-list input")
    assert [numbers.nth(n).input_value() for n in (0, 1)] == ["2", "2"]
    assert (page.evaluate(SMALL), page.evaluate(WIDE) <= 390) == ([], True)
    page.get_by_role("button", name="Remove key-000002.png").last.press("Enter")
    assert numbers.count() == 1
    assert page.inner_text("#paint") == "Paint the clip"
    user.set({"size": "96", "iterations": "4", "coarsest": "96"})
    user.set({"following_iterations": "2", "fill_iterations": "2"}, "video")
    numbers.first.fill("7")
    page.click("#paint")
    page.wait_for_selector("#key-error:not([hidden])")
    assert "key 7 ('key-0.png') is not in the clip" in page.inner_text("#key-error")
    numbers.first.fill("2")
    page.click("#paint")
    job = user.get(f"/v1/jobs/{user.finished(120)}").json()
    assert (job["kind"], job["keys"], job["styles"]) == ("video", [2], [])
