"""Terms from a recipe, and the strength that balances them on their own scales."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, checks, picture, tiny_encoder, tiny_state
from fakes import objective as make_objective
from impasto import pictures
from impasto.cli import main
from impasto.losses.build import BALANCE, objective_of, terms_of
from impasto.losses.content import ContentTerm, SelfSimilarityTerm
from impasto.losses.nearest import NearestTerm
from impasto.losses.objective import Objective
from impasto.losses.pixels import TemporalTerm, TotalVariationTerm
from impasto.losses.style import GRAM, StyleLoss, StyleTerm
from impasto.painting import engine
from impasto.recipe import CONTENT_LOSSES, STYLE_LOSSES, Recipe
from impasto.scene import Scene, Style

# --------------------------------------------------------------------------------------- terms from a recipe


def test_each_setting_becomes_a_term_with_its_weight():
    recipe = Recipe(
        content_weight=0.3, style_weight=8.0, style_loss=("gram", "nearest"), style_loss_weights=(3, 1),
        style_layers=("relu1_1", "relu2_1"), style_layer_weights=(1, 4), tv_weight=0.5, mask_spread="inside",
    )  # fmt: skip
    content, gram, nearest, tv, temporal = terms_of(recipe)
    assert (type(content), content.weight, content.layers) == (ContentTerm, 0.3, ("relu3_2",))
    assert (type(gram), gram.weight, gram.loss, gram.inside) == (StyleTerm, 6.0, GRAM, True)
    assert (type(nearest), nearest.weight) == (NearestTerm, 2.0)
    assert gram.layer_weights == nearest.layer_weights == {"relu1_1": 0.2, "relu2_1": 0.8}
    assert (type(tv), tv.weight) == (TotalVariationTerm, 0.5)
    assert type(temporal) is TemporalTerm


def test_weights_of_zero_and_a_strength_leave_terms_out():
    def names(**settings: object) -> list[str]:
        return [term.name for term in terms_of(Recipe(**settings))]

    assert names() == ["content", "style", "temporal"]
    assert names(content_weight=0) == ["style", "temporal"]
    assert names(style_weight=0) == ["content", "temporal"]
    assert names(strength=0.0) == ["content", "temporal"]
    assert names(strength=1.0, tv_weight=1) == ["style", "tv", "temporal"]
    assert names(style_loss="gram,sliced", style_loss_weights=(0, 1)) == ["content", "style", "temporal"]
    assert [term.weight for term in terms_of(Recipe(strength=0.4))] == [1.0, 1.0, 1.0]
    (similarity, *_) = terms_of(Recipe(content_loss="self-similarity"))
    assert type(similarity) is SelfSimilarityTerm


def test_terms_for_which_the_scene_has_no_pictures_are_left_out():
    encoder, image = tiny_encoder(), picture(32, 32)
    styles = (Style(checks(32, 32)),)

    def kinds(scene: Scene) -> set[str]:
        scene = scene.at((32, 32), 0, torch.device("cpu"))
        losses = objective_of(encoder, scene, Recipe(tv_weight=1.0)).losses(image)
        return {name.partition("/")[0] for name in losses}

    assert kinds(Scene(image, styles)) == {"content", "style", "tv"}
    assert kinds(Scene(None, styles, aspect=(32, 32))) == {"style", "tv"}
    assert kinds(Scene(image)) == {"content", "tv"}


def test_the_share_of_the_content_counts_unless_the_caller_has_terms_of_his_own():
    encoder, image = tiny_encoder(dtype=torch.float64), picture(32, 32, 2).double()
    content = picture(32, 32).double()
    scene = Scene(content, (Style(checks(32, 32).double()),)).at((32, 32), 0, torch.device("cpu"))

    def loss(share: float, **options: object) -> float:
        judged = objective_of(encoder, scene, Recipe(), content_share=share, **options)
        return judged.losses(image).get("content/relu3_2", 0.0)

    assert loss(0.25) == pytest.approx(0.25 * loss(1.0))
    assert loss(0.0) == 0.0 < loss(1.0)
    assert loss(0.0, terms=terms_of(Recipe())) == loss(1.0)
    # A strength below one half keeps more of the content: at 0.2 a share of s becomes s + 0.6 (1 - s).
    gentle = Recipe(strength=0.2)
    full, reduced = (
        objective_of(encoder, scene, gentle, content_share=share).losses(image)["content/relu3_2"]
        for share in (1.0, 0.25)
    )
    assert reduced == pytest.approx((0.25 + 0.6 * 0.75) * full)
    # A share above 1 stays, and details are held as firmly; where the content lets go, they are still held.
    losses = {
        share: objective_of(encoder, scene, Recipe(keep_details=1.0, strength=0.2), content_share=share)
        .losses(image)
        for share in (0.0, 1.0, 3.0)
    }  # fmt: skip
    for name in ("content/relu3_2", "details/relu3_2"):
        assert losses[3.0][name] == pytest.approx(3.0 * losses[1.0][name])
    assert losses[0.0]["details/relu3_2"] == losses[1.0]["details/relu3_2"]


# ------------------------------------------------------------------------------ a loss that is registered


def _gather(features, layer, grid, tile) -> Tensor:
    """Mean and mean square of every channel, (C, 2)."""
    weights = grid.weights_in(tile)
    values = features[layer] if weights is None else features[layer] * weights
    sums = [values.sum((0, 2, 3)), (values * features[layer]).sum((0, 2, 3))]
    return torch.stack(sums, 1) / grid.total_weight


def _judge(statistic: Tensor, target: Tensor, normalisation: str) -> Tensor:
    """Mean squared difference of mean over root mean square: a ratio, which no sum of tiles' losses gives."""
    ratio, ratio_of_target = (values[:, 0] / (values[:, 1] + 0.01).sqrt() for values in (statistic, target))
    return (ratio - ratio_of_target).square().mean()


