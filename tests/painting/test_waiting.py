"""How often a step reads numbers back: on a GPU each time everything queued is waited for."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fakes import checks, picture, tiny_encoder
from impasto import api
from impasto.losses.build import objective_of
from impasto.machine import beside
from impasto.painting.optimisers import LBFGS, Adam, Guarded, PyramidAdam
from impasto.recipe import Recipe
from impasto.scene import Scene, Style


class Reads(TorchFunctionMode):
    """Counts how often numbers are taken out of tensors; those in float64 are the processor's own."""

    READING = (Tensor.tolist, Tensor.item, Tensor.cpu, Tensor.numpy, Tensor.__float__, Tensor.__bool__)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func in self.READING and args[0].dtype is not torch.float64
        return func(*args, **(kwargs or {}))


def reads(function: Callable[[], object]) -> int:
    with Reads() as mode:
        function()
    return mode.count


def test_all_ways_to_read_are_counted():
    one = torch.ones(1)
    assert reads(lambda: (float(one), bool(one), one.tolist(), one.item(), one.cpu(), one.numpy())) == 6


@pytest.mark.parametrize(("make", "expected"), [(LBFGS, 3), (lambda: PyramidAdam(9), 0), (Adam, 0)])
def test_an_evaluation_reads_once_and_a_step_few_times(make, expected):
    recipe = Recipe(style_layers="relu1_1,relu2_1", content_layers="relu2_1")
    scene = Scene(picture(32, 40), (Style(checks(32, 40)),)).at((32, 40), 0, torch.device("cpu"))
    objective, optimiser = objective_of(tiny_encoder(), scene, recipe), make()
    canvas = picture(32, 40, seed=1)
    for _ in range(4):  # at the fifth there is a pair
        loss, gradient, _ = objective.evaluate(canvas)
        canvas = optimiser.propose(canvas, loss, gradient)
    loss, gradient, _ = objective.evaluate(canvas)
    assert reads(lambda: objective.evaluate(canvas)) == 1
    assert reads(lambda: optimiser.propose(canvas, loss, gradient)) == expected
    guard = Guarded(optimiser, 0.02)
    assert reads(lambda: guard.propose(canvas, loss, gradient, canvas, usable=True)) <= expected + 1


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


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("tile", [None, 64])
def test_a_gpu_evaluates_as_the_processor_does_recorded_and_in_tiles(tile):
    if not torch.cuda.is_available():
        pytest.skip("no GPU that PyTorch can use")
    recipe = Recipe(style_layers="relu1_1,relu2_1", content_layers="relu2_1", tv_weight=0.1)
    scene, made = Scene(picture(96, 128), (Style(checks(96, 96)),)), []
    for device in map(torch.device, ("cpu", "cuda")):
        helpers = beside(device) or (device,)
        at_device = scene.at((96, 128), 0, device)
        encoder = tiny_encoder().to(device).compute_in(torch.float32)
        made.append(objective_of(encoder, at_device, recipe, tile=tile, beside=helpers))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a recording that fails
        for seed in range(4):
            canvas = picture(96, 128, seed=seed)
            (loss, gradient, _), (there, slope, _) = made[0].evaluate(canvas), made[1].evaluate(canvas.cuda())
            assert there == pytest.approx(loss, rel=1e-3)
            assert float((slope.cpu() - gradient).abs().max()) <= 0.01 * float(gradient.abs().max())
