"""Studies as data: what people may write, what comes back, what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from impasto.errors import ImpastoError, RecipeError
from impasto.recipe import DEFAULT_SIZE
from impasto.studies.plan import StudyPlan

BY_HAND = """
name: by-hand
title: "How much: content?"
base: {size: 96, iterations: 20}
contents: [photograph:chelsea, cat.jpg]
styles: painting:wave
seeds: [0, 3]
vary:
  content_weight: [0.01, 1]
  start:
    - {label: from the content, init: content}
    - {init: noise, coarsest: 32}
"""


def test_a_plan_as_people_write_it() -> None:
    plan = StudyPlan.from_yaml(BY_HAND, folder=Path("/pictures"))
    assert plan.contents == ("photograph:chelsea", "/pictures/cat.jpg")
    assert plan.axes == {
        "content": ("chelsea", "cat"),
        "style": ("wave",),
        "content_weight": ("0.01", "1"),
        "start": ("from the content", "init noise, coarsest 32"),
        "seed": ("0", "3"),
    }
    assert (plan.column_axis, plan.row_axes) == ("start", ("content", "content_weight", "seed"))
    cells = plan.cells()
    assert len(cells) == 2 * 2 * 2 * 2
    last = cells[-1].recipe
    assert (last.seed, last.init, last.coarsest, last.content_weight) == (3, "noise", 32, 1)
    assert cells[-1].coordinates["content"] == "cat"


def test_a_plan_survives_its_file() -> None:
    plan = StudyPlan.from_yaml(BY_HAND)
    again = StudyPlan.from_yaml(plan.to_yaml())
    assert again == plan
    assert again.cells() == plan.cells()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@example(weights=[0.0], seeds=[0], title="\x85")
@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=4, unique_by=lambda x: f"{x:g}"),
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True),
    title=st.text(max_size=50),
)
def test_any_plan_survives_its_file(weights: list[float], seeds: list[int], title: str) -> None:
    plan = StudyPlan(
        name="any",
        title=title,
        styles=["painting:wave"],
        seeds=seeds,
        vary={"tv_weight": weights},
        contents="a.png",
    )
    assert StudyPlan.from_yaml(plan.to_yaml()) == plan


def test_without_a_picture_there_is_no_loss_of_it() -> None:
    texture = StudyPlan(name="t", styles=["painting:wave"]).cells()[0].recipe
    assert (texture.content_weight, texture.init) == (0.0, "noise")
    assert StudyPlan(name="r", contents=["photograph:chelsea"]).cells()[0].recipe.style_weight == 0.0


def test_a_size_that_nobody_wrote_is_written_into_the_cells() -> None:
    """So that a cell's identity does not depend on what the default is called inside."""
    assert StudyPlan(name="r", contents=["photograph:chelsea"]).cells()[0].recipe.size == DEFAULT_SIZE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "not a mapping"),
        ("name: [", "not YAML"),
        ("contents: [a.png]", "setting name is missing"),
        ("name: x", "without pictures"),
        ("name: A b\ncontents: [a.png]", "name = 'A b'"),
        ("name: x\ncontents: [a.png]\nbase: {sise: 3}", "unknown setting 'sise'"),
        ("name: x\ncontents: [a.png]\nbase: {size: -3}", "size = -3"),
        ("name: x\ncontents: [a.png]\nvary: {size: 3}", "a list of values"),
        ("name: x\ncontents: [a.png]\nvary: {size: []}", "vary"),
        ("name: x\ncontents: [a.png]\nvary: {size: [64, 64]}", "twice"),
        ("name: x\ncontents: [a.png, a.png]", "the same entry twice"),
        ("name: x\ncontents: [a.png]\nvary: {style: [1]}", "an axis called 'style'"),
        ("name: x\ncontents: [a.png]\nvary: {loss: [{size: 64}]}", "an axis called 'loss'"),
        ("name: x\ncontents: [a.png]\ncolumns: size", "columns: 'size'"),
        ("name: x\ncontents: [a.png]\nwhat: 1", "unknown setting 'what'"),
        ("name: x\ncontents: [a.png]\nseeds: " + str(list(range(6000))), "6000 cells"),
        ("name: x\ncontents: [a.png]\nvary: {content_layers: [relu9_1]}", "unknown layer 'relu9_1'"),
    ],
)
def test_a_wrong_plan_is_one_line(text: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        StudyPlan.from_yaml(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match="cannot be read"):
        StudyPlan.read(tmp_path / "none.yaml")


def test_files_need_the_extra_and_plans_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    plan = StudyPlan(name="r", contents=["photograph:chelsea"])
    with pytest.raises(RecipeError, match=r"pip install 'impasto\[studies\]'"):
        plan.to_yaml()
    with pytest.raises(RecipeError, match=r"pip install 'impasto\[studies\]'"):
        StudyPlan.from_yaml(BY_HAND)
