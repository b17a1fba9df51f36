"""The static site without a network, installed, by keyboard, with a screen reader, and in two languages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accessibility import violations
from browsing import CHROMIUM, PHONE, SWITCHES, Visit
from built_site import served

pytest_plugins = ["browsing", "built_site"]
pytestmark = pytest.mark.browser

SMALL = """() => [...document.querySelectorAll('a, button, input, select')]
  .map(element => element.matches('label input:not([type=range])') ? element.closest('label') : element)
  .filter(element => element.checkVisibility({ visibilityProperty: true }) && !element.matches('.skip'))
  .map(element => [element.outerHTML.slice(0, 90), element.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""


@pytest.fixture(scope="module")
def phone(browser: Any, site: str) -> Iterator[Visit]:
    """A user on a phone, after the first visit."""
    visitor = Visit(browser, site, **PHONE, locale="en-GB", reduced_motion="reduce")
    visitor.open()
    visitor.page.wait_for_selector("body[data-offline]")
    yield visitor
    visitor.verify()
    visitor.context.close()


def test_first_visit_is_light(folder: Path) -> None:
    """All but the runtime: less than 8 MB, and no file of another host."""
    listing = json.loads((folder / "files.js").read_text(encoding="utf-8").removeprefix("self.SITE = ")[:-2])
    names = listing["files"][1:]
    assert sum((folder / name).stat().st_size for name in names) < 8e6
    assert not [name for name in names if name.startswith("runtime/")]
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', (folder / "index.html").read_text())[0]
    assert "unsafe" not in policy.replace("wasm-unsafe-eval", "")
    assert not re.search(r"https?:|\*", policy)


def test_building_again_writes_nothing(builder: ModuleType, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    builder.build(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_budget_of_a_first_visit(browser: Any, folder: Path, tmp_path: Path) -> None:
    """What is sent in all until the page works without a network: few files, each once.

    The profile lies on the disk, as users' do: what is kept in memory is too small for the runtime.
    """
    launch = browser.browser_type.launch_persistent_context
    with served(folder) as (address, sent):
        profile = launch(tmp_path / "profile", executable_path=CHROMIUM, args=SWITCHES)
        page = profile.new_page()
        page.goto(f"{address}/?backend=wasm")
        page.wait_for_selector("body[data-offline]", timeout=120_000)
        profile.close()
    paths = [path.partition("?")[0] for path, _ in sent]
    assert len(paths) - len(set(paths)) < 5  # the page itself may be asked for again
    assert len(paths) < 75
    runtime = sum(size for path, size in sent if path.startswith("/runtime/"))
    assert runtime < 16e6
    assert sum(size for _, size in sent) - runtime < 8e6


def test_paints_without_a_network_by_keyboard_alone(phone: Visit) -> None:
    """From the start to a first look, with Tab, Enter and the arrow keys."""
    page = phone.page
    phone.context.set_offline(True)
    page.reload()
    page.wait_for_selector("body[data-engine]")
    assert page.evaluate("crossOriginIsolated")  # by the service worker, so that there are threads

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("[data-sample=chelsea]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result-frame img")
    tab_to("[data-style=mosaic]")
    page.keyboard.press("Space")
    page.wait_for_selector("#result-frame canvas")
    assert page.inner_text("#about") == "First look: 384 × 255"
    tab_to("#strength")
    page.keyboard.press("Home")
    assert page.inner_text("#strength-out") == "0 %"
    page.wait_for_selector("#compare-field:not([hidden])")
    page.focus("#compare")
    page.keyboard.press("End")
    assert page.get_attribute("#compare", "aria-valuetext") == "100 % of the photograph"
    phone.context.set_offline(False)


def test_nothing_is_wrong_for_a_screen_reader(phone: Visit) -> None:
    page = phone.page
    if page.is_hidden("#result-frame canvas"):
        page.click("[data-sample=chelsea]")
        page.click("[data-style=mosaic]")
        page.wait_for_selector("#result-frame canvas")
    assert violations(page) == []
    assert page.evaluate(SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#back")
    assert violations(page) == []
    assert page.evaluate(SMALL) == []


def test_german_and_english(phone: Visit) -> None:
    page = phone.page
    page.click("#language")
    page.wait_for_selector("html[lang=de]")
    assert page.inner_text("h1") == "Male ein Foto."
    assert page.get_attribute("[data-sample=chelsea]", "aria-label") == "Die Katze probieren"
    assert page.inner_text("[data-style=wave] span") == "Welle"
    page.reload()
    page.wait_for_selector("html[lang=de] body[data-ready]")
    page.click("#language")
    page.wait_for_selector("html[lang=en]")
    assert page.inner_text("h1") == "Paint a photograph."


def test_can_be_installed(phone: Visit) -> None:
    session = phone.context.new_cdp_session(phone.page)
    assert session.send("Page.getAppManifest")["errors"] == []
    wrong = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in wrong} <= {"in-incognito"}  # as the profile of a test is
