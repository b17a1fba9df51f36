"""Whatever the recipe, the pictures and the faults: a finite picture in [0, 1], or a clear error."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fakes import Faulty, checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto.errors import ImpastoError, RecipeError
from impasto.losses.functions import NORMALISATIONS
from impasto.networks.encoder import PADDINGS, Encoder
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.painting.optimisers import OPTIMISERS
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

# ---------------------------------------------------------------------------------------------- any recipe

WEIGHTS = (
    st.just(0.0) | st.floats(-12.0, 12.0).map(lambda power: 10.0**power) | st.sampled_from([1e-12, 1e12])
)
STYLE_LOSSES = ("gram", "wasserstein", "sliced", "histogram", "remd", "nearest")
LAYERS = ("relu1_1", "conv1_2", "relu2_1", "relu3_1", "conv3_2", "relu4_2", "relu5_1")


def subset(layers: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(layers), min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def recipes(draw: st.DrawFn, styles: int) -> Recipe:
    content_layers, style_layers = draw(subset(LAYERS)), draw(subset(LAYERS))
    some = st.floats(1e-12, 1e12)
    drawn = {
        "size": draw(st.integers(16, 40) | st.just("original")),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "padding": draw(st.sampled_from(list(PADDINGS))),
        "content_weight": draw(WEIGHTS),
        "content_layers": content_layers,
        "content_layer_weights": draw(st.just(()) | st.tuples(*[some] * len(content_layers))),
        "style_weight": draw(WEIGHTS),
        "style_layers": style_layers,
        "style_layer_weights": draw(st.just(()) | st.tuples(*[some] * len(style_layers))),
        "style_blend": draw(st.just(()) | st.tuples(*[some] * styles)),
        "style_scale": draw(st.floats(0.06, 8.0)),
        "tv_weight": draw(WEIGHTS),
        "normalisation": draw(st.sampled_from(NORMALISATIONS)),
        "margin": draw(st.sampled_from([0, 4, 30, 256])),
        "colours": draw(st.sampled_from(["style", "style", "content", "match", "only"])),
        "style_order": draw(st.sampled_from(["together", "coarse-to-fine"][:styles])),
        "style_rotation": draw(st.just(()) | st.tuples(st.floats(-360.0, 360.0))),
        "init": draw(st.sampled_from(["content", "noise", "style-colours", "picture"])),
        "optimiser": draw(st.sampled_from(list(OPTIMISERS))),
        "iterations": draw(st.tuples(st.integers(0, 12), st.integers(0, 12))),
        "coarsest": draw(st.sampled_from([1, 16, 40])),
        "tolerance": draw(st.sampled_from([0.0, 1e-6, 0.3])),
        "learning_rate": draw(st.floats(1e-6, 10.0)),
        "history": draw(st.integers(1, 20)),
    }
    if drawn["normalisation"] == "relative":
        losses = draw(st.lists(st.sampled_from(STYLE_LOSSES), min_size=1, max_size=3, unique=True))
        drawn["style_loss"] = tuple(losses)
        drawn["style_loss_weights"] = draw(st.just(()) | st.tuples(*[some] * len(losses)))
        drawn["content_loss"] = draw(st.sampled_from(["features", "features", "self-similarity"]))
        drawn["match_content"] = draw(st.floats(0.0, 1.0))
    if not (drawn["content_weight"] or drawn["style_weight"] or drawn["tv_weight"]):
        drawn["tv_weight"] = 1.0
    return Recipe(**drawn)


@st.composite
def pictures(draw: st.DrawFn) -> Tensor:
    height, width = draw(st.sampled_from([(16, 16), (24, 31), (40, 32), (16, 120), (130, 17), (33, 40)]))
    flat = {"black": 0.0, "white": 1.0, "grey": 0.5, "almost black": 1e-7, "red": [1.0, 0.0, 0.0]}
    kind = draw(st.sampled_from(["noise", "scene", "checks", *flat]))
    if kind == "noise":
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        return torch.rand(1, 3, height, width, generator=generator)
    if kind in ("scene", "checks"):
        return picture(height, width) if kind == "scene" else checks(height, width, 1)
    return torch.tensor(flat[kind]).view(1, -1, 1, 1).expand(1, 3, height, width).contiguous()


def masks(like: Tensor) -> st.SearchStrategy[Tensor | None]:
    """Opaque; half transparent; faint all over; a single opaque pixel row."""
    height, width = like.shape[-2:]
    half, row = torch.ones(1, 1, height, width), torch.zeros(1, 1, height, width)
    half[..., : width // 2], row[..., 3, :] = 0.0, 1.0
    return st.sampled_from([None, None, half, torch.full((1, 1, height, width), 1 / 255), row])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scene, Recipe]:
    content, count = draw(pictures()), draw(st.integers(1, 2))
    styles = [draw(pictures()) for _ in range(count)]
    given_ = Scene(
        content=content,
        styles=tuple(Style(one, draw(masks(one))) for one in styles),
        content_mask=draw(masks(content)),
        start=draw(pictures()),
    )
    return given_, draw(recipes(count))


def check_steps(steps: list[Step]) -> None:
    """What holds for every run, however it went."""
    assert [s.last for s in steps] == [False] * (len(steps) - 1) + [True]
    best = dict.fromkeys(range(1, steps[0].scales + 1), math.inf)
    for step in steps:
        assert bool(torch.isfinite(step.picture).all())
        assert float(step.picture.min()) >= 0.0
        assert float(step.picture.max()) <= 1.0
        # A loss counts if its gradient was finite too, whatever became of the next proposal.
        if math.isfinite(step.loss) and not (step.event or "").startswith("not finite"):
            best[step.scale] = min(best[step.scale], step.loss)
        assert step.best_loss == best[step.scale]
        assert math.isfinite(step.loss) or step.event
    assert {s.scale for s in steps} == set(best)


#: How the cases below ended: the property would be empty if most were refused.
painted: list[Step] = []
refused: list[str] = []


@settings(
    max_examples=400, deadline=None, derandomize=True, database=None,
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
    assert len(painted) > max(200, len(refused))
    assert all("pixels" in why for why in refused), "only what is too small, or no tile, is refused"


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
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


# -------------------------------------------------------------------------------------------------- faults

Fault = Callable[[int], bool]


def run(encoder: Encoder, **changes: object) -> list[Step]:
    settings_ = {
        "size": 32, "coarsest": 32, "iterations": (30,), "style_layers": ("relu1_1", "relu2_1"),
        "content_layers": ("relu2_1",), "margin": 0,
    } | changes  # fmt: skip
    given_ = Scene(content=picture(24, 32), styles=(Style(checks()),))
    steps = list(engine.steps(given_, Recipe(**settings_), encoder))  # type: ignore[arg-type]
    check_steps(steps)
    return steps


def healthy_loss(step: Step) -> float:
    """What a sound encoder says of a step's picture."""
    recipe = Recipe(size=32, style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_1",))
    objective = make_objective(tiny_encoder(), recipe, picture(24, 32), [Style(checks())])
    return float(objective(step.picture)[0])


#: Value, and whether it is the gradient's; features of 1e25 are finite, and their squares are not.
NONSENSE = [(math.nan, False), (math.inf, False), (1e25, False), (math.nan, True), (math.inf, True)]


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
@pytest.mark.parametrize(("value", "backwards"), NONSENSE)
@pytest.mark.parametrize("when", [1, 2, 7, 30])
def test_one_fault_is_stepped_over(optimiser, value, backwards, when):
    steps = run(Faulty(lambda k: k == when, value, backwards=backwards), optimiser=optimiser)
    assert len(steps) == 30
    assert {s.iteration: s.event for s in steps if s.event} == {when: "not finite: back to the best picture"}
    assert healthy_loss(steps[-1]) == pytest.approx(steps[-1].best_loss, rel=1e-4)
    sound = run(Faulty(lambda _: False, 1.0), optimiser=optimiser)
    assert steps[-1].best_loss < 0.5 * sound[0].loss
    assert steps[-1].best_loss < 2.0 * sound[-1].best_loss


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
@pytest.mark.parametrize(("value", "backwards"), NONSENSE)
def test_faults_now_and_then_cost_steps_and_nothing_else(optimiser, value, backwards):
    steps = run(
        Faulty(lambda k: k % 5 == 0, value, backwards=backwards), optimiser=optimiser, iterations=(60,)
    )
    assert [s.iteration for s in steps if s.event] == list(range(5, len(steps) + 1, 5))
    assert steps[-1].best_loss < steps[0].loss
    assert healthy_loss(steps[-1]) == pytest.approx(steps[-1].best_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("value", "backwards"), NONSENSE)
@pytest.mark.parametrize("after", [0, 1, 5, 12])
def test_when_nothing_works_any_more_the_best_picture_is_the_result(value, backwards, after):
    steps = run(Faulty(lambda k: k > after, value, backwards=backwards), iterations=(200,))
    events = [s.event for s in steps if s.event]
    assert events[0] == "not finite: back to the best picture"
    assert "not finite: Adam takes over" in events
    assert events[-1] == "not finite: given up"
    assert len(steps) < 40, "no use in looking 200 times at what does not work"
    if after:
        best = min(steps[:after], key=lambda s: s.loss)
        assert torch.equal(steps[-1].picture, best.picture)
        assert steps[-1].best_loss == best.loss
        assert healthy_loss(steps[-1]) == pytest.approx(best.loss, rel=1e-4)
    else:
        assert torch.equal(steps[-1].picture, picture(24, 32))


def test_adam_takes_over_where_the_fault_follows_lbfgs_and_paints_on():
    # Bad for as long as L-BFGS tries, sound from then on.
    dead = run(Faulty(lambda k: k > 3, math.nan), iterations=(200,))
    handover = next(s.iteration for s in dead if s.event == "not finite: Adam takes over")
    steps = run(Faulty(lambda k: 3 < k <= handover, math.nan), iterations=(handover + 60,))
    assert len(steps) == handover + 60
    assert steps[-1].best_loss < 0.8 * steps[handover].best_loss
    assert not [s for s in steps[handover:] if s.event]


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_a_scale_that_fails_does_not_take_the_next_ones_with_it(optimiser):
    scales = {"coarsest": 8, "iterations": (60, 20, 20), "optimiser": optimiser}
    dead = run(Faulty(lambda _: True, math.nan), **scales)
    first = sum(s.scale == 1 for s in dead)
    steps = run(Faulty(lambda k: k <= first, math.nan), **scales)
    for scale in (2, 3):
        own = [s for s in steps if s.scale == scale]
        assert len(own) == 20
        assert own[-1].best_loss < own[0].loss


def test_wrong_input_is_an_error_of_ours_and_not_a_picture_of_nan():
    for pixels in (torch.full((1, 3, 24, 32), math.nan), torch.full((1, 3, 24, 32), math.inf)):
        import impasto

        with pytest.raises(ImpastoError, match="not finite"):
            impasto.stylize(pixels, checks(), size=32)
