"""PyTorch's own L-BFGS as the style-transfer tutorial uses it, without Impasto's guard, for comparison.

The tutorial, and the courses that start from its code, use ``LBFGS([picture])``: steps of length 1 without a
line search, a picture that is clamped to [0, 1] without the optimiser's knowledge, and Gaussian noise, two
thirds of which are clamped at once. With this module a study can count how often that goes wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from impasto.losses.build import objective_of
from impasto.losses.objective import Objective
from impasto.networks.encoder import Encoder
from impasto.painting import engine, schedule
from impasto.painting.engine import Step
from impasto.recipe import Recipe
from impasto.scene import Scene

__all__ = ["steps"]


def steps(scene: Scene, recipe: Recipe, encoder: Encoder, **options: object) -> Iterator[Step]:
    """As :func:`impasto.painting.engine.steps`, at one scale.

    It ends at a loss that is not finite, and when the optimiser no longer moves the picture; the last step's
    ``event`` says which.

    Args:
        options: those of the engine; they have no effect here.
    """
    del options
    one_scale = recipe.replace(coarsest=max(schedule.output_size(recipe, *scene.size)))
    first = next(engine.steps(scene, one_scale, encoder))  # checks everything, and its picture is the start
    objective = _objective(scene, one_scale, encoder, first)
    canvas = _start(first, one_scale).requires_grad_(True)
    # With one iteration per call the iterates are the same, and each step is one evaluation.
    optimiser = torch.optim.LBFGS([canvas], max_iter=1, history_size=recipe.history)
    picture, planned = first.picture, schedule.max_evaluations(one_scale, [first.size])[0]
    for iteration in range(1, planned + 1):
        before = _clamped(canvas)
        loss, terms = _advance(optimiser, canvas, objective)
        finite = math.isfinite(loss)
        event = None if finite else "not finite: the textbook ends here"
        if finite and torch.equal(canvas, before):
            event = "no longer moves: the textbook ends here"
        picture = before if finite else picture
        yield Step(
            scale=1,
            scales=1,
            size=first.size,
            iteration=iteration,
            iterations=planned,
            evaluations=iteration,
            planned=planned,
            loss=loss,
            terms=terms,
            best_loss=loss,  # the tutorial keeps no best picture: its result is the last one
            picture=picture,
            event=event,
            last=event is not None or iteration == planned,
        )
        if event is not None:
            return


def _start(first: Step, recipe: Recipe) -> Tensor:
    """The engine's start; for noise that of the tutorial: standard Gaussian, not clamped yet."""
    if recipe.init != "noise":
        return first.picture.clone()
    noise = torch.randn(first.picture.shape, generator=torch.Generator().manual_seed(recipe.seed))
    return noise.to(first.picture.device)


def _clamped(canvas: Tensor) -> Tensor:
    with torch.no_grad():
        canvas.clamp_(0.0, 1.0)  # as in the tutorial's closure
    return canvas.detach().clone()


def _advance(
    optimiser: torch.optim.LBFGS, canvas: Tensor, objective: Objective
) -> tuple[float, dict[str, float]]:
    """One evaluation and the move that follows it."""
    seen: dict[str, Tensor] = {}

    def closure() -> float:
        optimiser.zero_grad()
        total, terms = objective(canvas)
        total.backward()
        seen.update(terms, total=total)
        return float(total.detach())

    optimiser.step(closure)
    values = {name: float(value.detach()) for name, value in seen.items()}
    return values.pop("total"), values


def _objective(scene: Scene, recipe: Recipe, encoder: Encoder, first: Step) -> Objective:
    """The recipe's objective on the unprocessed pictures, without mask, margin and regions."""
    plain = replace(scene, content_mask=None, regions=(), style_scale=recipe.style_scale)
    return objective_of(encoder, plain.at(first.size, 0, first.picture.device), recipe)
