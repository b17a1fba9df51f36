"""``Recipe``: every setting with its default, limits and help; lists, JSON and presets."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from impasto.errors import RecipeError
from impasto.networks.layers import LAYERS
from impasto.recipe import Recipe, merged, preset


def test_a_recipe_is_frozen_and_replaced():
    recipe = Recipe()
    with pytest.raises(Exception, match="frozen"):
        recipe.size = 3  # type: ignore[misc]
    other = recipe.replace(size=800, style_layers="relu1_1,relu2_1")
    assert (recipe.size, other.size) == (None, 800)
    assert other.style_layers == ("relu1_1", "relu2_1")
    assert other != recipe
    assert hash(other) == hash(recipe.replace(size=800, style_layers=("relu1_1", "relu2_1")))


@pytest.mark.parametrize(
    ("given_", "expected"),
    [("relu3_2", ("relu3_2",)), ("relu1_1,block2_conv1", ("relu1_1", "relu2_1")),
     (["relu1_1, conv_5"], ("relu1_1", "conv3_1")), (("relu1_1", "relu2_1"), ("relu1_1", "relu2_1"))],
)  # fmt: skip
def test_lists_may_be_written_with_commas(given_, expected):
    assert Recipe(style_layers=given_).style_layers == expected


def test_numbers_in_lists_may_be_written_with_commas():
    assert Recipe(iterations="30,20,10").iterations == (30, 20, 10)
    assert Recipe(iterations=5).iterations == (5,)
    assert Recipe(style_blend=["1, 2", 3]).style_blend == (1.0, 2.0, 3.0)


def test_shares_sum_to_one_and_keep_the_ratio():
    recipe = Recipe(content_layers=("relu1_1", "relu2_1"), content_layer_weights=(1, 3))
    assert recipe.content_shares() == {"relu1_1": 0.25, "relu2_1": 0.75}
    assert math.fsum(recipe.style_shares().values()) == pytest.approx(1.0)
    assert set(recipe.style_shares()) == set(recipe.style_layers)


WEIGHT = st.floats(0.0, 1e12)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    layers = draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=5, unique=True))
    drawn: dict[str, Any] = {
        "size": draw(st.integers(1, 65536) | st.just("original")),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "weights": draw(st.none() | st.just(Path("some/file ünicode.pth"))),
        "pooling": draw(st.sampled_from([None, "max", "average", "l2"])),
        "style_layers": tuple(layers),
        "style_layer_weights": draw(st.just(()) | st.tuples(*[st.floats(1e-12, 1e12)] * len(layers))),
        "content_weight": draw(WEIGHT),
        "tv_weight": draw(WEIGHT),
        "iterations": tuple(draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=4))),
        "tolerance": draw(st.floats(0.0, 1.0, exclude_max=True)),
        "learning_rate": draw(st.floats(0.0, 10.0, exclude_min=True)),
        "style_scale": draw(st.floats(0.05, 8.0, exclude_min=True)),
        "init": draw(st.sampled_from(["content", "instant", "noise", "style-colours", "picture"])),
    }
    return Recipe(**drawn)


@pytest.mark.slow
@settings(deadline=None)
@given(recipes())
def test_a_recipe_survives_json(recipe):
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert set(json.loads(text)) == set(Recipe.model_fields)
    assert Recipe.from_json(text).to_json() == text


def test_json_by_hand_takes_defaults_for_the_rest():
    assert Recipe.from_json('{"size": 800, "style_layers": "conv_1"}') == Recipe(
        size=800, style_layers="conv1_1"
    )
    assert Recipe.from_json("{}") == Recipe()


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "3", "NaN", '{"size": 1e999}', '{"size": NaN}', '{"self": 1}',
     '{"model_config": {}}',
     '{"iterations": []}', '{"iterations": null}', '{"style_layers": {}}', '{"style_layers": [1]}',
     '{"style_blend": [[1]]}', '{"encoder": ["compact"]}', '{"seed": 1.5}', '{"tv_weight": "x"}',
     "[" * 100_000],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_json_that_is_no_recipe_is_refused_in_one_line(text):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(text)
    assert "\n" not in str(caught.value)


def bounds(annotation: Any) -> list[Any]:
    """Every constraint (ge, gt, le, lt) in an annotation, however deep."""
    found = []
    for item in getattr(annotation, "__metadata__", ()):
        found += [item, *getattr(item, "metadata", ())]
    for part in typing.get_args(annotation):
        if part is not annotation:
            found += bounds(part)
    return [item for item in found if any(hasattr(item, name) for name in ("ge", "gt", "le", "lt"))]


def limits(field: FieldInfo) -> Iterator[tuple[str, float]]:
    """(sign, bound) of every limit of a field."""
    for item in [*field.metadata, *bounds(field.annotation)]:
        for name in ("ge", "gt", "le", "lt"):
            bound = getattr(item, name, None)
            if bound is not None:
                yield name, bound


LIMITS = [(name, *limit) for name, field in Recipe.model_fields.items() for limit in limits(field)]


def types_in(annotation: Any) -> set[Any]:
    """Every plain type in an annotation, however deep."""
    parts = typing.get_args(annotation)
    return set().union(*map(types_in, parts)) if parts else {annotation}


def test_every_number_has_a_lower_and_an_upper_limit():
    numbers = {n for n, field in Recipe.model_fields.items() if types_in(field.annotation) & {int, float}}
    assert {"size", "seed", "iterations", "tv_weight", "style_blend"} <= numbers
    assert {name for name, sign, _ in LIMITS if sign in ("ge", "gt")} == numbers
    assert {name for name, sign, _ in LIMITS if sign in ("le", "lt")} == numbers


@pytest.mark.parametrize(("name", "sign", "bound"), LIMITS)
def test_limits_are_enforced_and_said(name, sign, bound):
    whole = float not in types_in(Recipe.model_fields[name].annotation)
    step = 1 if whole else abs(bound) * 1e-6 or 1e-6
    outside = {"ge": bound - step, "gt": bound, "le": bound + step, "lt": bound}[sign]
    inside = {"ge": bound, "gt": bound + step, "le": bound, "lt": bound - step}[sign]
    # A weight of 0 alone may leave nothing to do, and lists have a length to keep.
    rest: dict[str, Any] = {"tv_weight": 1.0} if name != "tv_weight" else {}
    if name.endswith("_weights") and name != "region_weights":
        several = {"style_loss": ("gram", "sliced")}
        rest[name.removesuffix("_weights") + "s" * ("layer" in name)] = several.get(
            name.removesuffix("_weights"), ("relu1_1", "relu2_1")
        )
    listed = typing.get_origin(Recipe.model_fields[name].annotation) is tuple
    length = 4 if name == "style_crop" else 2

    def value(number: float) -> Any:
        return [number, *[1] * (length - 1)] if listed else number

    with pytest.raises(RecipeError, match=name):
        Recipe(**(rest | {name: value(outside)}))
    Recipe(**(rest | {name: value(inside)}))
    help_text = Recipe.model_fields[name].description or ""
    words = {
        "ge": ("at least {}", "({} to "),
        "gt": ("above {}",),
        "le": ("at most {}", " to {})"),
        "lt": ("below {}",),
    }
    if abs(bound) < 1e6:
        assert any(form.format(f"{bound:g}") in help_text for form in words[sign])


@pytest.mark.parametrize("name", list(Recipe.model_fields))
def test_every_setting_has_help_and_a_valid_default(name):
    field = Recipe.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert len(field.description) > 15
    assert not field.is_required()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"content_weight": -1e-9}, "content_weight"), ({"style_weight": math.nan}, "style_weight"),
        ({"tv_weight": math.inf}, "tv_weight"), ({"size": "big"}, "size"), ({"size": 1.5}, "size"),
        ({"style_layers": ()}, "style_layers"), ({"style_layers": ("relu1_1", "conv_99")}, "conv_99"),
        ({"style_layers": ("relu1_1", "block1_conv1")}, "2 times"),
        ({"content_layers": ("relu1_1",), "content_layer_weights": (1, 2)}, "2 content layer weights for 1"),
        ({"style_layers": ("relu1_1",), "style_layer_weights": (0,)}, "layer weights are all 0"),
        ({"style_blend": (0, 0)}, "blend is 0"), ({"iterations": ()}, "iterations"),
        ({"content_weight": 0, "style_weight": 0}, "all 0"), ({"colour": "kept"}, "unknown setting 'colour'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(wrong, match):
    with pytest.raises(RecipeError, match=match) as caught:
        Recipe(**wrong)
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError, match=match):
        Recipe().replace(**wrong)


@pytest.mark.parametrize("settings", [{"size": True}, {"iterations": [30, True]}, {"strength": False}])
def test_true_and_false_are_no_numbers(settings):
    with pytest.raises(RecipeError, match="true or false"):
        Recipe.from_json(json.dumps(settings))


def test_a_preset_then_a_recipe_then_settings():
    fine = merged("fine", Recipe(iterations=(7,)), {"seed": 3})
    assert (fine.style_loss, fine.iterations, fine.seed) == (("gram", "nearest"), (7,), 3)
    assert merged("classic", None, {}) == Recipe()
    with pytest.raises(RecipeError, match="unknown preset 'fats'"):
        merged("fats", None, {})
    assert Recipe(seed=2).replace(size=64).model_fields_set == {"seed", "size"}


def test_without_a_preset_own_losses_and_recipes_are_not_finished():
    assert merged(None, None, {"size": 64}) == preset("fast").replace(size=64)
    assert merged(None, Recipe(size=64), {}) == Recipe(size=64)
    for own in ({"style_loss": "wasserstein"}, {"normalisation": "gatys"}):
        assert merged(None, None, own) == Recipe(**own)
    # With a preset, other losses do not keep the weights of its own.
    other = merged("fast", None, {"style_loss": "gram"})
    assert (other.style_loss_weights, other.finishing) == ((), preset("fast").finishing)


@pytest.mark.parametrize(
    "settings", [{"iterations": (5,)}, {"content_weight": 0.2}, {"style_layers": "relu1_1"}]
)
def test_settings_of_the_layout_begin_with_the_content(settings):
    """With the instant picture of the presets they would have no effect."""
    assert preset("fast").init == "instant"
    assert merged(None, None, settings).init == "content"
    assert merged("fast", Recipe(**settings), {}).init == "content"
    assert merged("fast", None, settings | {"init": "instant"}).init == "instant"
    assert merged("fast", Recipe(init="noise"), settings).init == "noise"
    assert merged(None, None, {"strength": 0.3, "seed": 1}).init == "instant"


def test_senseless_combinations_are_refused():
    with pytest.raises(RecipeError, match="normalisation 'gatys' with another loss"):
        Recipe(style_loss="nearest", normalisation="gatys")
    with pytest.raises(RecipeError, match="each once"):
        Recipe(style_loss="gram,gram")
    with pytest.raises(RecipeError, match="one per style loss"):
        Recipe(style_loss="gram,nearest", style_loss_weights=(1,))
    with pytest.raises(RecipeError, match="style_loss"):
        Recipe(style_loss="gramm")


def test_strength_and_weights_are_one_or_the_other():
    with pytest.raises(RecipeError, match=r"strength 0\.5 with content_weight"):
        Recipe(strength=0.5, content_weight=2)
