"""The ready-made studies."""

from __future__ import annotations

import pytest

from impasto.errors import RecipeError
from impasto.painting import schedule
from impasto.studies import named
from impasto.studies.plan import StudyPlan

PLANS = [
    named.layers("painting:wave", of="style"),
    named.inits(),
    named.weights(),
    named.content_layers(),
    named.styles(),
    named.style_of("painting:swirl"),
    named.optimisers(),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_plan_survives_its_file(plan: StudyPlan) -> None:
    again = StudyPlan.from_yaml(plan.to_yaml())
    assert again == plan
    assert again.cells() == plan.cells()


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_all_paint_at_one_scale_in_float32_to_the_end(plan: StudyPlan) -> None:
    for cell in plan.cells():
        recipe = cell.recipe
        assert (recipe.coarsest, recipe.precision, recipe.tolerance) == (recipe.size, "float32", 0.0)


def test_layers_of_three_vocabularies_are_one() -> None:
    plan = named.layers("a.png", of="content", names=("conv_3", "block4_conv2", "conv1_1+conv4_1"))
    assert plan.axes["layers"] == ("conv2_1", "relu4_2", "conv1_1+conv4_1")
    assert plan.cells()[-1].recipe.content_layers == ("conv1_1", "conv4_1")


def test_lists_of_layers_between_the_same_two_have_labels_of_their_own() -> None:
    long = ["relu1_1+relu2_1+relu3_1+relu4_1", "relu1_1+relu2_2+relu3_1+relu4_1"]
    assert named.layers("a.png", names=long).axes["layers"] == tuple(long)
    assert named.layers("a.png", names=[long[0], "relu1_1"]).axes["layers"] == ("relu1_1…relu4_1", "relu1_1")


def test_cumulated_layers() -> None:
    assert named.cumulated(("a", "b", "c")) == ("a", "a+b", "a+b+c")


def test_the_style_taken_apart_has_each_layer_alone_and_all_up_to_it() -> None:
    layers = [cell.recipe.style_layers for cell in named.style_of("painting:swirl").cells()]
    assert [len(each) for each in layers] == [1, 1, 1, 1, 1, 2, 3, 4, 5]
    assert layers[-1] == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def test_settings_go_over_the_studys_own() -> None:
    recipe = named.inits(settings={"size": 64, "iterations": (7,)}).cells()[0].recipe
    assert (recipe.size, recipe.coarsest, recipe.iterations) == (64, 64, (7,))
    assert named.inits(settings={"size": 64, "coarsest": 32}).cells()[0].recipe.coarsest == 32


@pytest.mark.parametrize(
    "plan",
    [
        named.inits(settings={"size": "original"}),
        named.weights(x=("size", [64, 400]), y=("tv_weight", [0.0])),
    ],
)
def test_there_is_one_scale_at_any_size(plan: StudyPlan) -> None:
    for cell in plan.cells():
        assert len(schedule.scale_sizes(cell.recipe, 500, 700)) == 1


def test_a_setting_is_not_on_both_axes() -> None:
    with pytest.raises(RecipeError, match="style_weight along the columns and down the rows"):
        named.weights(x=("style_weight", [1.0, 2.0]))
