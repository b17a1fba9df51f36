"""How often a step reads numbers back: on a GPU each time everything queued is waited for."""

from __future__ import annotations

import pytest
import torch

from fakes import checks, picture, tiny_encoder
from impasto import api
from impasto.losses.build import objective_of
from impasto.painting.optimisers import LBFGS
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


def reads(function) -> int:
    """How many single numbers a call reads out of tensors."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return sum(event.count for event in profile.key_averages() if event.key == "aten::_local_scalar_dense")


@pytest.mark.slow
def test_an_evaluation_and_a_step_of_lbfgs_read_no_number_alone():
    recipe = Recipe(style_layers="relu1_1,relu2_1", content_layers="relu2_1")
    scene = Scene(picture(32, 40), (Style(checks(32, 40)),)).at((32, 40), 0, torch.device("cpu"))
    objective, optimiser = objective_of(tiny_encoder(), scene, recipe), LBFGS()
    canvas = picture(32, 40, seed=1)
    for _ in range(3):  # from the second on there are pairs
        loss, gradient, _ = objective.evaluate(canvas)
        canvas = optimiser.propose(canvas, loss, gradient)
    assert reads(lambda: float(canvas.sum())) == 1  # what is counted
    evaluated = objective.evaluate(canvas)
    assert reads(lambda: objective.evaluate(canvas)) == 0
    assert reads(lambda: optimiser.propose(canvas, *evaluated[:2])) == 0


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["draft", "classic", "instant"])
def test_a_gpu_paints_the_picture_of_the_processor(preset):
    if not torch.cuda.is_available():
        pytest.skip("no GPU that PyTorch can use")
    recipe = {"size": 128, "precision": "float32"} | ({"iterations": 10} if preset == "classic" else {})
    here, there = (
        api.stylize(picture(96, 128), checks(96, 96), preset=preset, device=device, **recipe)
        for device in ("cpu", "cuda")
    )
    assert there.pixels.device.type == "cpu"
    assert float((here.pixels - there.pixels).abs().mean()) < 0.02
