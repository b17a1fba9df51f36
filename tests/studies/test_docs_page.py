"""docs/studies.md: its pictures are there and small, its plan is one, its commands and columns exist."""

from __future__ import annotations

import re

import pytest

from conftest import ROOT
from impasto.cli.main import app
from impasto.studies.claims import CLAIMS
from impasto.studies.plan import StudyPlan

PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "studies"


def test_every_picture_is_there_and_shown() -> None:
    shown = set(re.findall(r"!\[[^\]]+\]\(studies/([^)]+)\)", PAGE))
    assert shown == {path.name for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 3_000_000


def test_the_plan_on_the_page_is_a_plan() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    plan = StudyPlan.from_yaml(text)
    assert len(plan.cells()) == 2 * 1 * 3 * 3 * 2
    assert plan.column_axis == "style_scale"


@pytest.mark.parametrize("line", re.findall(r"^    impasto (.*)$", PAGE, flags=re.M))
def test_commands_on_the_page_are_commands(line: str) -> None:
    words = line.partition("#")[0].split()
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments


def test_no_name_of_a_study_is_made_up() -> None:
    for name in re.findall(r"--only ([a-z-]+)", PAGE):
        assert name in CLAIMS
