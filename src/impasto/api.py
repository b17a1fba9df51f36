"""The Python API: from paths or pictures to a finished picture."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from impasto import pictures
from impasto.errors import RecipeError
from impasto.feedforward import painting as feedforward_painting
from impasto.feedforward.network import TILE
from impasto.feedforward.style import InstantStyle
from impasto.losses.terms import Term
from impasto.machine import available_memory, choose_device, describe, keep_memory
from impasto.masks.regions import regions_from_masks
from impasto.networks.encoder import Encoder
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.painting.planning import MemoryPlan, plan_memory, seconds_per_pixel, time_shares
from impasto.painting.result import Result, record, trace_entry
from impasto.painting.schedule import output_size, scale_sizes
from impasto.painting.setup import encoder_for
from impasto.pictures import DEFAULT_MAX_PIXELS, Picture
from impasto.pictures.alpha import fill, require_coverage
from impasto.pictures.geometry import Size, resample
from impasto.recipe import DEFAULT_SIZE, Recipe, merged
from impasto.scene import Scene, Style

__all__ = [
    "Pictures",
    "PreparedRun",
    "Result",
    "Styles",
    "instant",
    "prepare",
    "record",
    "run",
    "steps",
    "stylize",
]

PictureLike = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor | Picture
Pictures = PictureLike | Sequence[PictureLike]
Styles = PictureLike | InstantStyle | Sequence[PictureLike | InstantStyle]


#: Peak of the process for instant transfer in tiles of 512 pixels, without the picture itself.
INSTANT_BYTES = 600e6


@dataclass(frozen=True)
class PreparedRun:
    """Everything that painting needs, loaded and checked.

    Attributes:
        alpha: (1, 1, H, W) of the content, at the result's size; None: opaque.
        inputs: the files that the pictures came from, never to be overwritten.
        memory: what it will take, and the tiles that keep it there.
        terms: what the picture is judged by; None: what the recipe says.
        saved_styles: with ``method="instant"``, instead of the scene's style pictures.
    """

    scene: Scene
    recipe: Recipe
    encoder: Encoder
    device: torch.device
    alpha: Tensor | None
    inputs: tuple[Path, ...]
    memory: MemoryPlan
    terms: tuple[Term, ...] | None = None
    saved_styles: tuple[InstantStyle, ...] = ()

    @property
    def size(self) -> Size:
        """(height, width) of the result."""
        return output_size(self.recipe, *self.scene.size)


def prepare(
    content: PictureLike | None,
    style: Styles,
    recipe: Recipe | None = None,
    *,
    canvas: Size | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    terms: Sequence[Term] | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    tile: int | None = None,
) -> PreparedRun:
    """Load pictures and encoder; raises the project's errors before any work is done.

    Args:
        content: a path, Pillow image, array (H, W, 3) or tensor (1, 3, H, W); None: a texture.
        style: one of these, or several; an empty list where the style weight is 0. With
            ``method="instant"`` also :class:`~impasto.feedforward.style.InstantStyle`.
        canvas: (height, width) whose aspect ratio a texture has; None: the first style's.
        init_image: the picture to start from; sets ``init="picture"``.
        mask, style_mask: regions of the content and of the styles, see :mod:`impasto.masks.regions`.
        terms: what the picture is judged by, instead of what the recipe says.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        max_pixels: larger files are refused before they are decoded.
        max_memory: bytes that the process may take; None: four fifths of what is free.
        tile: side of the tiles that a large picture is judged in; None: chosen by the memory.
    """
    recipe = _complete(recipe or Recipe(), init_image is not None)

    def load(source: PictureLike) -> Picture:
        return pictures.load(source, max_pixels=max_pixels)

    chosen = choose_device(device)
    content_picture = None if content is None else load(content)
    style_pictures, saved_styles = _styles(style, recipe)
    styles = [load(source) for source in style_pictures]
    start = None if init_image is None else load(init_image)
    masks, style_masks = ([load(source) for source in _as_list(sources)] for sources in (mask, style_mask))
    if content_picture is not None:
        pictures.require_usable(content_picture, "content")
    for picture in styles:
        pictures.require_usable(picture, "style")
    encoder = encoder_for(recipe, chosen)
    scene = Scene(
        content=None if content_picture is None else content_picture.pixels,
        styles=tuple(Style(picture.pixels, picture.alpha, position=i) for i, picture in enumerate(styles)),
        content_mask=None if content_picture is None else content_picture.alpha,
        start=None if start is None else _opaque(start, content_picture),
        aspect=canvas or (styles[0].size if styles else (1, 1)),
    )
    if masks or style_masks:
        scene = replace(scene, regions=regions_from_masks(scene, recipe, masks, style_masks))
    # Whether the picture fits the layers, and the layers the encoder, is said before memory is looked at.
    if recipe.method == "instant":
        feedforward_painting.check(scene, recipe, saved_styles, terms)
    else:
        engine.check(scene, recipe, encoder, terms)
    size = output_size(recipe, *scene.size)
    budget = max_memory or 0.8 * available_memory(chosen)
    used = [picture for picture in (content_picture, *styles, start, *masks, *style_masks) if picture]
    return PreparedRun(
        scene=scene,
        recipe=recipe,
        encoder=encoder,
        device=chosen,
        alpha=None if scene.content_mask is None else resample(scene.content_mask, size),
        inputs=tuple(picture.source for picture in used if picture.source is not None),
        memory=(
            MemoryPlan(engine.MemoryLimits(tile or TILE), INSTANT_BYTES + 60.0 * size[0] * size[1])
            if recipe.method == "instant"
            else plan_memory(recipe, encoder, size, budget, tile=tile, terms=terms)
        ),
        terms=None if terms is None else tuple(terms),
        saved_styles=saved_styles,
    )


def _styles(sources: Styles, recipe: Recipe) -> tuple[Sequence[PictureLike], tuple[InstantStyle, ...]]:
    """Style pictures, or saved styles; both together are refused."""
    listed = list(sources) if isinstance(sources, (list, tuple)) else [cast("PictureLike", sources)]
    saved = tuple(source for source in listed if isinstance(source, InstantStyle))
    if saved and (recipe.method != "instant" or len(saved) < len(listed)):
        raise RecipeError(
            "a saved style among style pictures, or with method 'optimise'",
            "saved styles alone, with method 'instant'",
        )
    return [source for source in listed if not isinstance(source, InstantStyle)], saved


def _complete(recipe: Recipe, with_start: bool) -> Recipe:
    """The recipe with its size named, so that a run's record does not depend on a default; a picture to start
    from says that painting starts from it."""
    if recipe.size is None:
        recipe = recipe.replace(size=DEFAULT_SIZE)
    if with_start and recipe.init != "picture":
        recipe = recipe.replace(init="picture")
    return recipe


def _opaque(start: Picture, content: Picture | None) -> Tensor:
    """A picture to start from, (1, 3, H, W): the content shows where it is transparent, or what is around."""
    if start.alpha is None:
        return start.pixels
    require_coverage(start.alpha, "start")
    filled = fill(start.pixels, start.alpha)
    if content is None:
        return filled
    return torch.lerp(resample(content.pixels, start.size), filled, start.alpha)


def _as_list(sources: Pictures) -> Sequence[PictureLike]:
    return sources if isinstance(sources, (list, tuple)) else [cast(PictureLike, sources)]


def run(
    prepared: PreparedRun,
    *,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    budget: float | None = None,
    keep_on_interrupt: bool = False,
    step_fn: Callable[..., Iterator[Step]] | None = None,
) -> Result:
    """Paint what was prepared.

    Args:
        on_step: called after each evaluation.
        stop: asked after each evaluation; True ends the run with the best picture so far.
        budget: seconds to spend, all of them: scales share them in the ratio of the recipe's iterations,
            which otherwise do not count.
        keep_on_interrupt: return the best picture so far on Ctrl-C instead of raising.
        step_fn: what yields the steps, with the arguments of :func:`impasto.painting.engine.steps`; None:
            what the recipe's method says.

    Raises:
        RecipeError: the budget is too short for the size, or none is possible.
    """
    if prepared.recipe.method == "instant" and budget is not None:
        raise RecipeError("a time budget with method 'instant'", "it takes the time it takes", "leave it out")
    keep_memory()
    step_fn = step_fn or _step_function(prepared)
    trace: list[dict[str, Any]] = []
    step: Step | None = None
    begin = time.perf_counter()
    recipe, options = _timed(prepared, budget)
    try:
        for step in step_fn(prepared.scene, recipe, prepared.encoder, **options):
            trace.append(trace_entry(step, time.perf_counter() - begin))
            if on_step is not None:
                on_step(step)
            if stop is not None and stop():
                break
    except KeyboardInterrupt:
        if not keep_on_interrupt or step is None:
            raise
    assert step is not None, "a checked plan has at least one evaluation"
    return Result(
        pixels=resample(step.picture, prepared.size).detach().cpu(),
        alpha=prepared.alpha,
        recipe=prepared.recipe,
        losses={"total": step.best_loss, **step.terms},
        trace=trace,
        seconds=time.perf_counter() - begin,
        finished=step.last,
        inputs=prepared.inputs,
        environment=describe(prepared.device),
    )


def _step_function(prepared: PreparedRun) -> Callable[..., Iterator[Step]]:
    """What paints by the recipe's method."""
    if prepared.recipe.method == "instant":
        return partial(feedforward_painting.steps, styles=prepared.saved_styles)
    return engine.steps


