"""The textbook's optimiser is the tutorial's."""

from __future__ import annotations

import pytest
import torch

from fakes import objective as make_objective
from fakes import picture, tiny_encoder
from impasto.recipe import Recipe
from impasto.scene import Scene, Style
from impasto.studies import textbook


def test_the_textbook_is_pytorchs_lbfgs_in_one_call() -> None:
    """The tutorial's own loop, twenty iterations a call, arrives at the same losses."""
    encoder, content = tiny_encoder(), picture(32, 32, seed=1)
    style = Style(picture(32, 32, seed=2))
    recipe = Recipe(size=32, coarsest=32, iterations=(12,), init="noise", history=100)
    steps = [step.loss for step in textbook.steps(Scene(content, (style,)), recipe, encoder)]
    objective = make_objective(encoder, recipe, content, [style])
    canvas = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    losses: list[float] = []

    def closure() -> torch.Tensor:
        with torch.no_grad():
            canvas.clamp_(0, 1)
        optimiser.zero_grad()
        loss = objective(canvas)[0]
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    optimiser = torch.optim.LBFGS([canvas], max_iter=12, max_eval=100)
    optimiser.step(closure)
    assert steps[: len(losses)] == pytest.approx(losses[: len(steps)], rel=1e-3)