EVENNESS = StyleLoss(_gather, _judge, averages=True)


def evenness(image: Tensor, target: Tensor, layer: str) -> float:
    """The same for NumPy."""
    state = {key: array(value) for key, value in tiny_state().items() if key[4:7] in ("1_1", "1_2", "2_1")}
    both = [oracles.encode(state, array(pixels[0]), [layer])[layer] for pixels in (image, target)]
    ratios = [features.mean((1, 2)) / np.sqrt((features**2).mean((1, 2)) + 0.01) for features in both]
    return float(((ratios[0] - ratios[1]) ** 2).mean())


def test_a_registered_style_loss_is_its_formula_whole_and_in_tiles(monkeypatch):
    monkeypatch.setitem(STYLE_LOSSES, "evenness", EVENNESS)
    recipe = Recipe(
        content_weight=0, style_loss="gram,evenness", style_loss_weights=(1, 3), style_weight=8.0,
        style_layers="relu1_1,relu2_1", style_layer_weights=(1, 3),
    )  # fmt: skip
    encoder, style = tiny_encoder(dtype=torch.float64), checks(30, 26, 3).double()
    image = picture(36, 52, 2).double()
    scene = Scene(None, (Style(style),), aspect=(36, 52)).at((36, 52), 0, torch.device("cpu"))
    (region,) = scene.regions
    whole = objective_of(encoder, scene, recipe).evaluate(image)
    tiled = objective_of(encoder, scene, recipe, tile=16).evaluate(image)
    for layer, share in (("relu1_1", 0.25), ("relu2_1", 0.75)):
        expected = 6.0 * share * evenness(image, region.styles[0].pixels, layer)
        assert whole[2][f"style/{layer}/evenness"] == pytest.approx(expected, rel=1e-6)
        assert expected > 0.0
    assert tiled[0] == pytest.approx(whole[0], rel=1e-12)
    assert tiled[2] == pytest.approx(whole[2], rel=1e-11)
    torch.testing.assert_close(tiled[1], whole[1], rtol=0, atol=1e-12 * float(whole[1].abs().max()))


@pytest.mark.slow
def test_a_registered_style_loss_reaches_the_command_line_and_its_tiles(monkeypatch, tmp_path, capfd):
    monkeypatch.setitem(STYLE_LOSSES, "evenness", EVENNESS)
    monkeypatch.chdir(tmp_path)
    pictures.save("content.png", picture(72, 96))
    pictures.save("style.png", checks(64, 64))

    def stylize(*flags: str) -> int:
        arguments = ["stylize", "content.png", "style.png", "--size", "144", "--coarsest", "144"]
        layers = ["--iterations", "2", "--precision", "float32", "--style-layers", "relu1_1,relu2_1", "-q"]
        with pytest.raises(SystemExit) as ended:
            main.main([*arguments, *layers, *flags])
        return int(ended.value.code)

    traces = []
    for folder, flags in (("whole", []), ("tiled", ["--tile", "64"])):
        flags = ["--style-loss", "evenness", "-o", f"{folder}.png", "--save-run", folder, *flags]
        assert stylize(*flags) == 0, capfd.readouterr().err
        assert Recipe.from_json(Path(folder, "recipe.json").read_text()).style_loss == ("evenness",)
        traces.append(json.loads(Path(folder, "trace.jsonl").read_text().splitlines()[0]))
    whole, tiled = traces
    assert whole["style/relu2_1/evenness"] > 0.0
    for name in ("loss", "content/relu3_2", "style/relu1_1/evenness", "style/relu2_1/evenness"):
        assert tiled[name] == pytest.approx(whole[name], rel=1e-4)
    capfd.readouterr()
    assert stylize("--style-loss", "eveness", "-o", "no.png") == 2
    assert "evenness" in capfd.readouterr().err


