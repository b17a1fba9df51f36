"""One run: from paths or pictures to a finished picture with its recipe, trace and environment."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError
from impasto.losses.objective import StyleSource
from impasto.machine import choose_device, choose_dtype, describe
from impasto.masks import regions
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.painting import engine
from impasto.painting.engine import Sources, Step
from impasto.painting.planning import (
    Forecast,
    available_memory,
    forecast,
    keep_memory,
    seconds_per_pixel,
    time_shares,
)
from impasto.pictures import DEFAULT_MAX_PIXELS, Picture
from impasto.pictures.alpha import fill, require_coverage
from impasto.pictures.geometry import Size, resample
from impasto.recipe import DEFAULT_SIZE, Recipe
from impasto.scene.sources import Part

__all__ = ["Job", "Pictures", "Result", "prepare", "record", "run", "steps", "stylize"]

PictureLike = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor | Picture
Pictures = PictureLike | Sequence[PictureLike]


@dataclass(frozen=True)
class Job:
    """Everything a run needs, loaded and checked.

    Attributes:
        alpha: (1, 1, H, W) of the content, at the result's size; None: opaque.
        inputs: the files that the pictures came from, never to be overwritten.
        forecast: memory it will take, and the tiles that keep it there.
    """

    sources: Sources
    recipe: Recipe
    encoder: Encoder
    device: torch.device
    alpha: Tensor | None
    inputs: tuple[Path, ...]
    forecast: Forecast

    @property
    def size(self) -> Size:
        """(height, width) of the result."""
        return engine.output_size(self.recipe, *self.sources.shape)


@dataclass(frozen=True)
class Result:
    """A finished picture.

    Attributes:
        pixels: (1, 3, H, W), float32, sRGB, [0, 1], on the CPU.
        alpha: (1, 1, H, W) or None.
        losses: the best picture's total (``total``) and the last evaluation's terms by name.
        trace: one entry per evaluation.
        seconds: wall time of the painting, loading excluded.
        finished: False if it was stopped before its last step.
    """

    pixels: Tensor
    alpha: Tensor | None
    recipe: Recipe
    losses: dict[str, float]
    trace: list[dict[str, Any]]
    seconds: float
    finished: bool
    inputs: tuple[Path, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image(self) -> Image.Image:
        """The picture for Pillow, RGB or RGBA, 8 bits."""
        array = pictures.to_uint8(self.pixels)
        if self.alpha is None:
            return Image.fromarray(array)
        alpha = (self.alpha[0, 0].numpy() * 255.0).round().astype(np.uint8)
        return Image.fromarray(np.dstack([array, alpha]))

    def save(self, path: str | os.PathLike[str], *, bit_depth: int = 8, quality: int = 95) -> Path:
        """Write the picture with its recipe inside; never over one of the pictures it was made from."""
        return pictures.save(
            path,
            self.pixels,
            alpha=self.alpha,
            metadata=self.recipe.to_json(),
            bit_depth=bit_depth,
            quality=quality,
            inputs=self.inputs,
        )


def prepare(
    content: PictureLike | None,
    style: Pictures,
    recipe: Recipe | None = None,
    *,
    canvas: Size | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    tile: int | None = None,
) -> Job:
    """Load pictures and encoder; raises the project's errors before any work is done.

    Args:
        content: a path, Pillow image, array (H, W, 3) or tensor (1, 3, H, W); None: a texture.
        style: one of these, or several; an empty list where the style weight is 0.
        canvas: (height, width) whose aspect ratio a texture has; None: the first style's.
        init_image: the picture to start from; sets ``init="picture"``.
        mask, style_mask: regions of the content and of the styles, see ``regions.py``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        max_pixels: larger files are refused before they are decoded.
        max_memory: bytes that the process may take; None: four fifths of what is free.
        tile: side of the tiles that a large picture is judged in; None: chosen by the memory.
    """
    recipe = recipe or Recipe()
    if recipe.size is None:  # said in full, so that the run's record does not depend on a default
        recipe = recipe.replace(size=DEFAULT_SIZE)
    if init_image is not None and recipe.init != "picture":
        recipe = recipe.replace(init="picture")
    chosen = choose_device(device)
    loaded = None if content is None else pictures.load(content, max_pixels=max_pixels)
    styles = [pictures.load(one, max_pixels=max_pixels) for one in _listed(style)]
    start = None if init_image is None else pictures.load(init_image, max_pixels=max_pixels)
    masks, style_masks = (
        [pictures.load(one, max_pixels=max_pixels) for one in _listed(some)] for some in (mask, style_mask)
    )
    for picture, what in [(loaded, "content"), *((one, "style") for one in styles)]:
        if picture is not None and picture.alpha is not None:
            require_coverage(picture.alpha, what)
    encoder = load_encoder(
        recipe.encoder,
        weights=recipe.weights,
        pooling=recipe.pooling,
        padding=recipe.padding,
        device=chosen,
        dtype=choose_dtype(recipe.precision, chosen),
    )
    sources = Sources(
        content=None if loaded is None else loaded.pixels,
        styles=tuple(StyleSource(one.pixels, one.alpha) for one in styles),
        content_mask=None if loaded is None else loaded.alpha,
        start=None if start is None else _opaque(start, loaded),
        canvas=canvas or (styles[0].size if styles else (1, 1)),
    )
    if masks or style_masks:
        sources = replace(sources, parts=_parts(sources, recipe, masks, style_masks))
    size = engine.output_size(recipe, *sources.shape)
    files = [
        p.source
        for p in (loaded, *styles, start, *masks, *style_masks)
        if p is not None and p.source is not None
    ]
    alpha = None if sources.content_mask is None else resample(sources.content_mask, size)
    # Whether the picture fits the layers, and the layers the encoder: these errors come first.
    engine.check(sources, recipe, encoder)
    room = max_memory or 0.8 * available_memory(chosen)
    return Job(
        sources=sources,
        recipe=recipe,
        encoder=encoder,
        device=chosen,
        alpha=alpha,
        inputs=tuple(files),
        forecast=forecast(recipe, encoder, size, room, tile),
    )


def _opaque(start: Picture, content: Picture | None) -> Tensor:
    """A picture to start from, (1, 3, H, W): where it is transparent the content shows, or its own rim."""
    if start.alpha is None:
        return start.pixels
    require_coverage(start.alpha, "start")
    whole = fill(start.pixels, start.alpha)
    return whole if content is None else torch.lerp(resample(content.pixels, start.size), whole, start.alpha)


def _parts(
    sources: Sources, recipe: Recipe, masks: Sequence[Picture], style_masks: Sequence[Picture]
) -> tuple[Part, ...]:
    return regions.parts(
        sources.shape,
        sources.styles,
        [one.pixels for one in masks],
        [one.pixels for one in style_masks],
        weights=recipe.region_weights,
        blend=recipe.style_blend,
        feather=recipe.feather,
    )


def _listed(style: Pictures) -> Sequence[PictureLike]:
    return style if isinstance(style, (list, tuple)) else [cast(PictureLike, style)]


def run(
    job: Job,
    *,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    budget: float | None = None,
    keep_on_interrupt: bool = False,
    painting: Callable[..., Iterator[Step]] = engine.steps,
) -> Result:
    """Paint a prepared job.

    Args:
        on_step: called after each evaluation.
        stop: asked after each evaluation; True ends the run with the best picture so far.
        budget: seconds to spend, all of them: scales share them in the ratio of the recipe's iterations,
            which otherwise do not count.
        keep_on_interrupt: return the best picture so far on Ctrl-C instead of raising.
        painting: what yields the steps, with the arguments of :func:`impasto.painting.engine.steps`; another
            than that is for comparison.

    Raises:
        RecipeError: the budget is too short for the size.
    """
    keep_memory()
    trace: list[dict[str, Any]] = []
    step: Step | None = None
    begin = time.perf_counter()
    recipe, enough = _timed(job, budget)
    try:
        for step in painting(job.sources, recipe, job.encoder, limits=job.forecast.limits, enough=enough):
            trace.append(entry(step, time.perf_counter() - begin))
            if on_step is not None:
                on_step(step)
            if stop is not None and stop():
                break
    except KeyboardInterrupt:
        if not keep_on_interrupt or step is None:
            raise
    assert step is not None, "a checked plan has at least one evaluation"
    return Result(
        pixels=resample(step.picture, job.size).detach().cpu(),
        alpha=job.alpha,
        recipe=job.recipe,
        losses={"total": step.best_loss, **step.terms},
        trace=trace,
        seconds=time.perf_counter() - begin,
        finished=step.last,
        inputs=job.inputs,
        environment=describe(job.device),
    )


def _timed(job: Job, budget: float | None) -> tuple[Recipe, Callable[[int, int], bool] | None]:
    """The recipe and the stop rule for a time budget: the clock ends each scale, not the count."""
    if budget is None:
        return job.recipe, None
    begin = time.perf_counter()
    rate = seconds_per_pixel(job.recipe, job.encoder, job.sources)
    plan = engine.sizes(job.recipe, *job.sources.shape)
    enough = time_shares(job.recipe, plan, budget, rate, begin)
    return job.recipe.replace(iterations=(1_000_000,), tolerance=0.0), enough


def entry(step: Step, seconds: float) -> dict[str, Any]:
    """A step as one line of the trace."""
    return {
        "evaluation": step.evaluations,
        "scale": step.scale,
        "height": step.size[0],
        "width": step.size[1],
        "iteration": step.iteration,
        "seconds": round(seconds, 4),
        "loss": step.loss,
        "best_loss": step.best_loss,
        "event": step.event,
        **step.terms,
    }


def record(result: Result, folder: Path) -> Path:
    """Write a run into ``folder``: picture.png, recipe.json, trace.jsonl, environment.json.

    The folder is made if it is missing, its parent is not.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"the run cannot be saved in {folder}: {error.strerror}", "a folder in a folder that exists"
        ) from None
    result.save(folder / "picture.png")
    lines = "".join(json.dumps(_storable(line)) + "\n" for line in result.trace)
    summary = result.environment | {
        "seconds": round(result.seconds, 3),
        "finished": result.finished,
        "losses": _storable(result.losses),
        "inputs": [str(path) for path in result.inputs],
    }
    for name, text in (
        ("recipe.json", result.recipe.to_json() + "\n"),
        ("trace.jsonl", lines),
        ("environment.json", json.dumps(summary, indent=2) + "\n"),
    ):
        _write(folder / name, text)
    return folder


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON, which has no NaN and no infinity: null instead."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _write(path: Path, text: str) -> None:
    """Beside, then renamed: a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise PictureError(
            f"{path} cannot be written: {error.strerror}", "a folder with room in it"
        ) from None


def stylize(
    content: PictureLike,
    style: Pictures,
    *,
    recipe: Recipe | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    budget: float | None = None,
    **settings: Any,
) -> Result:
    """Paint ``content`` in the manner of ``style``.

    Args:
        content: path, Pillow image, array (H, W, 3) or tensor (1, 3, H, W) in [0, 1].
        style: one of these, or several (see ``style_blend``).
        recipe: settings to begin with; default: ``Recipe()``.
        init_image: a picture to start from instead of ``init``.
        mask, style_mask: regions: one picture of coloured labels each, or grey masks; see docs/control.md.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        max_pixels, max_memory: see :func:`prepare`.
        on_step, stop, budget: see :func:`run`.
        settings: any field of :class:`Recipe`, over ``recipe``.

    Raises:
        PictureError, RecipeError, WeightsError: one line each, all of them ``ImpastoError``.

    Example:
        >>> import impasto
        >>> impasto.stylize("cat.jpg", "wave.jpg", size=800).save("cat-wave.png")  # doctest: +SKIP
    """
    job = prepare(
        content,
        style,
        (recipe or Recipe()).replace(**settings),
        init_image=init_image,
        mask=mask,
        style_mask=style_mask,
        device=device,
        max_pixels=max_pixels,
        max_memory=max_memory,
    )
    return run(job, on_step=on_step, stop=stop, budget=budget)


def steps(
    content: PictureLike,
    style: Pictures,
    *,
    recipe: Recipe | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    **settings: Any,
) -> Iterator[Step]:
    """The same as a generator of :class:`Step`; stop by not asking for more. Arguments as :func:`stylize`."""
    job = prepare(
        content,
        style,
        (recipe or Recipe()).replace(**settings),
        init_image=init_image,
        mask=mask,
        style_mask=style_mask,
        device=device,
        max_pixels=max_pixels,
        max_memory=max_memory,
    )
    return engine.steps(job.sources, job.recipe, job.encoder, limits=job.forecast.limits)
