"""The page: whole in itself, the same each time, and it explains its words."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from impasto.studies.judges import DESCRIPTIONS, JUDGES
from impasto.studies.report import number
from impasto.studies.runner import run_study


class Page(HTMLParser):
    """Collects every attribute that could make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "img"
        assert tag not in ("script", "link", "iframe", "object")
        self.links += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "data", "srcset", "action")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def html(study) -> str:
    return (study.folder / "report.html").read_text()


def test_the_page_needs_no_network(html: str) -> None:
    page = Page()
    page.feed(html)
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert page.pictures == 5  # four cells and the sheet
    assert '<meta name="viewport"' in html
    assert "Tiny & <small>" in page.text  # escaped
    assert "content_weight:" in page.text  # the plan
    assert html.count("<svg") == 4


def test_the_page_says_who_the_judge_is(html: str) -> None:
    text = " ".join(html.split())
    assert "measured with “random”" in text
    assert f"the judge “random”: {DESCRIPTIONS['random'].replace(chr(39), '&#39;')}" in text
    assert set(DESCRIPTIONS) == set(JUDGES) - {"auto"}


def test_the_page_counts_iterations(html: str) -> None:
    assert "16 iterations" in html
    assert "evaluations" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.S)


@pytest.mark.slow
def test_the_plots_are_the_same_each_time(study, plan, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.folder, folder)
    run_study(plan(), folder, workers=1)
    for name in ("curves.svg", "measures.png", "sheet.png", "results.csv"):
        assert (folder / name).read_bytes() == (study.folder / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_without_pairs_of_seeds_there_is_no_table_of_them(study, plan, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.folder, folder)
    assert (folder / "seeds.csv").read_text().count("\n") == 3
    run_study(plan(seeds=[0]), folder, workers=1)
    assert not (folder / "seeds.csv").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (float("inf"), "–"), (3, "3"), (1234.5, "1234"), (0.04567, "0.0457"), (0.0, "0.00"),
        (1.5e-6, "1.5e-06"), ("random", "random"),
    ],
)  # fmt: skip
def test_numbers_have_three_figures(value, text) -> None:
    assert number(value) == text
