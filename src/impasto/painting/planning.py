"""What a picture will cost, and how to paint it within the memory and the time there is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from pydantic import ByteSize, TypeAdapter, ValidationError

from impasto.errors import RecipeError
from impasto.losses.objective import HELD, Objective
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.painting import engine
from impasto.painting.engine import Limits, Sources
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe

__all__ = [
    "Forecast",
    "available_memory",
    "expected_seconds",
    "forecast",
    "keep_memory",
    "parse_bytes",
    "parse_seconds",
    "seconds_per_pixel",
    "time_shares",
]

GB = 1e9
#: Interpreter, PyTorch and an encoder, before the first picture (measured, rounded up).
RUNTIME_BYTES = 0.5 * GB
#: One float32 picture, a pixel.
PICTURE = 12
#: Pictures alive at once: content, the one evaluated, the best, that of ten evaluations ago (a half),
#: gradient, proposal, two in resampling.
PICTURES_ALIVE = 7.5
#: Smallest tile that is worth its halo.
SMALLEST_TILE = 256
#: Fewest evaluations at the final size that a time budget is accepted for.
FEWEST = 4


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        limits: for :func:`impasto.painting.engine.steps`.
        bytes: expected peak of the process.
    """

    limits: Limits
    bytes: float


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of giving every large block back to the system.

    Each evaluation allocates the same blocks again; fetched anew from the system they are zeroed page by
    page, which took 13 % of an evaluation. Does nothing elsewhere than on Linux with glibc.
    """
    import ctypes
    import sys

    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 1 << 27)  # M_MMAP_THRESHOLD: pictures beyond are given back
            libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def available_memory(device: torch.device) -> float:
    """Bytes that may still be taken on ``device``: the system's or the container's, whichever is less."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    free = float(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(free, float(limit.read_text()) - float(used.read_text()))
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        return free


def bytes_per_pixel(encoder: Encoder, layers: tuple[str, ...]) -> float:
    """Working memory of one evaluation, a pixel of the picture or tile (forward, saved for backward).

    Each convolution keeps its padded input, its output and that after the ReLU in the encoder's precision;
    each layer that is read, a float32 copy and its gradient. Measured peaks lie 10 to 30 % below.
    """
    width = 2 if encoder.compute_dtype is torch.bfloat16 else 4
    deepest = max((encoder.convs.index(f"conv{layer[4:]}") for layer in layers), default=-1)
    total = 8.0 * PICTURE
    for conv in encoder.convs[: deepest + 1]:
        channels = encoder.get_buffer(f"{conv}__weight").shape[0]
        total += 3.5 * width * channels / geometry(conv).stride ** 2
    for layer in layers:
        channels = encoder.get_buffer(f"conv{layer[4:]}__weight").shape[0]
        total += 12.0 * channels / geometry(layer).stride ** 2
    return total


def forecast(
    recipe: Recipe, encoder: Encoder, size: Size, max_bytes: float, tile: int | None = None
) -> Forecast:
    """Choose tiles and optimiser memory so that the process stays below ``max_bytes``.

    Args:
        size: (height, width) of the result.
        max_bytes: for the whole process.
        tile: the tile's side if the caller insists; None: chosen here.

    Raises:
        RecipeError: not even the smallest tiles fit.
    """
    pixels, layers = size[0] * size[1], recipe.active_layers()
    per_pixel = bytes_per_pixel(encoder, layers)
    history = 2.0 * PICTURE * pixels * recipe.history
    held = encoder.bytes_per_pixel(recipe.content_terms() if recipe.wants_content else ())
    fixed = RUNTIME_BYTES + (PICTURES_ALIVE * PICTURE + (held if held <= HELD else 0)) * pixels
    room = max_bytes - fixed
    if tile is None and pixels * per_pixel + history <= room:
        return Forecast(Limits(None, None), fixed + pixels * per_pixel + history)
    radius = max((geometry(layer).radius for layer in layers), default=1)

    def cost(side: int) -> float:
        return per_pixel * min(side + 2 * radius, size[0]) * min(side + 2 * radius, size[1])

    # The optimiser's lean form, half-precision moments, needs a third of a picture beside what is counted.
    least = fixed + PICTURE * pixels / 3 + cost(tile or SMALLEST_TILE)
    if least > max_bytes:
        raise RecipeError(
            f"a picture of {size[1]}×{size[0]} pixels in {max_bytes / GB:.1f} GB of memory",
            f"at least {least / GB:.1f} GB are needed",
            "raise --max-memory or choose a smaller --size",
        )
    side = tile or SMALLEST_TILE
    while tile is None and side < max(size) and cost(side + 128) <= 0.5 * room:
        side += 128
    left = room - cost(side)
    return Forecast(Limits(side, int(left)), fixed + cost(side) + min(history, left))


def seconds_per_pixel(recipe: Recipe, encoder: Encoder, sources: Sources, side: int = 192) -> float:
    """Measured cost of one evaluation, seconds a pixel: the second of two on noise of ``side``² pixels."""
    device = next(encoder.buffers()).device
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    objective = Objective(
        encoder,
        recipe,
        image if sources.content is not None else None,
        [style.resized((side, side)).to(device) for style in sources.styles],
    )
    objective.evaluate(image)
    begin = time.perf_counter()
    objective.evaluate(1.0 - image)
    return (time.perf_counter() - begin) / image[0, 0].numel()


def expected_seconds(recipe: Recipe, encoder: Encoder, sources: Sources, tile: int | None = None) -> float:
    """What all evaluations of a picture will take, from :func:`seconds_per_pixel` measured here and now."""
    rate, total = seconds_per_pixel(recipe, encoder, sources), 0.0
    radius = max((geometry(layer).radius for layer in recipe.active_layers()), default=1)
    for scale, (height, width) in enumerate(engine.sizes(recipe, *sources.shape)):
        cost = rate * height * width
        if tile is not None and max(height, width) > tile:
            # Two passes forward and one back instead of one and one (measured), over tiles with their halos.
            cost *= 1.6 * (1 + 2 * radius / tile) ** 2
        total += engine.budget(recipe, scale) * cost
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
    if FEWEST * costs[-1] > seconds:
        raise RecipeError(
            f"a budget of {seconds:g} s for a picture of {plan[-1][1]}×{plan[-1][0]} pixels",
            f"here it takes at least {FEWEST * costs[-1]:.0f} s",
            "raise --budget or choose a smaller --size",
        )
    planned = [engine.budget(recipe, scale) * cost for scale, cost in enumerate(costs)]
    ends = [seconds * sum(planned[: k + 1]) / sum(planned) for k in range(len(plan))]

    def enough(scale: int, iteration: int) -> bool:
        # Half an evaluation's time is allowed for: stopping before the end is as wrong as after it.
        return iteration >= 1 and time.perf_counter() - begin + costs[scale - 1] / 2 >= ends[scale - 1]

    return enough


def parse_bytes(text: str) -> float:
    """Bytes from ``4GB``, ``800 MB``, ``2GiB``, as pydantic's ``ByteSize`` reads them."""
    try:
        found = float(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        found = 0.0
    if not found > 0:
        raise RecipeError(f"memory of {text!r}", "a size above 0 as 4GB or 800MB")
    return found


def parse_seconds(text: str) -> float:
    """Seconds from ``20``, ``20s``, ``1.5m``, ``2h`` or ``1h30m``."""
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text.strip().lower())
    try:
        parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    except ValueError:
        parts = [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds > 0:
        raise RecipeError(f"a budget of {text!r}", "a time above 0 as 20s, 1.5m or 1h30m")
    return seconds
