"""What a picture will cost, and how to paint it within the memory and the time there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from impasto.errors import RecipeError
from impasto.files import readable_size
from impasto.losses.build import terms_of
from impasto.losses.content import CONTENT_CACHE_BYTES_PER_PIXEL
from impasto.losses.objective import Objective
from impasto.losses.terms import Term
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.painting.engine import MemoryLimits
from impasto.painting.schedule import layers_of, max_evaluations, scale_sizes
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe
from impasto.scene import Scene

__all__ = [
    "MemoryPlan",
    "expected_seconds",
    "plan_memory",
    "seconds_per_pixel",
    "time_shares",
]

GB = 1e9
#: Interpreter, PyTorch and an encoder, before the first picture (measured, rounded up).
RUNTIME_BYTES = 0.5 * GB
#: Bytes a pixel of one float32 picture.
PICTURE_BYTES = 12
#: Pictures alive at once: content, the one evaluated, the best, that of ten evaluations ago (a half),
#: gradient, proposal, two in resampling.
PICTURES_ALIVE = 7.5
#: Smallest tile that is worth its halo.
MIN_TILE = 256
#: Fewest evaluations at the final size that a time budget is accepted for.
MIN_EVALUATIONS = 4


@dataclass(frozen=True)
class MemoryPlan:
    """How a picture is painted within the memory there is.

    Attributes:
        limits: for :func:`impasto.painting.engine.steps`.
        bytes: expected peak of the process.
    """

    limits: MemoryLimits
    bytes: float


def bytes_per_pixel(encoder: Encoder, layers: tuple[str, ...]) -> float:
    """Working memory of one evaluation, a pixel of the picture or tile (forward, saved for backward).

    Each convolution keeps its padded input, its output and that after the ReLU in the encoder's precision;
    each layer that is read, a float32 copy and its gradient. Measured peaks lie 10 to 30 % below.
    """
    width = 2 if encoder.compute_dtype is torch.bfloat16 else 4
    deepest = max((encoder.convs.index(f"conv{layer[4:]}") for layer in layers), default=-1)
    total = 8.0 * PICTURE_BYTES
    for conv in encoder.convs[: deepest + 1]:
        channels = encoder.get_buffer(f"{conv}__weight").shape[0]
        total += 3.5 * width * channels / geometry(conv).stride ** 2
    for layer in layers:
        channels = encoder.get_buffer(f"conv{layer[4:]}__weight").shape[0]
        total += 12.0 * channels / geometry(layer).stride ** 2
    return total


def plan_memory(
    recipe: Recipe,
    encoder: Encoder,
    size: Size,
    max_bytes: float,
    *,
    tile: int | None = None,
    terms: Sequence[Term] | None = None,
) -> MemoryPlan:
    """Choose tiles and optimiser memory so that the process stays below ``max_bytes``.

    Args:
        size: (height, width) of the result.
        max_bytes: for the whole process.
        tile: the tile's side if the caller insists; None: chosen here.
        terms: what the picture is judged by, if not by what the recipe says.

    Raises:
        RecipeError: not even the smallest tiles fit.
    """
    pixels, layers = size[0] * size[1], layers_of(recipe, terms)
    per_pixel = bytes_per_pixel(encoder, layers)
    history = 2.0 * PICTURE_BYTES * pixels * recipe.history
    fixed = RUNTIME_BYTES + (PICTURES_ALIVE * PICTURE_BYTES + _content_cache(recipe, encoder)) * pixels
    room = max_bytes - fixed
    if tile is None and pixels * per_pixel + history <= room:
        return MemoryPlan(MemoryLimits(None, None), fixed + pixels * per_pixel + history)
    radius = max((geometry(layer).radius for layer in layers), default=1)

    def cost(side: int) -> float:
        return per_pixel * min(side + 2 * radius, size[0]) * min(side + 2 * radius, size[1])

    # The optimiser's lean form, half-precision moments, needs a third of a picture beside what is counted.
    least = fixed + PICTURE_BYTES * pixels / 3 + cost(tile or MIN_TILE)
    if least > max_bytes:
        raise RecipeError(
            f"a picture of {size[1]}×{size[0]} pixels in {readable_size(int(max_bytes))} of memory",
            f"at least {readable_size(int(least))} are needed",
            "raise --max-memory or choose a smaller --size",
        )
    side = tile or MIN_TILE
    while tile is None and side < max(size) and cost(side + 128) <= 0.5 * room:
        side += 128
    left = room - cost(side)
    return MemoryPlan(MemoryLimits(side, int(left)), fixed + cost(side) + min(history, left))


def _content_cache(recipe: Recipe, encoder: Encoder) -> float:
    """Bytes a pixel that the content's features take, where they are kept."""
    if not recipe.wants_content:
        return 0.0
    needed = encoder.bytes_per_pixel(recipe.content_shares())
    return needed if needed <= CONTENT_CACHE_BYTES_PER_PIXEL else 0.0


