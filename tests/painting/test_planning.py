"""What a picture will cost: memory with its tiles, and time with its scales."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import checks, picture, tiny_encoder
from impasto import api
from impasto.errors import RecipeError
from impasto.losses.pixels import TotalVariationTerm
from impasto.painting import planning
from impasto.painting.planning import (
    bytes_per_pixel,
    expected_seconds,
    plan_memory,
    seconds_per_pixel,
    time_shares,
)
from impasto.painting.schedule import max_evaluations, scale_sizes
from impasto.recipe import Recipe, preset
from impasto.scene import Region, Scene, Style

MB, GB = 1e6, 1e9
SHALLOW = Recipe(style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_1",))


# --------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("dtype", "layers", "expected"),
    [
        # Eight pictures of 12 bytes; 2 values a channel in the precision of the convolutions; a read layer
        # in float32 with its gradient; of both three quarters. The tiny encoder has 4 channels in block 1
        # and 5 in block 2.
        (torch.float32, (), 96.0),
        (torch.float32, ("relu1_1",), 96 + 0.75 * (2 * 4 * 4 + 12 * 4)),
        (torch.bfloat16, ("relu1_1",), 96 + 0.75 * (2 * 2 * 4 + 12 * 4)),
        (torch.float32, ("relu2_1",), 96 + 0.75 * (2 * 4 * (4 + 4 + 5 / 4) + 12 * 5 / 4)),
        (torch.float32, ("relu2_1", "relu1_1"), 96 + 0.75 * (2 * 4 * (4 + 4 + 5 / 4) + 12 * (4 + 5 / 4))),
    ],
)
def test_bytes_a_pixel_counted_by_hand(dtype, layers, expected):
    assert bytes_per_pixel(tiny_encoder(dtype=dtype), layers) == pytest.approx(expected)


def test_with_plenty_of_memory_a_picture_is_painted_whole():
    recipe = Recipe(content_weight=0.0, style_layers="relu1_1", history=10)
    plan = plan_memory(recipe, tiny_encoder(), (1000, 2000), 64 * GB)
    assert (plan.limits.tile, plan.limits.optimiser_bytes) == (None, None)
    # Seven and a half pictures, one evaluation (156 bytes a pixel), ten pairs of L-BFGS.
    assert plan.bytes == pytest.approx(0.35 * GB + 2e6 * (7.5 * 12 + 156 + 10 * 24))


def test_tiles_may_be_given_without_a_limit_of_memory():
    plan = plan_memory(SHALLOW, tiny_encoder(), (1000, 2000), math.inf, tile=512)
    assert (plan.limits.tile, plan.limits.optimiser_bytes) == (512, None)
    assert plan.bytes == pytest.approx(
        plan_memory(SHALLOW, tiny_encoder(), (1000, 2000), 1e15, tile=512).bytes
    )


def test_what_the_content_keeps_in_memory_is_counted():
    encoder = tiny_encoder()
    with_content = plan_memory(SHALLOW, encoder, (1000, 2000), 64 * GB).bytes
    without = plan_memory(SHALLOW.replace(content_weight=0.0), encoder, (1000, 2000), 64 * GB).bytes
    assert with_content - without == pytest.approx(2e6 * encoder.bytes_per_pixel(["relu2_1"]))
    assert with_content > without


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(64, 30_000), st.integers(64, 30_000), st.floats(0.55, 64.0))
def test_a_plan_stays_within_the_memory_or_names_a_size_that_is_enough(height, width, gigabytes):
    encoder = tiny_encoder()
    try:
        plan = plan_memory(Recipe(), encoder, (height, width), gigabytes * GB)
    except RecipeError as error:
        number, unit = re.search(r"at least ([\d.,]+) (\wB) are needed", str(error)).groups()
        needed = float(number.replace(",", "")) * {"MB": MB, "GB": GB, "TB": 1e12}[unit]
        assert needed > 0.95 * gigabytes * GB
        # The number is rounded to a decimal.
        plan = plan_memory(Recipe(), encoder, (height, width), 1.06 * needed)
        gigabytes = 1.06 * needed / GB
    assert plan.bytes <= 1.000001 * gigabytes * GB
    if plan.limits.tile is not None:
        assert plan.limits.tile >= planning.MIN_TILE
        assert plan.limits.optimiser_bytes > 0


@pytest.mark.parametrize(
    ("max_bytes", "said"), [(512 * MB, "512.0 MB"), (1.5 * GB, "1.5 GB"), (2 * GB, "2.0 GB")]
)
def test_the_message_gives_memory_in_a_unit_that_fits(max_bytes, said):
    # A picture of 900 megapixels needs 90 bytes a pixel, 81 GB, and more.
    with pytest.raises(RecipeError) as refused:
        plan_memory(SHALLOW, tiny_encoder(), (30_000, 30_000), max_bytes)
    assert f"a picture of 30000×30000 pixels in {said} of memory" in str(refused.value)
    least = float(re.search(r"at least ([\d.]+) GB are needed", str(refused.value))[1])
    assert 81 < least < 120


def test_layers_that_the_encoder_lacks_are_refused():
    with pytest.raises(RecipeError, match=r"this encoder's weights end at .*, and 'relu5_4' was asked for"):
        plan_memory(SHALLOW.replace(style_layers=("relu5_4",)), tiny_encoder(), (64, 64), 8 * GB)


def test_a_tile_that_the_caller_insists_on_is_kept():
    plan = plan_memory(SHALLOW, tiny_encoder(), (1000, 1000), 4 * GB, tile=320)
    assert plan.limits.tile == 320
    # relu2_1 sees 4 pixels beyond a tile on each side.
    per_pixel = 96 + 0.75 * (2 * 4 * (4 + 4 + 5 / 4) + 12 * (4 + 5 / 4))
    fixed = 0.35 * GB + 1e6 * (7.5 * 12 + tiny_encoder().bytes_per_pixel(["relu2_1"]))
    assert plan.limits.optimiser_bytes == int(4 * GB - fixed - per_pixel * 328**2)


def test_terms_of_the_callers_own_decide_what_is_counted():
    terms = [TotalVariationTerm()]
    plan = plan_memory(Recipe(content_weight=0.0), tiny_encoder(), (1000, 1000), 64 * GB, terms=terms)
    assert plan.bytes == pytest.approx(0.35 * GB + 1e6 * (7.5 * 12 + 96 + 20 * 24))


# ----------------------------------------------------------------------------------------------------- time


def ticking(monkeypatch: pytest.MonkeyPatch, times: Iterator[float]) -> None:
    """The clock of the planning module shows these times, one a look."""
    monkeypatch.setattr(planning, "time", SimpleNamespace(perf_counter=lambda: next(times)))


def scene(**changes: object) -> Scene:
    return Scene(**({"content": picture(24, 32), "styles": (Style(checks(24, 24)),)} | changes))


def test_a_rate_is_the_second_evaluation_over_its_pixels(monkeypatch):
    ticking(monkeypatch, iter([10.0, 13.0]))
    evaluated = []
    original = planning.Objective.evaluate

    def evaluate(objective, image):
        evaluated.append(image)
        return original(objective, image)

    monkeypatch.setattr(planning.Objective, "evaluate", evaluate)
    assert seconds_per_pixel(SHALLOW, tiny_encoder(), scene(), side=16) == pytest.approx(3.0 / 16**2)
    assert [tuple(image.shape) for image in evaluated] == [(1, 3, 16, 16)] * 2
    assert not torch.equal(evaluated[0], evaluated[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"content": None, "aspect": (24, 32)},
        {"content_mask": torch.ones(1, 1, 24, 32)},
        {"regions": (Region("sky", torch.ones(1, 1, 24, 32), (Style(checks(24, 24)),)),)},
    ],
    ids=["texture", "transparent", "regions"],
)
@pytest.mark.parametrize("loss", ["gram", "nearest"])
def test_a_rate_is_measured_for_every_kind_of_scene(changes, loss, monkeypatch):
    ticking(monkeypatch, itertools.count(0.0, 0.5))
    recipe = SHALLOW.replace(style_loss=loss, content_weight=0.0 if "aspect" in changes else 0.05)
    rate = seconds_per_pixel(recipe, tiny_encoder(), scene(**changes), side=16)
    assert rate == pytest.approx(0.5 / 16**2)


def test_all_evaluations_at_all_scales_are_added_up(monkeypatch):
    monkeypatch.setattr(planning, "seconds_per_pixel", lambda *arguments, **options: 1e-3)
    recipe = SHALLOW.replace(size=64, coarsest=32, iterations=(10, 4))
    # Scales of 24×32 and 48×64 pixels.
    whole = expected_seconds(recipe, tiny_encoder(), scene())
    assert whole == pytest.approx(1e-3 * (10 * 24 * 32 + 4 * 48 * 64))
    tiled = expected_seconds(recipe, tiny_encoder(), scene(), tile=32)
    factor = 1.6 * (1 + 2 * 4 / 32) ** 2  # relu2_1 sees 4 pixels beyond a tile; the coarse scale is one tile
    assert tiled == pytest.approx(1e-3 * (10 * 24 * 32 + factor * 4 * 48 * 64))


@pytest.mark.slow
def test_a_texture_of_nearest_features_in_tiles_is_painted_within_a_time_budget():
    texture = Recipe(
        size=64, coarsest=64, content_weight=0.0, init="noise", style_loss="nearest",
        style_layers=("relu1_1", "relu2_1"), margin=0,
    )  # fmt: skip
    prepared = api.prepare(None, checks(48, 48), texture, max_memory=2 * GB, tile=32)
    assert prepared.memory.limits.tile == 32
    assert 0.0 < prepared.memory.bytes <= 2 * GB
    rate = seconds_per_pixel(texture, prepared.encoder, prepared.scene, side=64)
    assert 0.0 < rate < math.inf
    result = api.run(prepared, budget=1.0)
    assert result.finished  # how many evaluations that are is for a busy machine to say
    assert set(result.losses) == {"total", "style/relu1_1/nearest", "style/relu2_1/nearest"}
    assert result.losses["total"] <= result.trace[0]["loss"]


def test_a_time_budget_is_shared_by_the_cost_of_the_scales(monkeypatch):
    # One second an evaluation at the first scale and four at the second: 8 and 16 of 24 seconds.
    now = [100.0]
    monkeypatch.setattr(planning, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    plan = [(10, 10), (20, 20)]
    stop = time_shares(Recipe(iterations=(8, 4)), plan, 24.0, 0.01, 100.0)
    for seconds, scale, ends in [
        (0.0, 1, False), (7.4, 1, False), (7.6, 1, True),  # half an evaluation before the end
        (8.0, 2, False), (21.9, 2, False), (22.1, 2, True),
    ]:  # fmt: skip
        now[0] = 100.0 + seconds
        assert stop(scale, 3) is ends, seconds
        assert stop(scale, 0) is False


@pytest.mark.parametrize("factor", [0.4, 1.0, 5.0])
def test_finishing_takes_its_share_of_a_time_budget(monkeypatch, factor):
    monkeypatch.setattr(api, "seconds_per_pixel", lambda *arguments, **options: 1e-5)
    recipe = preset("fast").replace(size=64, paint_size=128, coarsest=32)
    prepared = api.prepare(picture(48, 64), checks(48, 48), recipe)
    plan = scale_sizes(prepared.recipe, 48, 64)
    usual = 1e-5 * sum(n * h * w for n, (h, w) in zip(max_evaluations(recipe, plan), plan, strict=True))
    painted_with = []

    def steps(scene, recipe, *arguments, **_):
        painted_with.append(recipe)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.run(prepared, budget=factor * usual, step_fn=steps)
    (given,) = painted_with
    assert given.coarse_finishing == pytest.approx(factor * recipe.coarse_finishing, abs=1)
    assert given.finishing[-1] == pytest.approx(factor * recipe.finishing[-1], abs=1)


def test_a_time_budget_too_short_is_refused_with_the_time_it_takes():
    plan = [(10, 10), (30, 40)]
    assert callable(time_shares(Recipe(), plan, 48.0, 0.01, 0.0))
    with pytest.raises(RecipeError, match=r"a budget of 47 s for a picture of 40×30 pixels.*at least 48 s"):
        time_shares(Recipe(), plan, 47.0, 0.01, 0.0)
