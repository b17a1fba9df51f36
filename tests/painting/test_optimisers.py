"""The optimisers: how fast they fall, what a bound is to them, and how the guard steps over faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import scipy.optimize
import torch

from any_recipe import check_steps
from fakes import Faulty, checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto.networks.encoder import Encoder
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.painting.optimisers import LBFGS, OPTIMISERS, Adam, Guarded, Pairs, PyramidAdam
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


def evaluations(function: Function, x0: np.ndarray, goal: float, most: int = 500) -> int:
    """How many evaluations our L-BFGS takes to come to a loss of ``goal`` within [0, 1]."""
    optimiser = LBFGS()
    x = torch.from_numpy(x0).view(1, 1, 1, -1)
    for count in range(1, most + 1):
        assert float(x.min()) >= 0.0
        assert float(x.max()) <= 1.0
        loss, gradient = function(x.flatten().numpy())
        if loss <= goal:
            return count
        x = optimiser.propose(x, float(loss), torch.from_numpy(gradient).view_as(x))
    return most + 1


def scipys(function: Function, x0: np.ndarray, goal: float) -> tuple[int, float]:
    """The same for SciPy's L-BFGS-B with as long a memory, and the minimum it finds."""
    seen: list[float] = []

    def watched(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(x)
        seen.append(loss)
        return loss, gradient

    options = {"maxcor": 20, "maxiter": 5000, "maxfun": 5000, "ftol": 1e-16, "gtol": 1e-12}
    done = scipy.optimize.minimize(
        watched, x0, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(x0), options=options
    )
    return next((k for k, loss in enumerate(seen, 1) if loss <= goal), len(seen)), float(done.fun)


def quadratic(count: int, condition: float, *, inside: bool) -> Function:
    """½(u−c)ᵀA(u−c) of a condition number; its minimum in the box, or with coordinates outside it."""
    random = np.random.RandomState(count)
    q = np.linalg.qr(random.standard_normal((count, count)))[0]
    a = q @ np.diag(np.geomspace(1 / condition, 1, count)) @ q.T
    c = random.uniform(0.2, 0.8, count) if inside else random.uniform(-0.3, 1.3, count)
    return lambda u: (0.5 * (u - c) @ a @ (u - c), a @ (u - c))


@pytest.mark.parametrize(
    ("count", "condition"),
    [(20, 10.0), (50, 100.0), (100, 1e3), pytest.param(200, 1e4, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("inside", [True, False])
def test_lbfgs_minimises_quadratics_about_as_fast_as_scipy(count, condition, inside):
    function, x0 = quadratic(count, condition, inside=inside), np.full(count, 0.5)
    lowest = scipys(function, x0, -1.0)[1]
    goal = lowest + 1e-4 * (function(x0)[0] - lowest)
    theirs = scipys(function, x0, goal)[0]
    assert evaluations(function, x0, goal) <= (1.5 if inside else 2.5) * theirs + 5


@pytest.mark.parametrize("x0", [(0.3, 0.75), (0.05, 0.9), (0.3,) * 10])
def test_lbfgs_minimises_rosenbrocks_valley(x0):
    def valley(u: np.ndarray) -> tuple[float, np.ndarray]:
        x = 4 * u - 2  # its minimum, all ones, at 0.75
        return scipy.optimize.rosen(x) / 100, scipy.optimize.rosen_der(x) * 4 / 100

    theirs = scipys(valley, np.array(x0), 1e-6)[0]
    assert evaluations(valley, np.array(x0), 1e-6) <= 3 * theirs


def test_lbfgs_stands_still_at_a_bound_and_in_a_flat_place():
    optimiser = LBFGS()
    x = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    outwards = torch.tensor([1.0, -1.0, 0.0]).view_as(x)
    assert torch.equal(optimiser.propose(x, 1.0, outwards), x)
    assert torch.equal(LBFGS().propose(x, 1.0, torch.zeros_like(x)), x)
    inwards = LBFGS().propose(x, 1.0, -outwards)
    assert float(inwards[0, 0, 0, 0]) == pytest.approx(LBFGS().max_first_move)


def test_lbfgs_retreats_along_its_line_and_then_starts_afresh():
    optimiser, function = LBFGS(), quadratic(20, 10.0, inside=True)
    x = torch.full((1, 1, 1, 20), 0.5, dtype=torch.float64)
    for _ in range(4):
        loss, gradient = function(x.flatten().numpy())
        base, x = x, optimiser.propose(x, float(loss), torch.from_numpy(gradient).view_as(x))
    known, whole = len(optimiser.pairs), x - base
    assert known == 3
    for share in (0.25, 0.0625, 0.015625):  # what is known of the curvature is kept
        shorter = optimiser.retreat(base)
        assert shorter is not None
        torch.testing.assert_close(shorter - base, share * whole)
        assert len(optimiser.pairs) == known
    assert optimiser.retreat(base) is base
    assert not optimiser.pairs
    for _ in range(10):
        last = optimiser.retreat(base)
    assert last is None


@pytest.mark.slow
def test_adam_is_pytorchs_adam_within_the_box():
    torch.manual_seed(0)
    goal = torch.rand(1, 3, 4, 4)
    ours, theirs = torch.full_like(goal, 0.5), torch.full_like(goal, 0.5).requires_grad_()
    mine, reference = Adam(0.02), torch.optim.Adam([theirs], lr=0.02, betas=(0.9, 0.99), eps=1e-12)
    for _ in range(30):
        gradient = 2 * (ours - goal)
        ours = mine.propose(ours, 0.0, gradient)
        theirs.grad = 2 * (theirs.detach() - goal)
        reference.step()
        with torch.no_grad():
            theirs.clamp_(0.0, 1.0)
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=0)


def test_adams_moments_travel_to_the_next_scale():
    adam, image = Adam(0.02), picture(8, 8)
    adam.propose(image, 1.0, torch.ones_like(image))
    adam.carry((16, 12))
    assert adam.mean is not None
    assert adam.square is not None
    assert adam.mean.shape == adam.square.shape == (1, 3, 16, 12)
    torch.testing.assert_close(adam.mean, torch.full((1, 3, 16, 12), 0.1))
    # Its momentum alone moves a picture whose gradient is zero now.
    bigger = picture(16, 12)
    assert float((adam.propose(bigger, 1.0, torch.zeros_like(bigger)) - bigger).abs().max()) > 1e-3


def descend(optimiser: Adam | PyramidAdam, target: torch.Tensor, steps: int) -> torch.Tensor:
    """The picture after some steps from grey towards ``target``, by the mean squared difference."""
    image = torch.full_like(target, 0.5)
    for _ in range(steps):
        loss = float((image - target).square().mean())
        image = optimiser.propose(image, loss, 2 * (image - target) / target.numel())
        assert 0.0 <= float(image.min()) <= float(image.max()) <= 1.0
    return image


def test_a_pyramid_moves_large_areas_faster_than_pixels_one_by_one():
    # Half black, half white: the bands that are small pictures do most of the work.
    target = torch.zeros(1, 3, 64, 96)
    target[..., 48:] = 1.0
    error = {
        name: float((descend(optimiser, target, 20) - target).abs().mean())
        for name, optimiser in (("pyramid", PyramidAdam(1000)), ("pixels", Adam(0.004)))
    }
    assert error["pyramid"] < 0.5 * error["pixels"]


def test_a_pyramid_paints_fine_detail_too_and_slows_down_at_the_end():
    target = checks(48, 64, 1) * 0.2 + 0.4
    end = descend(PyramidAdam(120), target, 120)
    assert float((end - target).abs().mean()) < 0.01
    late, early = PyramidAdam(100), PyramidAdam(100)
    late.steps = 99
    moves = [
        float((optimiser.propose(end, 1.0, torch.ones_like(end)) - end).abs().max())
        for optimiser in (early, late)
    ]
    assert moves[1] < 0.1 * moves[0]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (33, 17)])
def test_a_pyramid_of_any_size(size):
    target = picture(*size) if min(size) > 1 else torch.rand(1, 3, 1, 1)
    image = descend(PyramidAdam(60), target, 60)
    assert float((image - target).abs().mean()) < float((target - 0.5).abs().mean())


def test_a_pyramid_retreats_with_a_smaller_rate_and_then_gives_up():
    optimiser, image = PyramidAdam(10), picture()
    rates = []
    while optimiser.retreat(image) is not None:
        rates.append(optimiser.rate)
    assert rates == [0.004 * 0.25**n for n in range(1, 6)]


def test_the_guard_goes_back_then_changes_hands_then_gives_up():
    guard = Guarded(LBFGS(), 0.02)
    best = picture(8, 8)
    nan, events = torch.full_like(best, float("nan")), []
    for _ in range(40):
        assert torch.equal(guard.propose(best, float("nan"), nan, best, usable=False), best)
        events.append(guard.last_event)
        if guard.finished:
            break
    assert guard.finished
    assert events[0] == "not finite: back to the best picture"
    assert "not finite: Adam takes over" in events
    assert events[-1] == "not finite: given up"


def test_only_an_adam_goes_on_to_the_next_scale():
    guard, adam, lbfgs = Guarded(LBFGS(), 0.02), Adam(), LBFGS()
    for next_one in (lbfgs, adam):
        guard.carry((8, 8), next_one)
        assert guard.active is next_one
    image = picture(8, 8)
    adam.propose(image, 1.0, image)
    guard.carry((16, 12), Adam())  # of the same precision: its moments go on
    assert guard.active is adam
    assert adam.mean is not None
    assert adam.mean.shape[-2:] == (16, 12)
    half = Adam(dtype=torch.bfloat16)
    guard.carry((16, 12), half)
    assert guard.active is half
    guard.active, guard.fallen_back = adam, True  # L-BFGS has given up
    guard.carry((8, 8), lbfgs)
    assert guard.active is adam
    guard.active = None  # and so has Adam: both are tried again
    guard.carry((8, 8), lbfgs)
    assert (guard.active, guard.fallen_back) == (lbfgs, False)


@pytest.mark.parametrize(("capacity", "added"), [(1, 1), (3, 2), (3, 3), (3, 8), (5, 12)])
def test_pairs_apply_the_inverse_hessian_of_the_textbook(capacity, added):
    """Against the two loops of Nocedal & Wright, algorithm 7.4, written over vectors in NumPy."""
    generator = np.random.default_rng(added)
    curvature = generator.normal(size=(6, 6))
    curvature = curvature @ curvature.T + np.eye(6)
    steps_ = generator.normal(size=(added, 6))
    pairs = Pairs(capacity)
    for s in steps_:
        pairs.add(torch.from_numpy(s).view(2, 3), torch.from_numpy(curvature @ s).view(2, 3))
    q = start = generator.normal(size=6)
    kept, stack = [(s, curvature @ s) for s in steps_[-capacity:]], []
    for s, y in reversed(kept):
        stack.append(s @ q / (s @ y))
        q = q - stack[-1] * y
    s, y = kept[-1]
    r = (s @ y) / (y @ y) * q
    for (s, y), a in zip(kept, reversed(stack), strict=True):
        r = r + (a - y @ r / (s @ y)) * s
    found = pairs.apply(torch.from_numpy(start).view(2, 3))
    np.testing.assert_allclose(found.flatten().numpy(), r, rtol=1e-9, atol=1e-12)
    pairs.clear()
    assert len(pairs) == 0
    assert torch.equal(pairs.apply(torch.ones(2, 3)), torch.ones(2, 3))


# -------------------------------------------------------------------------------------------------- faults


def run(encoder: Encoder, **changes: object) -> list[Step]:
    settings_ = {
        "size": 32, "coarsest": 32, "iterations": (30,), "style_layers": ("relu1_1", "relu2_1"),
        "content_layers": ("relu2_1",), "margin": 0,
    } | changes  # fmt: skip
    given_ = Scene(content=picture(24, 32), styles=(Style(checks()),))
    steps = list(engine.steps(given_, Recipe(**settings_), encoder))  # type: ignore[arg-type]
    check_steps(steps)
    return steps


@cache
def sound(optimiser: str) -> tuple[Step, Step]:
    """The first and the last step without any fault."""
    steps = run(Faulty(lambda _: False, 1.0), optimiser=optimiser)
    return steps[0], steps[-1]


def healthy_loss(step: Step) -> float:
    """What a sound encoder says of a step's picture."""
    recipe = Recipe(size=32, style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_1",))
    objective = make_objective(tiny_encoder(), recipe, picture(24, 32), [Style(checks())])
    return float(objective(step.picture)[0])


#: Value, and whether it is the gradient's; features of 1e25 are finite, and their squares are not.
NONSENSE = [(math.nan, False), (math.inf, False), (1e25, False), (math.nan, True), (math.inf, True)]


def at_each(*moments: int) -> list[tuple[float, bool, int]]:
    """Every nonsense at the last moment; at the others, to which it is all one, nan of each kind."""
    kinds = [(value, backwards) for value, backwards in NONSENSE if math.isnan(value)]
    return [(*kind, moment) for moment in moments for kind in (NONSENSE if moment == moments[-1] else kinds)]


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
@pytest.mark.parametrize(("value", "backwards", "when"), at_each(1, 2, 30, 7))
def test_one_fault_is_stepped_over(optimiser, value, backwards, when):
    steps = run(Faulty(lambda k: k == when, value, backwards=backwards), optimiser=optimiser)
    assert len(steps) == 30
    assert {s.iteration: s.event for s in steps if s.event} == {when: "not finite: back to the best picture"}
    assert healthy_loss(steps[-1]) == pytest.approx(steps[-1].best_loss, rel=1e-4)
    first, last = sound(optimiser)
    assert steps[-1].best_loss < 0.5 * first.loss
    assert steps[-1].best_loss < 2.0 * last.best_loss


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
@pytest.mark.parametrize(("value", "backwards"), NONSENSE)
def test_faults_now_and_then_cost_steps_and_nothing_else(optimiser, value, backwards):
    steps = run(
        Faulty(lambda k: k % 5 == 0, value, backwards=backwards), optimiser=optimiser, iterations=(30,)
    )
    assert [s.iteration for s in steps if s.event] == list(range(5, len(steps) + 1, 5))
    assert steps[-1].best_loss < steps[0].loss
    assert healthy_loss(steps[-1]) == pytest.approx(steps[-1].best_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("value", "backwards", "after"), at_each(0, 1, 12, 5))
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
