"""Predicts the memory and time that a picture takes, and plans how to paint it within given limits."""

from __future__ import annotations

import math
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
    "for_budget",
    "plan_memory",
    "seconds_per_pixel",
    "time_shares",
]

GB = 1e9
#: Memory of the interpreter, PyTorch and an encoder before the first picture (measured, rounded up).
RUNTIME_BYTES = 0.35 * GB
#: Bytes per pixel of a float32 picture.
PICTURE_BYTES = 12
#: Pictures in memory at once: content, the one evaluated, the best, that of ten evaluations ago in half
#: precision, gradient, proposal, two while resampling.
PICTURES_ALIVE = 7.5
#: Side in pixels of the smallest tiles that are chosen; smaller ones are mostly halo.
MIN_TILE = 256
#: A time budget must allow at least this many evaluations at the final size.
MIN_EVALUATIONS = 4


@dataclass(frozen=True)
class MemoryPlan:
    """How a picture is painted within a limit of memory.

    Attributes:
        limits: for :func:`impasto.painting.engine.steps`.
        bytes: expected peak memory of the process.
    """

    limits: MemoryLimits
    bytes: float


def bytes_per_pixel(encoder: Encoder, layers: tuple[str, ...]) -> float:
    """Working memory of one evaluation in bytes per pixel of the picture or tile.

    For the backward pass each convolution keeps its result, in the encoder's precision; as much again is
    counted for the gradients at one layer. Each of ``layers`` may need a float32 copy and its gradient. A
    quarter is taken off, because not all of it is there at once: measured peaks are as high (VGG-19) to a
    third lower (LOG.md, 2026-11-28).
    """
    width = 2 if encoder.compute_dtype is torch.bfloat16 else 4
    deepest = max((encoder.convs.index(f"conv{layer[4:]}") for layer in layers), default=-1)
    total = 0.0
    for conv in encoder.convs[: deepest + 1]:
        channels = encoder.get_buffer(f"{conv}__weight").shape[0]
        total += 2.0 * width * channels / geometry(conv).stride ** 2
    for layer in layers:
        channels = encoder.get_buffer(f"conv{layer[4:]}__weight").shape[0]
        total += 12.0 * channels / geometry(layer).stride ** 2
    return 8.0 * PICTURE_BYTES + 0.75 * total


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
        max_bytes: for the whole process; may be infinite.
        tile: side in pixels of the tiles that must be used; None: choose it here.
        terms: the terms of the objective; None: those of the recipe.

    Raises:
        RecipeError: not even the smallest tiles fit, or the encoder does not have the layers.
    """
    pixels, layers = size[0] * size[1], layers_of(recipe, terms)
    encoder.require(layers, *size)
    per_pixel = bytes_per_pixel(encoder, layers)
    history = 2.0 * PICTURE_BYTES * pixels * recipe.history
    fixed = RUNTIME_BYTES + (PICTURES_ALIVE * PICTURE_BYTES + _content_cache(recipe, encoder)) * pixels
    available = max_bytes - fixed
    if tile is None and pixels * per_pixel + history <= available:
        return MemoryPlan(MemoryLimits(None, None), fixed + pixels * per_pixel + history)
    radius = max((geometry(layer).radius for layer in layers), default=1)

    def cost(side: int) -> float:
        """Bytes of one evaluation in tiles of this side, halo included."""
        return per_pixel * min(side + 2 * radius, size[0]) * min(side + 2 * radius, size[1])

    # The leanest optimiser, Adam with half-precision moments, needs a third of a picture beyond ``fixed``.
    minimum = fixed + PICTURE_BYTES * pixels / 3 + cost(tile or MIN_TILE)
    if minimum > max_bytes:
        raise RecipeError(
            f"a picture of {size[1]}×{size[0]} pixels in {readable_size(int(max_bytes))} of memory",
            f"at least {readable_size(int(minimum))} are needed",
            "raise --max-memory or choose a smaller --size",
        )
    side = tile or MIN_TILE
    while tile is None and side < max(size) and cost(side + 128) <= 0.5 * available:
        side += 128
    for_optimiser = available - cost(side)
    optimiser_limit = int(for_optimiser) if math.isfinite(for_optimiser) else None
    return MemoryPlan(MemoryLimits(side, optimiser_limit), fixed + cost(side) + min(history, for_optimiser))


def _content_cache(recipe: Recipe, encoder: Encoder) -> float:
    """Bytes per pixel of the content's features; 0 where they are too many to be cached."""
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
    """Measured time of one evaluation in seconds per pixel.

    Two evaluations of noise are made, and the second one is timed.

    Args:
        side: of the noise in pixels.
        terms: the terms of the objective; None: those of the recipe.
    """
    device = encoder.device
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
    if terms is None:
        # If there are finishing steps, they take most of the time.
        terms = terms_of(recipe, finishing=recipe.wants_finishing)
    objective = Objective(encoder, replace(square, start=noise), terms)
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
    """Seconds that all evaluations of a picture will take, extrapolated from :func:`seconds_per_pixel`.

    Args:
        tile: side in pixels of the tiles that larger pictures are evaluated in; None: they are
            evaluated whole.
        terms: the terms of the objective; None: those of the recipe.
    """
    rate, total = seconds_per_pixel(recipe, encoder, scene, terms=terms), 0.0
    radius = max((geometry(layer).radius for layer in layers_of(recipe, terms)), default=1)
    plan = scale_sizes(recipe, *scene.size, terms=terms)
    counts = max_evaluations(recipe, plan, terms)
    for scale, (height, width) in enumerate(plan):
        cost = rate * height * width
        if tile is not None and max(height, width) > tile:
            # Two forward passes and one backward take 1.6 times as long as one of each (measured), and they
            # are made over tiles with their halos.
            cost *= 1.6 * (1 + 2 * radius / tile) ** 2
        total += counts[scale] * cost
    return total