def test_a_registered_content_loss_is_a_function_of_layers_weight_and_recipe(monkeypatch):
    asked = []

    def build(layer_weights, weight, recipe):
        asked.append((layer_weights, weight, recipe))
        return TotalVariationTerm(name="content", weight=weight)

    monkeypatch.setitem(CONTENT_LOSSES, "flat", build)
    recipe = Recipe(content_loss="flat", content_weight=0.5, content_layers="relu1_1,relu2_1")
    assert terms_of(recipe)[0] == TotalVariationTerm(name="content", weight=0.5)
    assert asked == [({"relu1_1": 0.5, "relu2_1": 0.5}, 0.5, recipe)]


# -------------------------------------------------------------------------------------------------- strength


def judged(strength: float, *, tile: int | None = None, **settings: object) -> Objective:
    one_layer = {"style_layers": ("relu2_1",), "content_layers": ("relu3_2",)}
    return make_objective(
        tiny_encoder(dtype=torch.float64),
        Recipe(strength=strength, **(one_layer | settings)),
        picture(48, 64, 1).double(),
        [Style(checks(48, 48).double())],
        tile=tile,
    )


def test_each_side_is_measured_on_its_own_scale():
    content = picture(48, 64, 1).double()
    for strength in (0.2, 0.5, 0.9):
        at_content = judged(strength).evaluate(content)[2]
        elsewhere = judged(strength).evaluate(content.flip((-2, -1)))[2]
        assert at_content["style/relu2_1"] == pytest.approx(1.0)
        assert elsewhere["content/relu3_2"] == pytest.approx(BALANCE * ((1 - strength) / strength) ** 3)


def test_the_least_strength_is_a_weight_and_no_error():
    content = picture(48, 64, 1).double()
    assert math.isfinite(judged(1e-300).evaluate(content.flip((-2, -1)))[0])


def test_one_layer_far_off_does_not_hide_the_others():
    content = picture(48, 64, 1).double()
    layers = {"style_layers": ("relu1_1", "relu2_1", "relu3_1")}
    terms = judged(0.5, **layers).evaluate(content)[2]
    style = [value for name, value in terms.items() if name.startswith("style/")]
    assert len(style) * math.prod(style) ** (1 / 3) == pytest.approx(1.0)
    # A thousand times the weight on one layer is as if the others were a thousand times nearer.
    heavy = judged(0.5, style_layer_weights=(1000, 1, 1), **layers).evaluate(content)[2]
    style = [value for name, value in heavy.items() if name.startswith("style/")]
    assert len(style) * math.prod(style) ** (1 / 3) == pytest.approx(1.0)


@pytest.mark.parametrize("normalisation", ["gatys", "neural-style"])
def test_units_do_not_matter(normalisation):
    image = picture(48, 64, 5).double()
    plain, other = (judged(0.4, normalisation=n).evaluate(image)[0] for n in ("relative", normalisation))
    assert other == pytest.approx(plain, rel=1e-4)


def test_tiles_agree_about_the_calibration():
    image = picture(48, 64, 5).double()
    whole, tiled = judged(0.5).losses(image), judged(0.5, tile=32).losses(image)
    assert tiled == pytest.approx(whole, rel=1e-10)


@pytest.mark.slow
def test_the_ends_are_content_and_style_and_between_them_it_rises():
    sources = Scene(picture(48, 64), (Style(checks(48, 48)),))

    def moved(strength: float) -> float:
        recipe = Recipe(size=64, coarsest=64, iterations=(20,), strength=strength)
        step = list(engine.steps(sources, recipe, tiny_encoder()))[-1]
        assert ("content/relu3_2" in step.terms) == (strength < 1)
        assert ("style/relu1_1" in step.terms) == (strength > 0)
        return float((step.picture - picture(48, 64)).abs().mean())

    found = [moved(s) for s in (0.0, 0.15, 0.6, 1.0)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[3] > 2 * found[1]


@pytest.mark.slow
def test_a_low_strength_keeps_the_content_at_every_scale():
    def last(strength: float) -> set[str]:
        recipe = Recipe(
            size=96, coarsest=48, content_until=48, iterations=(8, 12), tolerance=0.0,
            style_loss=("nearest", "gram"), strength=strength,
        )  # fmt: skip
        scene = Scene(picture(72, 96), (Style(checks(64, 64)),))
        step = list(engine.steps(scene, recipe, tiny_encoder()))[-1]
        return {name.partition("/")[0] for name in step.terms}

    assert last(0.3) == {"content", "style"}
    assert last(0.6) == {"style"}
