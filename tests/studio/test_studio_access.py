"""The studio's page for everybody: thumbs, keys, readers, light and dark, bad networks; and for clips."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browsing import DESK, PHONE, TINY, Visit, picture
from clips import moving_square, write_clip
from conftest import ROOT
from serving import Studio

pytest_plugins = ["browsing"]

PAGE = ROOT / "src" / "impasto" / "studio" / "page"

# -- the phone -----------------------------------------------------------------------------------------

#: What can be tapped and is smaller than a thumb; a box inside its label counts as the label.
SMALL = """() => [...document.querySelectorAll('a, button, input, select, summary, [tabindex="0"]')]
  .map(element => element.matches('label input:not([type=range])') ? element.closest('label') : element)
  .filter(element => element.checkVisibility({ visibilityProperty: true }) && !element.matches('.skip, pre'))
  .map(element => [element.outerHTML.slice(0, 90), element.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
WIDE = "document.documentElement.scrollWidth"


def test_thumbs_and_no_sideways_scrolling(visit: Callable[..., Visit], painted: str) -> None:
    """At 390 pixels and at 320, in every view and dialog."""
    one = visit(**PHONE)
    page = one.page
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 700})
        one.open()
        assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)
        one.choose()
        page.evaluate("document.getElementById('blend').checked = true")
        one.style("wave")
        one.style("swirl")
        page.evaluate("document.getElementById('more').open = true")
        assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)
        page.click("#mask-open")
        page.click(".numbers summary")
        assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)
        page.keyboard.press("Escape")
        one.open(f"/#job/{painted}")
        page.reload()
        one.finished()
        assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)
        page.click("#zoom-open")
        assert (page.evaluate(SMALL), page.evaluate(WIDE) <= width) == ([], True)


def test_the_button_stays_in_reach(visit: Callable[..., Visit]) -> None:
    one = visit(**PHONE)
    for top in (0, 10_000):
        one.page.evaluate("top => window.scrollTo(0, top)", top)
        box = one.page.locator("#paint").bounding_box()
        assert 700 < box["y"] + box["height"] <= 844


def test_installable(visit: Callable[..., Visit]) -> None:
    """Chromium finds nothing wrong with the manifest, and every icon is of the size it says."""
    one = visit()
    session = one.context.new_cdp_session(one.page)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == []
    wrong = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in wrong} <= {"in-incognito"}  # which a test's fresh profile is
    for icon in json.loads(found["data"])["icons"]:
        from_page = one.page.evaluate(
            """async src => {
              const i = new Image(); i.src = src; await i.decode(); return `${i.width}x${i.height}`;
            }""",
            f"/{icon['src']}",
        )
        assert from_page == icon["sizes"]


def test_the_shell_without_network(visit: Callable[..., Visit], painted: str) -> None:
    """The page opens and says what is missing; of the API nothing is kept."""
    one = visit(f"/#job/{painted}")
    page = one.page
    one.finished()
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("async () => (await (await caches.open('impasto-shell')).keys()).length > 15")
    kept = page.evaluate(
        """async () => (await (await caches.open('impasto-shell')).keys())
          .map(request => new URL(request.url).pathname)"""
    )
    files = {f"/{path.relative_to(PAGE).as_posix()}" for path in PAGE.rglob("*.*")} - {
        "/sw.js",
        "/index.html",
    }
    assert {path for path in files if not path.endswith((".png", ".webp"))} <= set(kept)
    assert set(kept) <= files | {"/"}
    one.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "Failed to fetch")
    one.context.set_offline(True)
    page.goto(one.base)
    page.wait_for_selector("#away:visible")
    assert "does not answer" in page.inner_text("#away")
    one.context.set_offline(False)
    page.wait_for_selector("#away", state="hidden")
    page.wait_for_selector("[data-style='id:wave']")


# -- keys, readers, eyes -------------------------------------------------------------------------------


