"""The finishing pass: its distance, its sample of positions, its turned styles, and its tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from fakes import array, checks, picture, tiny_encoder, tiny_state, values
from impasto.losses.build import objective_of
from impasto.losses.finishing import (
    FINISHING_LAYERS,
    MAX_NOISE,
    MOTIF_STRIDE,
    FinishingTerm,
    sampled_window,
)
from impasto.losses.functions import finishing_distance
from impasto.losses.grids import Grid
from impasto.losses.neighbours import CAPACITY, StyleDirections, unit_rows
from impasto.losses.noise import under_noise
from impasto.losses.tiled import TiledEncoder
from impasto.networks.encoder import CENTRED, Encoder
from impasto.networks.layers import geometry
from impasto.pictures.geometry import tiles
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

CPU = torch.device("cpu")
RECIPE = Recipe(finishing=5, content_until=16, keep_details=0.5, style_loss="nearest")


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_distance_is_its_formula():
    features, bank, weights = rows(9, 0), rows(13, 1), rows(9, 2)[:, 0].abs()
    sums, _ = finishing_distance(features, StyleDirections(bank), None, weights)
    expected = oracles.finishing(array(features), array(bank), array(weights))
    assert float(sums[0] / sums[1]) == pytest.approx(expected, rel=1e-9)
    equal, _ = finishing_distance(features, StyleDirections(bank))
    expected = oracles.finishing(array(features), array(bank), np.ones(9))
    assert float(equal[0] / equal[1]) == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_the_distance():
    features, style = rows(6, 3).requires_grad_(True), StyleDirections(rows(8, 4))
    assert torch.autograd.gradcheck(lambda f: finishing_distance(f, style)[0], (features,))


def test_features_of_the_style_itself_cost_nothing():
    bank = rows(20, 5)
    style = StyleDirections(bank)
    assert float(finishing_distance(bank[:7], style)[0][0]) == pytest.approx(0.0, abs=1e-9)
    # Only directions from the mean count, not how far away from it.
    centre = bank.mean(0)
    farther = centre + 3 * (bank[:7] - centre)
    assert float(finishing_distance(farther, style)[0][0]) == pytest.approx(0.0, abs=1e-9)


@given(st.integers(20, 150), st.integers(20, 150), st.integers(0, 400))
def test_every_position_gets_its_turn_whatever_the_tiles(height, width, first):
    grid, size = Grid(4, height, width), (4 * height, 4 * width)
    (whole,) = tiles(size, None, 16, 8)
    step = sampled_window(grid, whole, 0)[0].step
    seen = np.zeros((height, width), bool)
    for evaluation in range(first, first + 6 * step * step):
        in_one = np.zeros((height, width), bool)
        in_one[sampled_window(grid, whole, evaluation)] = True
        seen |= in_one
    assert seen.all()
    in_parts = np.zeros((height, width), bool)
    for tile in tiles(size, 64, 16, 8):
        in_parts[tile.grid(4)][sampled_window(grid, tile, evaluation)] = True
    assert (in_parts == in_one).all()


@pytest.mark.parametrize(("side", "pixels"), [(256, 8), (512, 16), (4096, 16)])
@pytest.mark.parametrize("stride", [1, 4])
def test_positions_are_not_far_apart_in_a_large_picture(side, pixels, stride):
    (whole,) = tiles((side, side), None, stride, 0)
    rows, columns = sampled_window(Grid(stride, side // stride, side // stride), whole, 0)
    assert rows.step == columns.step == pixels // stride


def scene(styles: int = 1, *, masked: bool = False, size: tuple[int, int] = (40, 56)) -> Scene:
    # Small styles, because the time goes into comparing every position with every one of theirs.
    pictures = [checks(24, 20, 3 + 2 * index).double() for index in range(styles)]
    made = Scene(picture(*size).double(), tuple(Style(pixels) for pixels in pictures)).at(size, 0, CPU)
    if not masked:
        return made
    left = torch.zeros(1, 1, 40, 56, dtype=torch.float64)
    left[..., :24] = 1.0
    (region,) = made.regions
    return replace(made, regions=(replace(region, mask=left), replace(region, name="right", mask=1.0 - left)))


@pytest.mark.slow
@pytest.mark.parametrize(("styles", "masked"), [(1, False), (2, True)])
def test_tiles_change_nothing_in_any_evaluation(styles, masked):
    image = picture(40, 56, 3).double()
    at_scale = replace(scene(styles, masked=masked), start=picture(40, 56, 4).double())
    encoder = tiny_encoder(dtype=torch.float64)
    whole, tiled = (objective_of(encoder, at_scale, RECIPE, tile=tile, finishing=True) for tile in (None, 32))
    for _ in range(2):  # the second knows the prices that were learned in the first
        a, b = whole.evaluate(image), tiled.evaluate(image)
        assert b[0] == pytest.approx(a[0], rel=1e-11)
        torch.testing.assert_close(b[1], a[1], rtol=0, atol=1e-11 * float(a[1].abs().max()))
        assert b[2] == pytest.approx(a[2], rel=1e-10)


def test_the_gradient_reaches_the_pixels_as_differences_say():
    image, direction = picture(40, 56, 3).double(), values(1, 3, 40, 56, seed=4).double()
    judge = objective_of(tiny_encoder(dtype=torch.float64), scene(), RECIPE, finishing=True)
    seen = under_noise(image, noise_of(scene()), 0)
    ahead, behind = (float(judge(seen + sign * 1e-6 * direction)[0]) for sign in (1, -1))
    _, gradient, _ = judge.evaluate(image)  # after it, other positions are compared
    assert (ahead - behind) / 2e-6 == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_the_features_of_a_bank_are_those_after_the_head():
    head = values(7, tiny_state()["conv2_1.weight"].shape[0], seed=8).double()
    state = {**tiny_state(), "head.relu2_1.weight": head}
    encoder = Encoder(state, CENTRED, pooling="average").eval().double().compute_in(torch.float64)
    term, style = FinishingTerm(layers=("relu2_1",)), checks(24, 20, 3).double()
    at_scale = Scene(None, (Style(style),)).at((24, 20), 0, CPU)
    bank = term.style_statistics(at_scale, TiledEncoder(encoder))["relu2_1/finishing"]
    turned = [torch.rot90(style, quarter, (-2, -1)) for quarter in range(4)]
    every = torch.cat([encoder(x, ["relu2_1"])["relu2_1"][0].flatten(1).T for x in turned])
    assert len(bank) == len(every) == 4 * 12 * 10  # as few positions as these are all taken
    nearest = torch.cdist(bank, every, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    assert float(nearest.max()) < 1e-9 * float(every.abs().max())


def test_a_turned_picture_is_as_near_to_the_style_as_the_style():
    encoder = TiledEncoder(tiny_encoder())
    style = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(7))
    term = FinishingTerm(layers=("relu2_1",))
    statistics = term.style_statistics(Scene(None, (Style(style),)).at((48, 48), 0, CPU), encoder)
    bank = statistics["relu2_1/finishing"]

    def rows_of(pixels: torch.Tensor) -> torch.Tensor:
        (part,) = encoder.parts(pixels, term.layers)
        return part.features["relu2_1"][0].flatten(1).T

    def distance(features: torch.Tensor, bank: torch.Tensor) -> float:
        sums, _ = finishing_distance(features, StyleDirections(bank))
        return float(sums[0] / sums[1])

    for quarter in range(4):
        turned = rows_of(torch.rot90(style, quarter, (2, 3)))
        assert distance(turned, bank) == pytest.approx(0.0, abs=1e-5)
        assert (distance(turned, rows_of(style)) > 1e-4) == (quarter > 0)
    assert distance(rows_of(1.0 - style), bank) > 1e-4


def test_motifs_count_only_where_the_content_has_no_forms_and_no_more_there():
    content = torch.full((1, 3, 96, 192), 0.5, dtype=torch.float64)
    content[..., 4:96:14] = 0.0  # lines with even ground between them, and sky from column 96 on
    content[..., 96:] = 0.5
    encoder = TiledEncoder(tiny_encoder(dtype=torch.float64))
    at_scale = replace(scene(), content=content, aspect=(96, 192)).at((96, 192), 0, CPU)
    canvas = picture(96, 192, seed=5).double()
    changed = canvas.clone()
    changed[..., 36:44, 8:16] = 1.0 - canvas[..., 36:44, 8:16]  # between two lines

    def losses(term: FinishingTerm, image: torch.Tensor) -> dict[str, float]:
        memory = term.prepare(at_scale, encoder)
        (part,) = encoder.parts(image, term.layers)
        judged = term.judge(term.gather(part, memory), memory)
        return {key.split("/")[0]: float(loss) for key, loss in judged.items()}

    held, free = FinishingTerm(weight=1.0, keep_details=1.0), FinishingTerm(weight=1.0)
    before, after = losses(held, canvas), losses(held, changed)
    before_free, after_free = losses(free, canvas), losses(free, changed)
    for layer, least, most in (("relu1_1", 0.3, 9.0), ("relu4_1", 0.0, 0.1), ("relu4_2", 0.0, 0.1)):
        moved, moved_free = after[layer] - before[layer], after_free[layer] - before_free[layer]
        assert least < abs(moved / moved_free) < most, layer
    assert before["relu4_1"] < 0.7 * before_free["relu4_1"]


def test_the_use_of_style_features_comes_to_its_bound():
    at_scale = replace(scene(size=(24, 32)), start=torch.full((1, 3, 24, 32), 0.5, dtype=torch.float64))
    encoder = TiledEncoder(tiny_encoder(dtype=torch.float64))
    term = FinishingTerm(weight=1.0)
    memory = term.prepare(at_scale, encoder)
    (part,) = encoder.parts(at_scale.start, term.layers)
    gathered = term.gather(part, memory)
    later = memory
    for _ in range(90):
        later = term.advance(term.gather(part, later), later)
    settled = term.gather(part, later)
    for layer in FINISHING_LAYERS:
        key = f"{layer}/finishing"
        prices, use = memory.finished[key].prices, gathered[f"{key}/use"]
        if prices is None:
            assert geometry(layer).stride > MOTIF_STRIDE
            assert not len(use)
            continue
        unpriced = {"": replace(memory.finished[key], prices=torch.zeros_like(prices))}
        free = term.gather(part, replace(memory, finished=unpriced))["/use"]
        assert float(free.max()) > 6 * float(free.mean()), "nothing to bound"
        assert float(use.max()) < 0.6 * float(free.max()), "prices at the start"
        assert float(settled[f"{key}/use"].max()) < 1.1 * CAPACITY * float(use.mean())


@pytest.mark.parametrize("face", [0.0, 1.0])
def test_faces_take_their_nearest_features_whatever_the_prices(face):
    even = torch.full((1, 3, 24, 32), 0.5, dtype=torch.float64)
    faces = torch.full((1, 1, 2, 3), face, dtype=torch.float64)
    at_scale = replace(scene(size=(24, 32)), content=even, faces=faces).at((24, 32), 0, CPU)
    encoder = TiledEncoder(tiny_encoder(dtype=torch.float64))
    term = FinishingTerm(weight=1.0, layers=("relu1_1", "relu3_1"), keep_details=1.0)
    memory = term.prepare(replace(at_scale, start=even), encoder)
    (part,) = encoder.parts(even, term.layers)
    # Only the style's feature that is least like what is painted can be paid for.
    priced = {}
    for key, one in memory.finished.items():
        prices = torch.full_like(one.prices, 1000.0)
        painted = unit_rows(part.features[one.layer][0].flatten(1).T - one.style.centre).mean(0)
        prices[(one.style.units @ painted).argmin()] = 0.0
        priced[key] = replace(one, prices=prices)
    free = {key: replace(one, prices=torch.zeros_like(one.prices)) for key, one in memory.finished.items()}
    gathered, nearest = (term.gather(part, replace(memory, finished=finished)) for finished in (priced, free))
    for key in memory.finished:
        assert (float(gathered[key][0]) > 1.001 * float(nearest[key][0])) == (face == 0.0)
        assert (float(gathered[f"{key}/use"].sum()) > 1e-3) == (face == 0.0)


def noise_of(at_scale: Scene, keep_details: float = 1.0) -> torch.Tensor:
    term = FinishingTerm(weight=1.0, keep_details=keep_details)
    return term.noise(term.prepare(at_scale, TiledEncoder(tiny_encoder(dtype=torch.float64))))


def test_noise_is_as_loud_as_the_quietest_style_and_leaves_faces_alone():
    content, grain = picture(40, 56).double(), values(1, 3, 24, 20, seed=6)
    quiet, loud = (Style((0.5 + contrast * grain).clamp(0.0, 1.0)) for contrast in (0.02, 0.5))
    quietest = oracles.finest_lightness(array(quiet.pixels[0]))
    assert 0.001 < quietest < MAX_NOISE < oracles.finest_lightness(array(loud.pixels[0]))
    assert float(noise_of(Scene(content, (loud, quiet)).at((40, 56), 0, CPU))) == pytest.approx(quietest)
    at_scale = Scene(content, (loud,)).at((40, 56), 0, CPU)
    assert float(noise_of(at_scale)) == pytest.approx(MAX_NOISE)
    face = torch.zeros(1, 1, 40, 56, dtype=torch.float64)
    face[..., :20] = 1.0
    noise = noise_of(replace(at_scale, faces=face), keep_details=0.5)
    assert noise.shape == face.shape
    assert float(noise[..., :20].max()) == pytest.approx(0.5 * MAX_NOISE)
    assert float(noise[..., 20:].min()) == pytest.approx(MAX_NOISE)


def test_terms_of_the_finishing_pass():
    encoder = tiny_encoder()
    judged = objective_of(encoder, scene_float(), RECIPE, finishing=True).losses(picture(40, 56))
    assert {name for name in judged if name.endswith("/finishing")} == {
        f"style/{layer}/finishing" for layer in FINISHING_LAYERS
    }
    assert "style/relu5_1" not in judged
    alone = objective_of(
        encoder, scene_float(), RECIPE.replace(style_layers="relu5_1"), finishing=True
    ).losses(picture(40, 56))
    assert not {f"style/{layer}" for layer in FINISHING_LAYERS} & set(alone)


def scene_float() -> Scene:
    return Scene(picture(40, 56), (Style(checks(48, 40)),)).at((40, 56), 0, CPU)
