"""The texts of the static site and of the studio's page: complete in both languages, used, all there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import ROOT
from impasto import samples
from impasto.recipe import PRESETS

WEB = ROOT / "web"
PAGE = ROOT / "src" / "impasto" / "studio" / "page"
SHARED = ("compare", "dom", "gallery", "sources", "texts")


class Place(NamedTuple):
    """A page with its texts."""

    folder: Path
    scripts: str  # what they contain, comments left out
    other_keys: set[str]  # that the scripts put together

    def texts(self, language: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "texts" / f"{language}.json").read_text("utf-8"))
        return found


def code(*paths: Path) -> str:
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(
        r"/\*[* ].*?\*/|^[ ]*//[^\n]*$|[ ]//[ ][^\n]*$", "", scripts, flags=re.DOTALL | re.MULTILINE
    )


SAMPLES = {f"sample-{name}" for name in (*samples.PAINTINGS, "chelsea", "coffee", "astronaut", "rocket")}
PLACES = {
    "site": Place(
        WEB, code(*(WEB / "js").glob("*.js"), *(PAGE / f"js/{name}.js" for name in SHARED)), SAMPLES
    ),
    "studio": Place(
        PAGE,
        code(*(PAGE / "js").glob("*.js")),
        SAMPLES | {f"{kind}-{name}" for kind in ("preset", "purpose") for name in PRESETS},
    ),
}
#: Names of the browser's, and errors that only developers see.
NOT_SHOWN = {
    "'Impasto'", "'(prefers-reduced-motion: reduce)'", "'AbortError'", "'Files'", "'NotAllowedError'",
    "'NotFoundError'", "'OverconstrainedError'", "'SecurityError'", "'Content-Type'", "'Enter'",
    "'Retry-After'", "'The studio has no network for browsers.'", "'This studio paints no first looks.'",
    "`The page has no ${type?.name ?? 'element'} #${id}.`",
}  # fmt: skip
everywhere = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


@everywhere
def test_both_languages_say_the_same_things(place: Place) -> None:
    english, german = place.texts("en"), place.texts("de")
    assert list(english) == list(german)
    for key, text in english.items():
        assert text.strip(), key
        assert german[key].strip(), key
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", german[key])), key


@everywhere
def test_every_text_is_used_and_every_used_text_exists(place: Place) -> None:
    english = place.texts("en")
    page = (place.folder / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-(?:text|label|placeholder)="(\w+)"', page))
    quoted = set(re.findall(r"'([a-zA-Z]+)'", place.scripts))
    used |= {name for name in quoted if name in english} | place.other_keys
    used |= set(re.findall(r"\btext\('([\w-]+)'", place.scripts))
    assert used == set(english)
    assert {name for name in quoted if name.startswith("error") and name != "error"} <= set(english)


@everywhere
def test_errors_are_one_or_two_sentences_that_end(place: Place) -> None:
    for texts in (place.texts("en"), place.texts("de")):
        for key in (key for key in texts if key.startswith("error") and not texts[key].endswith("{message}")):
            assert texts[key].endswith("."), key
            assert texts[key].count(". ") <= 1, key


def test_the_presets_are_described_as_the_recipe_describes_them() -> None:
    texts = PLACES["studio"].texts("en")
    for name, (purpose, _) in PRESETS.items():
        assert texts[f"preset-{name}"] == name.capitalize()
        assert texts[f"purpose-{name}"] == f"{purpose[0].upper()}{purpose[1:]}."


class _Words(HTMLParser):
    """What of a page is shown or read out although it is no text of a file."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "input", "br", "progress"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("aria-label", "placeholder", "title", "alt") and value:
                self.found.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if re.search("[A-Za-z]", data) and not {"noscript", "option", "script"} & set(self.open):
            self.found.append(data.strip())


@everywhere
def test_no_word_stands_in_a_page_itself(place: Place) -> None:
    assert set(_Words(place.folder / "index.html").found) == {"Impasto"}


def _sentences(scripts: str) -> Iterator[str]:
    """String literals that look as if people should read them."""
    for before, quoted in re.findall(r"""(.{0,40}?)('(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)""", scripts):
        words = re.sub(r"\$\{[^}]*\}", "", quoted[1:-1])
        is_name = re.search(r"(className[:=]? ?|className = |Selector(All)?\(|`?clipPath = )$", before)
        if not is_name and re.search(r"^[A-Z][a-z]{2,}|[A-Za-z]{2,} [a-z]{2,}|[a-z]{2,}: ", words):
            yield quoted


@everywhere
def test_no_word_stands_in_the_scripts_themselves(place: Place) -> None:
    assert set(_sentences(place.scripts)) <= NOT_SHOWN