def seconds_per_pixel(
    recipe: Recipe,
    encoder: Encoder,
    scene: Scene,
    *,
    side: int = 192,
    terms: Sequence[Term] | None = None,
) -> float:
    """Measured cost of one evaluation, seconds a pixel: the second of two on noise of ``side``² pixels."""
    device = next(encoder.buffers()).device
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    square = replace(
        scene,
        content=None if scene.content is None else noise,
        aspect=(side, side),
        content_mask=None,
        past=(),
        regions=(),
        style_statistics={},
        styles=tuple(style.resized((side, side)) for style in scene.styles),
    ).at((side, side), 0, device)
    objective = Objective(encoder, replace(square, start=noise), terms_of(recipe) if terms is None else terms)
    objective.evaluate(noise)
    begin = time.perf_counter()
    objective.evaluate(1.0 - noise)
    return (time.perf_counter() - begin) / noise[0, 0].numel()


def expected_seconds(
    recipe: Recipe,
    encoder: Encoder,
    scene: Scene,
    *,
    tile: int | None = None,
    terms: Sequence[Term] | None = None,
) -> float:
    """What all evaluations of a picture will take, from :func:`seconds_per_pixel` measured here and now."""
    rate, total = seconds_per_pixel(recipe, encoder, scene, terms=terms), 0.0
    radius = max((geometry(layer).radius for layer in layers_of(recipe, terms)), default=1)
    for scale, (height, width) in enumerate(scale_sizes(recipe, *scene.size, terms=terms)):
        cost = rate * height * width
        if tile is not None and max(height, width) > tile:
            # Two passes forward and one back instead of one and one (measured), over tiles with their halos.
            cost *= 1.6 * (1 + 2 * radius / tile) ** 2
        total += max_evaluations(recipe, scale) * cost
    return total


def time_shares(
    recipe: Recipe, plan: list[Size], seconds: float, rate: float, begin: float
) -> Callable[[int, int], bool]:
    """A stop rule that spends ``seconds`` over the scales as the recipe's iterations would, and no more.

    Time that a scale left over or took too much is made up for at the next: the end stays where it is.

    Args:
        rate: seconds a pixel, see :func:`seconds_per_pixel`.
        begin: ``time.perf_counter()`` when the seconds began to count.

    Raises:
        RecipeError: the final size takes too long for the budget.
    """
    costs = [size[0] * size[1] * rate for size in plan]
    if MIN_EVALUATIONS * costs[-1] > seconds:
        raise RecipeError(
            f"a budget of {seconds:g} s for a picture of {plan[-1][1]}×{plan[-1][0]} pixels",
            f"here it takes at least {MIN_EVALUATIONS * costs[-1]:.0f} s",
            "raise --budget or choose a smaller --size",
        )
    planned = [max_evaluations(recipe, scale) * cost for scale, cost in enumerate(costs)]
    ends = [seconds * sum(planned[: k + 1]) / sum(planned) for k in range(len(plan))]

    def stop_scale(scale: int, iteration: int) -> bool:
        # Half an evaluation's time is allowed for: stopping before the end is as wrong as after it.
        return iteration >= 1 and time.perf_counter() - begin + costs[scale - 1] / 2 >= ends[scale - 1]

    return stop_scale