def _planned_seconds(
    recipe: Recipe, plan: Sequence[Size], rate: float, terms: Sequence[Term] | None
) -> list[float]:
    """Seconds that the evaluations at each scale of a plan take by a rate in seconds per pixel."""
    counts = max_evaluations(recipe, plan, terms)
    return [count * size[0] * size[1] * rate for count, size in zip(counts, plan, strict=True)]


def for_budget(
    recipe: Recipe,
    plan: Sequence[Size],
    seconds: float,
    rate: float,
    *,
    terms: Sequence[Term] | None = None,
) -> Recipe:
    """The recipe without an end to its iterations, and with as many finishing steps as the time allows.

    Finishing steps are not only cut off, as iterations are by :func:`time_shares`, because their rate falls
    to the last one. Arguments as there.
    """
    most, factor = 1_000_000, seconds / sum(_planned_seconds(recipe, plan, rate, terms))
    coarse, *fine = (
        min(most, math.ceil(steps * factor)) for steps in (recipe.coarse_finishing, *recipe.finishing)
    )
    return recipe.replace(iterations=(most,), tolerance=0.0, coarse_finishing=coarse, finishing=tuple(fine))


def time_shares(
    recipe: Recipe,
    plan: list[Size],
    seconds: float,
    rate: float,
    begin: float,
    *,
    terms: Sequence[Term] | None = None,
) -> Callable[[int, int], bool]:
    """A stop rule for :func:`impasto.painting.engine.steps` that keeps to a time budget.

    Each scale gets the share of the time that its planned evaluations would take. Its deadline is fixed in
    advance, so that the time which one scale saves or overruns is added to or taken from the next.

    Args:
        plan: (height, width) of the scales.
        seconds: the time budget.
        rate: seconds per pixel, see :func:`seconds_per_pixel`.
        begin: ``time.perf_counter()`` when the budget began.
        terms: the terms of the objective; None: those of the recipe.

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
    planned = _planned_seconds(recipe, plan, rate, terms)
    deadlines = [seconds * sum(planned[: k + 1]) / sum(planned) for k in range(len(plan))]

    def stop_scale(scale: int, iteration: int) -> bool:
        # Stop as near to the deadline as possible: if one more evaluation would end farther beyond it.
        elapsed = time.perf_counter() - begin
        return iteration >= 1 and elapsed + costs[scale - 1] / 2 >= deadlines[scale - 1]

    return stop_scale
