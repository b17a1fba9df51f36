"""Studies as data: what a hand may write, what comes back, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.errors import ImpastoError, PictureError, RecipeError
from impasto.studies import claims, named, sources
from impasto.studies.plan import Plan

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


def test_a_plan_as_a_hand_writes_it() -> None:
    plan = Plan.from_yaml(BY_HAND, beside=Path("/pictures"))
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
    last = cells[-1]
    assert (last.recipe.seed, last.recipe.init, last.recipe.coarsest, last.recipe.content_weight) == (
        3,
        "noise",
        32,
        1,
    )
    assert last.coordinates["content"] == "cat"


NAMED = [
    named.layers("painting:wave", of="style"),
    named.inits(),
    named.weights(),
    named.content_layers(),
    named.styles(),
    named.style_of("painting:swirl"),
    named.optimisers(),
    Plan.from_yaml(BY_HAND),
    *(build() for build in claims.CLAIMS.values()),
]


@pytest.mark.parametrize("plan", NAMED, ids=lambda plan: plan.name)
def test_a_plan_survives_its_file(plan: Plan) -> None:
    again = Plan.from_yaml(plan.to_yaml())
    assert again == plan
    assert again.cells() == plan.cells()


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=4, unique_by=lambda x: f"{x:g}"),
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True),
    title=st.text(max_size=50),
)
def test_any_plan_survives_its_file(weights: list[float], seeds: list[int], title: str) -> None:
    plan = Plan(
        name="any",
        title=title,
        styles=["painting:wave"],
        seeds=seeds,
        vary={"tv_weight": weights},
        contents="a.png",
    )
    assert Plan.from_yaml(plan.to_yaml()) == plan


def test_what_is_not_there_is_not_asked_for() -> None:
    texture = Plan(name="t", styles=["painting:wave"]).cells()[0].recipe
    assert (texture.content_weight, texture.init) == (0.0, "noise")
    assert Plan(name="r", contents=["photograph:chelsea"]).cells()[0].recipe.style_weight == 0.0


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
        ("name: x\ncontents: [a.png, a.png]", "the same one twice"),
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
        Plan.from_yaml(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match="cannot be read"):
        Plan.read(tmp_path / "none.yaml")


def test_layers_of_three_vocabularies_are_one() -> None:
    plan = named.layers("a.png", of="content", names=("conv_3", "block4_conv2", "conv1_1+conv4_1"))
    assert plan.axes["layers"] == ("conv2_1", "relu4_2", "conv1_1+conv4_1")
    assert plan.cells()[-1].recipe.content_layers == ("conv1_1", "conv4_1")


def test_cumulated_layers() -> None:
    assert named.cumulated(("a", "b", "c")) == ("a", "a+b", "a+b+c")


def test_flags_go_over_a_named_study() -> None:
    recipe = named.inits(settings={"size": 64, "iterations": (7,)}).cells()[0].recipe
    assert (recipe.size, recipe.coarsest, recipe.iterations) == (64, 64, (7,))


# -- pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_an_inset_covers_its_share(share: float) -> None:
    whole = sources.inset("mosaic", "wave", share)
    ground = sources.inset("mosaic", "wave", 0.0)
    assert float((whole != ground).any(1).float().mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    "spec", ["inset:mosaic:wave", "inset:mosaic:wave:2", "inset:x:wave:0.5", "painting:x"]
)
def test_wrong_samples_are_refused(spec: str) -> None:
    with pytest.raises(PictureError):
        sources.picture(spec)