def _timed(prepared: PreparedRun, budget: float | None) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and the options of the loop; with a time budget the clock ends each scale, not the count."""
    options: dict[str, Any] = {"limits": prepared.memory.limits}
    if prepared.terms is not None:
        options["terms"] = prepared.terms
    if budget is None:
        return prepared.recipe, options
    begin, recipe, terms = time.perf_counter(), prepared.recipe, prepared.terms
    rate = seconds_per_pixel(recipe, prepared.encoder, prepared.scene, terms=terms)
    plan = scale_sizes(recipe, *prepared.scene.size, terms=terms)
    options["stop_scale"] = time_shares(recipe, plan, budget, rate, begin)
    return recipe.replace(iterations=(1_000_000,), tolerance=0.0), options


def stylize(
    content: PictureLike,
    style: Styles,
    *,
    preset: str = "fast",
    recipe: Recipe | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    terms: Sequence[Term] | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    tile: int | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    budget: float | None = None,
    **settings: Any,
) -> Result:
    """Paint ``content`` in the manner of ``style``.

    Args:
        content: path, Pillow image, array (H, W, 3) or tensor (3, H, W) or (1, 3, H, W) in [0, 1].
        style: one of these, or several (see ``style_blend``).
        preset: settings to begin with, a key of :data:`impasto.recipe.PRESETS`.
        recipe: settings over the preset's.
        init_image: a picture to start from instead of ``init``.
        mask, style_mask: regions: one picture of coloured labels each, or grey masks; see docs/control.md.
        terms: what the picture is judged by, instead of what the settings say; see
            :class:`impasto.Term`, and :func:`impasto.terms_of` for the terms of a recipe.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        max_pixels, max_memory, tile: see :func:`prepare`.
        on_step, stop, budget: see :func:`run`.
        settings: any field of :class:`Recipe`, over ``recipe``.

    Raises:
        PictureError, RecipeError, WeightsError: one line each, all of them ``ImpastoError``.

    Example:
        >>> import impasto
        >>> impasto.stylize("cat.jpg", "wave.jpg", size=800).save("cat-wave.png")  # doctest: +SKIP
    """
    prepared = prepare(
        content,
        style,
        merged(preset, recipe, settings),
        init_image=init_image,
        mask=mask,
        style_mask=style_mask,
        terms=terms,
        device=device,
        max_pixels=max_pixels,
        max_memory=max_memory,
        tile=tile,
    )
    return run(prepared, on_step=on_step, stop=stop, budget=budget)


def steps(
    content: PictureLike,
    style: Styles,
    *,
    preset: str = "fast",
    recipe: Recipe | None = None,
    init_image: PictureLike | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    terms: Sequence[Term] | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    tile: int | None = None,
    **settings: Any,
) -> Iterator[Step]:
    """The same as a generator of :class:`Step`; stop by not asking for more. Arguments as :func:`stylize`."""
    prepared = prepare(
        content,
        style,
        merged(preset, recipe, settings),
        init_image=init_image,
        mask=mask,
        style_mask=style_mask,
        terms=terms,
        device=device,
        max_pixels=max_pixels,
        max_memory=max_memory,
        tile=tile,
    )
    keep_memory()
    options = _timed(prepared, None)[1]
    return _step_function(prepared)(prepared.scene, prepared.recipe, prepared.encoder, **options)


def instant(
    content: PictureLike,
    style: Styles,
    *,
    recipe: Recipe | None = None,
    mask: Pictures = (),
    style_mask: Pictures = (),
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    tile: int | None = None,
    **settings: Any,
) -> Result:
    """Paint ``content`` in the manner of ``style`` at once, by a trained network: :func:`stylize` with the
    preset ``instant``.

    Args:
        style: as for :func:`stylize`, or :class:`~impasto.feedforward.style.InstantStyle`, one or several.
        tile: side of the tiles that a large picture is painted in; None: 512 pixels.
        settings: size, seed, strength, colours, style_blend, style_scale, style_rotation, style_crop,
            region_weights, feather. ``strength=0`` gives the content as the network draws it, which is not
            quite the content.

    Raises:
        PictureError, RecipeError, WeightsError: one line each, all of them ``ImpastoError``.

    Example:
        >>> import impasto
        >>> impasto.instant("cat.jpg", "wave.jpg").save("cat-wave.png")  # doctest: +SKIP
    """
    return stylize(
        content,
        style,
        preset="instant",
        recipe=recipe,
        mask=mask,
        style_mask=style_mask,
        device=device,
        max_pixels=max_pixels,
        tile=tile,
        **settings,
    )
