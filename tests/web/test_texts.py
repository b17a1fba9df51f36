"""The texts of both languages: complete, used, and with the same placeholders."""

from __future__ import annotations

import json
import re

import pytest

from conftest import ROOT
from impasto import samples

WEB = ROOT / "web"
ENGLISH, GERMAN = (
    json.loads((WEB / "texts" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "de")
)


def test_both_languages_say_the_same_things() -> None:
    assert list(ENGLISH) == list(GERMAN)
    for key, text in ENGLISH.items():
        assert text.strip(), key
        assert GERMAN[key].strip(), key
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", GERMAN[key])), key


def test_every_text_is_used_and_every_used_text_exists() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', page))
    scripts = "".join(path.read_text(encoding="utf-8") for path in (WEB / "js").glob("*.js"))
    quoted = set(re.findall(r"'([a-zA-Z]+)'", scripts))
    used |= {name for name in quoted if name in ENGLISH}
    used |= {f"sample-{name}" for name in (*samples.PAINTINGS, "chelsea", "coffee", "astronaut", "rocket")}
    assert used == set(ENGLISH)
    assert {name for name in quoted if name.startswith("error") and name != "error"} <= set(ENGLISH)


@pytest.mark.parametrize("key", [key for key in ENGLISH if key.startswith("error")])
def test_errors_are_one_or_two_sentences_that_end(key: str) -> None:
    for text in (ENGLISH[key], GERMAN[key]):
        assert text.endswith(".")
        assert text.count(". ") <= 1