def tab_to(page: Any, selector: str, most: int = 90) -> None:
    """Press Tab until the element has the focus, which must be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            break
    else:
        raise AssertionError(f"{selector} cannot be reached by Tab")
    seen = """() => [document.activeElement, document.activeElement.nextElementSibling].filter(one => one)
      .map(one => getComputedStyle(one))
      .some(style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)"""
    assert page.evaluate(seen), f"the focus on {selector} is not seen"


def test_with_keys_alone(visit: Callable[..., Visit]) -> None:
    one = visit()
    page = one.page
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
    job = one.get(f"/v1/jobs/{one.finished()}").json()
    assert (job["preset"], job["recipe"]["strength"], job["recipe"]["size"]) == ("draft", 0.51, 64)
    assert page.evaluate("document.activeElement.id") == "result-title"
    tab_to(page, "#after")
    tab_to(page, "#save")


ROLES = {
    "button", "checkbox", "combobox", "image", "link", "progressbar", "radio", "radiogroup", "searchbox",
    "slider", "spinbutton", "textbox", "switch", "region", "dialog", "list", "form",
}  # fmt: skip


def nameless(one: Visit) -> list[str]:
    """Nodes of the accessibility tree that a reader could not name."""
    nodes = one.context.new_cdp_session(one.page).send("Accessibility.getFullAXTree")["nodes"]
    wanted = [node for node in nodes if not node["ignored"] and node["role"]["value"] in ROLES - {"list"}]
    assert len(wanted) > 8
    return [node["role"]["value"] for node in wanted if not node.get("name", {}).get("value", "").strip()]


def test_everything_has_a_name(visit: Callable[..., Visit], painted: str) -> None:
    one = visit()
    one.page.evaluate("document.getElementById('more').open = true")
    assert nameless(one) == []
    one.choose()
    one.style()
    one.page.click("#mask-open")
    assert nameless(one) == []
    one.page.keyboard.press("Escape")
    one.open(f"/#job/{painted}")
    one.page.reload()
    one.finished()
    assert nameless(one) == []
    ids = one.page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert one.page.get_attribute("html", "lang") == "en"


#: Text that is seen, with its contrast to the nearest opaque ground; disabled controls are left out.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest('script, noscript, :disabled, .skip, .unseen, option')) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 90)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_in_light_and_dark(visit: Callable[..., Visit], painted: str, scheme: str) -> None:
    one = visit(**DESK, color_scheme=scheme, reduced_motion="reduce")
    page = one.page
    page.evaluate("document.getElementById('more').open = true")
    page.evaluate(
        """['form-error', 'away'].forEach(id => Object.assign(
          document.getElementById(id), { textContent: 'a line', hidden: false }))"""
    )
    found = page.evaluate(CONTRAST)
    one.choose()
    one.style()
    found += page.evaluate(CONTRAST)
    page.click("#mask-open")
    found += page.evaluate(CONTRAST)
    one.open(f"/#job/{painted}")
    page.reload()
    one.finished()
    found += page.evaluate(CONTRAST)
    assert len(found) > 150
    assert [pair for pair in found if pair[0] < 4.5] == []
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) > 127) == (scheme == "light")


def test_reduced_motion(visit: Callable[..., Visit]) -> None:
    moving = "getComputedStyle(document.getElementById('paint')).transitionDuration"
    assert visit().page.evaluate(moving) != "0s"
    assert visit(**DESK, reduced_motion="reduce").page.evaluate(moving) == "0s"


# -- a token, and a server that goes away --------------------------------------------------------------


def test_the_token_is_asked_for_once(browser: Any, visit: Callable[..., Visit], tmp_path: Path) -> None:
    with Studio(tmp_path, "--token", "correct-horse-battery") as studio:
        one = Visit(browser, studio.url)
        one.expected = ("401", "403")
        page = one.page
        page.goto(one.base)
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
        one.verify()
        one.context.close()


def test_a_server_that_is_away_loses_nothing(browser: Any, tmp_path: Path) -> None:
    """Requests fail for a while: it is said, nothing chosen is lost, and the same button works afterwards."""
    with Studio(tmp_path) as studio:
        one = Visit(browser, studio.url)
        one.expected = ("ERR_",)
        page = one.open()
        one.choose(picture(tmp_path / "mine.png"))
        one.style("garden")
        one.set(TINY)
        page.route("**/*", lambda route: route.abort())
        one.paint()
        page.wait_for_selector("#away:visible")
        assert "Nothing you entered is lost" in page.inner_text("#form-error")
        page.unroute("**/*")
        page.wait_for_selector("#away", state="hidden")
        one.paint()
        one.finished()
        one.verify()
        one.context.close()


# -- clips ---------------------------------------------------------------------------------------------


def test_a_clip(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Frames are counted, the newest is shown, and the result plays beside the original."""
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    path = write_clip(tmp_path / "clip.webm", moving_square(6), codec="libvpx-vp9", pix_fmt="yuv420p")
    one = visit(**PHONE)
    page = one.page
    one.choose(path)
    assert page.locator("#frame video").count() == 1
    assert page.inner_text("#paint") == "Tap a style"
    one.style("swirl")
    assert page.inner_text("#paint") == "Paint the clip"
    one.set({"size": "96", "iterations": "6", "coarsest": "96"})
    one.set({"evaluations": "6", "fill_evaluations": "2"}, "video")
    seen: list[str] = []
    page.expose_function("seen", lambda line: seen.append(line))
    page.evaluate(
        "new MutationObserver(() => seen(document.getElementById('live-part').textContent)).observe("
        "document.getElementById('live-part'), { childList: true })"
    )
    one.paint()
    job = one.get(f"/v1/jobs/{one.finished(120)}").json()
    assert (job["kind"], job["frames"], job["video"]["evaluations"]) == ("video", 6, 6)
    assert any(re.search(r"frame [1-6] of 6", line) for line in seen)
    players = page.locator("#result-frame video")
    assert players.count() == 2
    page.wait_for_function(
        "() => [...document.querySelectorAll('#result-frame video')].every(one => one.readyState >= 1)"
    )
    assert page.eval_on_selector("#result-frame video", "one => [one.videoWidth, one.videoHeight]") == [
        96,
        64,
    ]
    assert page.evaluate(WIDE) <= 390
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename.endswith(".mp4")


# -- the files -----------------------------------------------------------------------------------------


def test_files_are_short_and_call_nobody() -> None:
    """No file is long, none has an inline script or style, none names another host."""
    files = [path for path in PAGE.rglob("*") if path.suffix in (".js", ".css", ".html", ".webmanifest")]
    assert len(files) > 15
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 400, path
        assert not re.search(r"https?://|\bstyle=|<style|\son\w+=|<script(?![^>]*src=)|innerHTML", text), path
