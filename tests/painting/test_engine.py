"""The loop and its optimisers: what a step and a start are, what transparency hides, how fast it falls."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from any_recipe import cases, check_steps, recipes
from conftest import ROOT
from fakes import Faulty, checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto import pictures
from impasto.errors import RecipeError
from impasto.networks.encoder import Encoder
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.painting.optimisers import LBFGS, OPTIMISERS, Adam, Guarded
from impasto.pictures.geometry import fit
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

#: Small and shallow enough for three scales of a 64-pixel picture.
SMALL = {
    "size": 64, "coarsest": 16, "iterations": (6, 5, 4), "content_layers": ("relu2_1",),
    "style_layers": ("relu1_1", "relu2_1", "relu3_1"),
}  # fmt: skip


def recipe(**changes: object) -> Recipe:
    return Recipe(**(SMALL | changes))  # type: ignore[arg-type]


def sources(height: int = 48, width: int = 64, **changes: object) -> Scene:
    return Scene(**({"content": picture(height, width), "styles": (Style(checks(48, 48)),)} | changes))  # type: ignore[arg-type]


def paint(chosen: Recipe, given_: Scene | None = None, encoder: Encoder | None = None) -> list[Step]:
    return list(engine.steps(given_ or sources(), chosen, encoder or tiny_encoder()))


# ---------------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (50, 50), (33, 64)])
def test_the_result_has_the_contents_aspect_ratio(height, width):
    last = paint(recipe(), sources(height, width))[-1]
    assert last.size == tuple(last.picture.shape[-2:]) == fit(height, width, 64)
    own = paint(recipe(size="original", iterations=1), sources(height, width))[-1]
    assert own.size == (height, width)


# ----------------------------------------------------------------------------------------------------- steps


def test_one_step_for_each_evaluation_and_every_field_tells_the_truth():
    encoder = Faulty(lambda _: False, 1.0)  # counts
    chosen = recipe(tv_weight=0.1)
    steps = paint(chosen, encoder=encoder)
    assert encoder.calls == len(steps) == 15
    assert [s.evaluations for s in steps] == list(range(1, 16))
    assert [(s.scale, s.iteration) for s in steps] == [
        (scale, k) for scale, count in ((1, 6), (2, 5), (3, 4)) for k in range(1, count + 1)
    ]
    assert {(s.scale, s.size, s.iterations) for s in steps} == {
        (1, (12, 16), 6), (2, (24, 32), 5), (3, (48, 64), 4),
    }  # fmt: skip
    assert {(s.scales, s.planned) for s in steps} == {(3, 15)}
    assert [s.last for s in steps] == [False] * 14 + [True]
    for step in steps:
        assert step.loss == pytest.approx(sum(step.terms.values()), rel=1e-5)
        assert set(step.terms) == {
            "content/relu2_1", "style/relu1_1", "style/relu2_1", "style/relu3_1", "tv",
        }  # fmt: skip
        assert tuple(step.picture.shape) == (1, 3, *step.size)
        assert not step.picture.requires_grad
        assert step.event is None


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_the_best_loss_never_rises_and_belongs_to_the_picture(optimiser):
    chosen = recipe(optimiser=optimiser, iterations=(12, 12, 12), learning_rate=0.2, margin=0)
    steps = paint(chosen)
    for scale in (1, 2, 3):
        own = [s for s in steps if s.scale == scale]
        seen = float("inf")
        for step in own:
            seen = min(seen, step.loss)
            assert step.best_loss == seen
    # Painting on from a scale's best picture, alone, gives its loss at once.
    last = steps[-1]
    again = paint(chosen.replace(init="picture", coarsest=64, iterations=1), sources(start=last.picture))
    assert again[0].loss == pytest.approx(last.best_loss, rel=1e-5)


def test_iterations_of_zero_still_look_once():
    steps = paint(recipe(iterations=(0,)))
    assert [(s.scale, s.last) for s in steps] == [(1, False), (2, False), (3, True)]


def test_nothing_given_and_nothing_yielded_is_changed_in_place():
    given_ = sources(content_mask=None)
    before = [given_.content.clone(), given_.styles[0].pixels.clone()]
    pictures, copies = [], []
    for step in engine.steps(given_, recipe(), tiny_encoder()):
        pictures.append(step.picture)
        copies.append(step.picture.clone())
    assert all(torch.equal(a, b) for a, b in zip(pictures, copies, strict=True))
    assert torch.equal(given_.content, before[0])
    assert torch.equal(given_.styles[0].pixels, before[1])


def test_the_generator_can_be_dropped_at_any_time():
    whole = paint(recipe())
    for count in (0, 1, 7, 14):
        running = engine.steps(sources(), recipe(), tiny_encoder())
        part = list(islice(running, count))
        running.close()
        assert [s.loss for s in part] == [s.loss for s in whole[:count]]
        with pytest.raises(StopIteration):
            next(running)
    assert torch.is_grad_enabled()


def test_the_global_random_state_is_neither_used_nor_changed():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = paint(recipe(init="noise"))[-1].picture
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(paint(recipe(init="noise"))[-1].picture, first)


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_the_same_seed_gives_the_same_bytes(optimiser):
    noise = recipe(init="noise", optimiser=optimiser)
    first, second = paint(noise)[-1].picture, paint(noise)[-1].picture
    assert first.numpy().tobytes() == second.numpy().tobytes()
    assert not torch.equal(paint(noise.replace(seed=1))[-1].picture, first)
    content = recipe(optimiser=optimiser)
    assert torch.equal(paint(content)[-1].picture, paint(content.replace(seed=1))[-1].picture)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, {"content_until": 32, "coarse_content": 4.0, "fine_content": 0.5}, {"style_order": "coarse-to-fine"},
     {"init": "noise", "padding": "circular"},
     {"content_until": 32, "finishing": (4, 3), "coarse_finishing": 2, "coarse_content": 4.0},
     {"coarsest": 64, "finishing": 3}],
)  # fmt: skip
def test_what_is_resumed_between_two_scales_goes_on_as_if_never_stopped(changes):
    """The same bytes, because L-BFGS and the finishing pass begin each scale anew."""
    scene = sources(styles=(Style(checks(24, 24)), Style(picture(24, 24, seed=3))))
    chosen = recipe(**changes)
    whole = paint(chosen, scene)
    for index, step in enumerate(whole):
        after = engine.Progress(step.scale, 0, step.evaluations, step.picture)
        if step.last or whole[index + 1].scale == step.scale:
            continue
        rest = list(engine.steps(scene, chosen, tiny_encoder(), after=after))
        for ours, expected in zip(rest, whole[index + 1 :], strict=True):
            assert torch.equal(ours.picture, expected.picture)
            assert replace(ours, picture=None) == replace(expected, picture=None)


@pytest.mark.parametrize("changes", [{}, {"content_until": 32, "finishing": (4, 3), "coarse_finishing": 2}])
def test_what_is_resumed_within_a_scale_counts_on(changes):
    chosen, scene = recipe(**changes), sources(styles=(Style(checks(24, 24)),))
    whole = paint(chosen, scene)
    for index, step in enumerate(whole):
        if step.iteration not in (2, step.iterations):
            continue
        after = engine.Progress(step.scale - 1, step.iteration, step.evaluations, step.picture)
        rest = list(engine.steps(scene, chosen, tiny_encoder(), after=after))
        # The last evaluation of a scale is made again, because there is no scale without one.
        expected = whole[index + 1 :] if step.iteration < step.iterations else whole[index:]
        assert [(s.scale, s.iteration, s.iterations, s.size, s.last) for s in rest] == [
            (s.scale, s.iteration, s.iterations, s.size, s.last) for s in expected
        ]
        assert rest[0].evaluations == step.evaluations + 1
        assert rest[0].terms.keys() == expected[0].terms.keys()


def test_what_is_resumed_by_a_plan_with_fewer_scales_paints_the_last_one():
    rest = list(
        engine.steps(sources(), recipe(), tiny_encoder(), after=engine.Progress(7, 3, 20, picture(24, 32)))
    )
    assert [(s.scale, s.iteration, s.evaluations) for s in rest] == [(3, k, 20 + k) for k in range(1, 5)]


def test_tolerance_ends_a_scale_that_no_longer_changes_and_zero_does_not():
    chosen = recipe(iterations=(24,), optimiser="adam", learning_rate=1e-4)
    assert len(paint(chosen.replace(tolerance=0.0))) == 72
    # Ten steps of 1e-4 change nothing by more than 1e-3.
    steps = paint(chosen.replace(tolerance=2e-3))
    assert [s.scale for s in steps] == [1] * 20 + [2] * 20 + [3] * 20
    assert [s.last for s in steps] == [False] * 59 + [True]
    assert len(paint(chosen.replace(tolerance=1e-5))) == 72


def test_a_small_place_that_changes_keeps_a_scale_going():
    before, after = torch.zeros(1, 3, 64, 80), torch.zeros(1, 3, 64, 80)
    after[..., 16:32, 32:48] = 0.5
    assert engine._largest_change(after, before) == pytest.approx(0.5)
    assert engine._largest_change(before, before) == 0.0
    assert engine._largest_change(torch.ones(1, 3, 3, 2), torch.zeros(1, 3, 3, 2)) == pytest.approx(1.0)


def test_a_scale_ends_when_there_is_nothing_left_to_do():
    # Content alone, started from the content: the first gradient is zero.
    steps = paint(recipe(style_weight=0.0, coarsest=64, iterations=50))
    assert len(steps) == 1
    assert steps[0].last
    assert steps[0].loss == 0.0
    assert torch.equal(steps[0].picture, sources().content)


def start(chosen: Recipe, given_: Scene | None = None) -> Tensor:
    """The picture of the first step, which is the start: nothing better has been seen."""
    return next(engine.steps(given_ or sources(), chosen.replace(coarsest=64), tiny_encoder())).picture


# ----------------------------------------------------------------------------------------- what is asked for


def test_content_alone_brings_the_content_back_from_noise():
    # Layers before any ReLU lose nothing, so what comes back is the picture itself.
    layers = ("conv1_1", "conv1_2")
    chosen = recipe(init="noise", style_weight=0.0, coarsest=64, iterations=60, content_layers=layers)
    steps = paint(chosen)
    before, after = (float((s.picture - sources().content).abs().mean()) for s in (steps[0], steps[-1]))
    assert before > 0.2
    assert after < 0.005


@pytest.mark.slow
def test_style_alone_forgets_the_content():
    style_alone = recipe(content_weight=0.0, init="noise")
    steps = paint(style_alone.replace(iterations=30))
    assert steps[-1].best_loss < 0.05 * steps[0].loss
    other = sources(content=picture(48, 64, 7))
    assert torch.equal(paint(style_alone)[-1].picture, paint(style_alone, other)[-1].picture)


def test_total_variation_alone_flattens():
    steps = paint(
        recipe(content_weight=0.0, style_weight=0.0, tv_weight=1.0, iterations=40), sources(styles=())
    )
    assert set(steps[-1].terms) == {"tv"}
    assert steps[-1].best_loss < 0.02 * steps[0].loss
    assert float(steps[-1].picture.std((2, 3)).max()) < 0.1


def test_a_texture_has_the_canvas_and_no_content_term():
    style = Style(torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1)))
    texture = recipe(content_weight=0.0, init="noise", iterations=(3,))
    last = paint(texture, Scene(None, (style,), aspect=(32, 64)))[-1]
    assert last.picture.shape == (1, 3, 32, 64)
    assert all(name.startswith("style/") for name in last.terms)


@pytest.mark.slow
@pytest.mark.parametrize(("optimiser", "factor"), [("lbfgs", 100), ("adam", 40)])
def test_the_loss_falls_on_an_easy_case(optimiser, factor):
    # Style alone: content and style contradict each other, and have no common zero.
    chosen = recipe(optimiser=optimiser, init="noise", coarsest=64, iterations=60, content_weight=0.0)
    steps = paint(chosen)
    assert steps[-1].best_loss < steps[0].loss / factor


@pytest.mark.slow
def test_lbfgs_keeps_up_with_scipy_on_a_picture():
    chosen = recipe(init="noise", coarsest=64, iterations=60)
    given_ = sources()
    objective = make_objective(tiny_encoder(), chosen, given_.content, given_.styles)
    shape, seen = (1, 3, 48, 64), list[float]()

    def judged(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(x).float().view(shape).requires_grad_()
        total = objective(leaf)[0]
        seen.append(float(total.detach()))
        return seen[-1], torch.autograd.grad(total, leaf)[0].double().numpy().ravel()

    begin = start(chosen).double().numpy().ravel()
    options = {"maxcor": 20, "maxfun": 60, "ftol": 0.0, "gtol": 0.0}
    bounds = [(0.0, 1.0)] * begin.size
    scipy.optimize.minimize(judged, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    assert len(seen) >= 60
    assert paint(chosen)[-1].best_loss < 1.05 * min(seen[:60])


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
@pytest.mark.parametrize("factor", [2.0**-39, 2.0**39])
def test_only_the_weights_ratio_counts(optimiser, factor):
    # By powers of two, so that nothing is rounded: the same bytes, or something knows of absolute sizes.
    # The units with the smallest gradients, whose squares single precision cannot hold.
    weights = {"content_weight": 2.0**-10, "style_weight": 1.0}
    chosen = recipe(
        optimiser=optimiser, init="noise", iterations=(12, 6, 6), normalisation="neural-style", **weights
    )
    scaled = chosen.replace(**{name: weight * factor for name, weight in weights.items()})
    plain, other = paint(chosen), paint(scaled)
    assert torch.equal(plain[-1].picture, other[-1].picture)
    assert [s.loss * factor for s in plain] == [s.loss for s in other]


def test_style_layers_of_no_weight_ask_for_no_size():
    shallow = recipe(style_weight=0.0, style_layers=("relu5_1",), coarsest=16, size=20, iterations=1)
    assert paint(shallow, sources(15, 20))[-1].size == (15, 20)
    with pytest.raises(RecipeError, match=r"20×15 pixels.*at least 16"):
        paint(shallow.replace(style_weight=1.0), sources(15, 20))


@pytest.mark.parametrize(
    ("changes", "given_", "match"),
    [
        ({}, {"styles": ()}, "no style picture"),
        ({"style_blend": (1, 2)}, {}, "2 style weights for 1 style pictures"),
        ({"style_weight": 0.0, "init": "style-colours"}, {"styles": ()}, "style's colours"),
        ({"style_layers": ("relu5_4",), "size": 512}, {}, "relu5_4"),
        (
            {"style_layers": ("relu5_1",)},
            {"styles": (Style(checks(15, 60)),)},
            "style picture is 60×15",
        ),
        ({"size": 3}, {}, "3×2 pixels"),
        ({"init": "picture"}, {}, "start from a picture"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(changes, given_, match):
    with pytest.raises(RecipeError, match=match):
        next(engine.steps(sources(**given_), recipe(**changes), tiny_encoder()))


class Sizes(Encoder):
    """Notes the sizes of the pictures that it is shown without gradient: contents and styles."""

    shown: list[tuple[int, int]]

    def forward(self, image: Tensor, layers: tuple[str, ...], **options: object) -> dict[str, Tensor]:
        if not image.requires_grad and layers:
            self.shown.append((image.shape[-2], image.shape[-1]))
        return super().forward(image, layers, **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("size", [(16, 3200), (40, 48), (100, 90), (17, 613), (200, 16)])
def test_the_style_is_never_enlarged_and_keeps_its_shape(size, scale):
    encoder = tiny_encoder()
    encoder.__class__, encoder.shown = Sizes, []
    chosen = recipe(
        content_weight=0.0, style_scale=scale, style_layers=("relu1_1", "relu5_1"), iterations=1, size=128
    )
    paint(chosen, sources(64, 128, styles=(Style(checks(*size)),)), encoder)
    assert encoder.shown
    for (height, width), long_side in zip(encoder.shown, (32, 64, 128), strict=False):
        assert height <= size[0]
        assert width <= size[1]
        assert min(height, width) >= 16
        longest = max(size)
        shrunk = max(height, width) / longest
        assert abs(min(height, width) - min(size) * shrunk) <= 0.5
        smallest = -(-16 * longest // min(size))  # whose shorter side is what relu5_1 needs
        assert max(height, width) == min(longest, max(smallest, round(long_side * scale)))


def test_styles_blend_linearly():
    encoder, a, b = tiny_encoder(), checks(48, 48), picture(48, 48, 5)

    def targets(*styles: Tensor, blend: tuple[float, ...] = ()) -> dict[str, Tensor]:
        given_ = sources(styles=tuple(Style(s) for s in styles))
        return engine.style_statistics(given_, recipe(style_blend=blend, coarsest=64), encoder)[(48, 64)]  # type: ignore[return-value]

    one, two, both = targets(a), targets(b), targets(a, b, blend=(3, 1))
    assert set(both) == {"relu1_1", "relu2_1", "relu3_1"}
    for layer, found in both.items():
        torch.testing.assert_close(found, 0.75 * one[layer] + 0.25 * two[layer])
        assert float((one[layer] - two[layer]).abs().max()) > 1e-2
    even = targets(a, b)
    torch.testing.assert_close(even["relu1_1"], 0.5 * one["relu1_1"] + 0.5 * two["relu1_1"])
    alone = targets(a, b, blend=(0, 5))
    torch.testing.assert_close(alone["relu2_1"], two["relu2_1"])


# ------------------------------------------------------------------------------------------ memory to keep to


def test_the_optimiser_remembers_as_much_as_the_memory_allows():
    # A pair of L-BFGS is two pictures of 12 bytes a pixel.
    size, pair = (50, 40), 2 * 12 * 50 * 40
    for budget, history in ((None, 20), (100 * pair, 20), (7 * pair, 7), (7 * pair - 1, 6), (3 * pair, 3)):
        optimiser = engine.MemoryLimits(optimiser_bytes=budget).optimiser(recipe(), size)
        assert isinstance(optimiser, LBFGS)
        assert optimiser.pairs.capacity == history
    lean = engine.MemoryLimits(optimiser_bytes=3 * pair - 1).optimiser(recipe(), size)
    assert isinstance(lean, Adam)
    lean.propose(picture(50, 40), 1.0, torch.ones(1, 3, 50, 40))
    assert lean.mean.dtype == torch.bfloat16


# ---------------------------------------------------------------------------------------------- transparency


def disc(height: int, width: int) -> Tensor:
    """(1, 1, H, W): opaque inside a disc, transparent outside, one soft ring between."""
    y, x = np.mgrid[0:height, 0:width]
    far = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    return torch.from_numpy(np.clip((0.4 - far) * 20, 0.0, 1.0)[None, None]).float()


def hidden(pixels: Tensor, mask: Tensor, colour: float | Tensor) -> Tensor:
    return torch.where(mask > 0, pixels, torch.as_tensor(colour, dtype=pixels.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
@pytest.mark.parametrize("init", ["content", "style-colours"])
def test_colours_under_full_transparency_have_no_influence(init, padding):
    mask, style_mask = disc(48, 64), disc(40, 40)
    noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    results = []
    for content_colour, style_colour in ((0.0, 1.0), (1.0, 0.0), (noise, 0.5)):
        given_ = Scene(
            content=hidden(picture(48, 64), mask, content_colour),
            styles=(Style(hidden(checks(40, 40), style_mask, style_colour), style_mask),),
            content_mask=mask,
        )
        results.append(paint(recipe(init=init, padding=padding), given_, tiny_encoder(padding=padding)))
    for other in results[1:]:
        assert [s.loss for s in other] == [s.loss for s in results[0]]
        assert torch.equal(other[-1].picture, results[0][-1].picture)
    opaque = paint(recipe(init=init, padding=padding), sources(), tiny_encoder(padding=padding))
    assert opaque[-1].loss != results[0][-1].loss


def test_a_half_transparent_style_weighs_its_opaque_half():
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., :24] = 1.0
    a = checks(48, 48)
    joined = torch.cat([a[..., :24], picture(48, 24, 5)], dim=3)
    shallow = {"style_layers": ("relu1_1",), "coarsest": 64, "style_scale": 8.0}
    found = engine.style_statistics(sources(styles=(Style(joined, mask),)), recipe(**shallow), tiny_encoder())
    plain = engine.style_statistics(sources(styles=(Style(a),)), recipe(**shallow), tiny_encoder())
    torch.testing.assert_close(found[(48, 64)]["relu1_1"], plain[(48, 64)]["relu1_1"], rtol=0.1, atol=0.02)


# ---------------------------------------------------------------------------------------- the golden picture

#: Written by `IMPASTO_GOLDEN=1 pytest tests/test_engine.py`, after a look at what changed and why.
GOLDEN = ROOT / "tests" / "golden" / "tiny-64.png"


def golden(**changes: object) -> Tensor:
    # Few evaluations: rounding that differs between machines has no time to grow into another picture.
    chosen = recipe(
        coarsest=32, iterations=(12, 8), style_weight=1.0, content_weight=0.1, margin=4,
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
    ).replace(**changes)  # fmt: skip
    encoder = tiny_encoder(pooling=chosen.pooling or "average", padding=chosen.padding)
    return paint(chosen, encoder=encoder)[-1].picture


def apart(pixels: Tensor) -> float:
    """Mean absolute difference from the stored picture, in units of the range."""
    return float((pixels - pictures.load(GOLDEN).pixels).abs().mean())


def test_the_golden_picture():
    found = golden()
    if os.environ.get("IMPASTO_GOLDEN"):
        pictures.save(GOLDEN, found)
    assert apart(found) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"style_weight": 0.0}, {"content_weight": 0.0}, {"normalisation": "gatys"},
        {"normalisation": "neural-style"}, {"style_layers": ("relu1_1",)}, {"content_layers": ("relu4_1",)},
        {"pooling": "max"}, {"style_scale": 0.5}, {"iterations": (1,)}, {"init": "noise"}, {"tv_weight": 0.5},
        {"padding": "zeros"}, {"optimiser": "adam"}, {"coarsest": 64},
    ],
    ids=str,
)  # fmt: skip
def test_another_algorithm_would_not_pass_for_it(changes):
    assert apart(golden(**changes)) > 0.02


def test_a_style_that_is_all_but_black_does_not_stop_the_picture():
    """A first loss in the thousands leaves a curvature so steep that no pixel would ever move again."""

    class Cliff:
        """Falls a million-fold at the first step, then is an ordinary bowl around 0.7."""

        def __init__(self) -> None:
            self.calls = 0

        def evaluate(self, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
            self.calls += 1
            steep = 1e9 if self.calls == 1 else 1.0
            error = image - 0.7
            return steep * float(error.square().sum()), steep * 2 * error, {}

    guard = Guarded(OPTIMISERS["lbfgs"](Recipe()), 0.02)
    picture = torch.full((1, 3, 8, 8), 0.2)
    descent = engine._descend(Cliff(), picture, guard, lambda count, _: count >= 30)
    last = list(descent)[-1].best
    assert float((last - 0.7).abs().max()) < 0.01


# ------------------------------------------------------------------------------------------------ any recipe

#: How many are drawn; `make soak` draws more.
RECIPES = int(os.environ.get("IMPASTO_RECIPES", "50"))
#: How the cases below ended: the property would be empty if most were refused.
painted: list[Step] = []


refused: list[str] = []


@settings(
    max_examples=RECIPES, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(cases())
def _any_recipe_paints_or_says_why(case: tuple[Scene, Recipe]) -> None:
    given_, recipe = case
    try:
        steps = list(engine.steps(given_, recipe, tiny_encoder(padding=recipe.padding)))
    except RecipeError as error:
        refused.append(str(error))
        return
    check_steps(steps)
    painted.append(steps[-1])


@pytest.mark.slow
def test_any_recipe_paints_a_finite_picture_or_says_why_not():
    _any_recipe_paints_or_says_why()
    assert len(painted) > max(RECIPES // 2, len(refused))
    assert all("pixels" in why for why in refused), "only what is too small, or no tile, is refused"


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(recipes(1), st.booleans(), st.integers(1, 300))
def test_a_strip_one_pixel_wide_is_refused(recipe, upright, length):
    content = picture(length, 1) if upright else picture(1, length)
    given_ = Scene(content=content, styles=(Style(checks()),), start=checks())
    deep = {"style_weight": 1.0, "style_layers": ("relu2_1", "relu5_1"), "style_layer_weights": ()}
    for size in ("original", max(1, length // 2), length):
        chosen = recipe.replace(**deep, size=size)
        with pytest.raises(RecipeError, match=r"^the picture would be"):
            next(engine.steps(given_, chosen, tiny_encoder()))


def test_a_strip_that_the_first_layers_can_see_is_painted():
    # Where nothing deep is asked for, a strip is a picture like any other.
    shallow = Recipe(
        size="original", content_layers=("relu1_1",), style_layers=("relu1_1",), iterations=3, tv_weight=1.0
    )
    given_ = Scene(content=picture(1, 60), styles=(Style(checks()),))
    check_steps(list(engine.steps(given_, shallow, tiny_encoder())))
