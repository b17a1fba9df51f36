"""The page in the browser's language: all of it, and the one that was chosen instead is remembered."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from browsing import DESK, TINY, Visit
from impasto.studio.http.responses import PAGE_FOLDER

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser

ENGLISH, GERMAN = (
    json.loads((PAGE_FOLDER / "texts" / f"{name}.json").read_text("utf-8")) for name in ("en", "de")
)
#: What is shown or read out, what is marked as English left out: the server's names and help of settings.
WORDS = """() => {
  const own = (element) => !element.closest('[lang=en]:not(html), script, noscript, #recipe-text');
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    if (own(walker.currentNode.parentElement)) found.push(walker.currentNode.data.trim());
  }
  for (const name of ['aria-label', 'placeholder', 'alt']) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      if (own(element)) found.push(element.getAttribute(name));
    }
  }
  return found.filter(Boolean);
}"""
GERMANY = DESK | {"locale": "de-DE"}


def english_words(user: Visit) -> set[str]:
    """What a German page should not say."""
    only_english = {text for key, text in ENGLISH.items() if GERMAN[key] != text} - set(GERMAN.values())
    return only_english & set(user.page.evaluate(WORDS))


def test_a_german_browser_gets_german_from_the_first_view_to_the_last(visit: Callable[..., Visit]) -> None:
    user = visit(**GERMANY)
    page = user.page
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.inner_text("h1 >> visible=true") == GERMAN["title"]
    assert english_words(user) == set()
    page.click(f"#samples button[aria-label='{GERMAN['try'].format(name=GERMAN['sample-chelsea'])}']")
    page.wait_for_selector("#frame > *")
    page.click("#mask-open")
    page.click(".numbers summary")
    page.click("#rect-add")
    assert english_words(user) == set()
    page.click("#mask-remove")
    user.style()
    assert page.inner_text("#paint") == GERMAN["paint"]
    user.set(TINY)
    user.paint()
    page.wait_for_selector("#painting:not([hidden]), #result:not([hidden])")
    assert english_words(user) == set()
    user.finished()
    assert page.inner_text("#result-title") == GERMAN["finished"]
    assert GERMAN["sample-wave"] in page.inner_text("#result-about")
    assert english_words(user) == set()
    assert page.title() == f"{GERMAN['finished']} – Impasto"


def test_another_language_is_remembered_and_what_was_chosen_stays(visit: Callable[..., Visit]) -> None:
    user = visit(**GERMANY)
    page = user.page
    page.click("#samples li:first-child button")
    page.wait_for_selector("#frame > *")
    user.style()
    user.wait_until_stored(lambda draft: draft.get("styles") == ["wave"])
    page.click("#language")
    page.wait_for_selector("html[lang=en] body[data-ready] #frame > *")
    assert page.inner_text("#paint") == ENGLISH["paint"]
    assert page.get_attribute("[data-style='id:wave']", "aria-pressed") == "true"
    page.reload()
    page.wait_for_selector("body[data-ready] #frame > *")
    assert page.inner_text("#change") == ENGLISH["change"]
    assert page.inner_text("#language") == "Deutsch"


def test_a_language_from_right_to_left_has_room(visit: Callable[..., Visit]) -> None:
    user = visit(viewport={"width": 320, "height": 700})
    user.choose()
    user.page.evaluate("document.documentElement.dir = 'rtl'")
    assert user.page.evaluate("document.documentElement.scrollWidth") <= 320
    start, end = (
        user.page.evaluate(f"document.querySelector('{name}').getBoundingClientRect().left")
        for name in ("#strength-help > :first-child", "#strength-help > :last-child")
    )
    assert start > end, "the ends of the slider are where its ends are"
