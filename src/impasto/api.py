"""The Python API: paths or pictures in, a finished picture out."""

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
from impasto.feedforward.network import TILE
from impasto.feedforward.style import SUFFIX as SAVED_STYLE_SUFFIX
from impasto.feedforward.style import InstantStyle, saved_styles
from impasto.losses.terms import Term
from impasto.machine import available_memory, beside, choose_device, describe, keep_memory
from impasto.masks.regions import regions_from_masks
from impasto.networks.encoder import Encoder
from impasto.painting import engine
from impasto.painting import instant as instant_painting
from impasto.painting.engine import Step
from impasto.painting.planning import MemoryPlan, for_budget, plan_memory, seconds_per_pixel, time_shares
from impasto.painting.result import Result, record, trace_entry
from impasto.painting.schedule import output_size, painting_size, scale_sizes
from impasto.painting.setup import encoder_for
from impasto.pictures import DEFAULT_MAX_PIXELS, Picture
from impasto.pictures.alpha import fill, require_coverage
from impasto.pictures.geometry import Size, resample
from impasto.pictures.layers import Layer, grey_layer
from impasto.recipe import DEFAULT_SIZE, Recipe, merged
from impasto.scene import Scene, Style

__all__ = [
    "SAVED_STYLE_SUFFIX",
    "InstantStyle",
    "Pictures",
    "PreparedRun",
    "Result",
    "Styles",
    "expected_memory",
    "instant",
    "layers",
    "prepare",
    "record",
    "run",
    "steps",
    "stylize",
]

PictureLike = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor | Picture
Pictures = PictureLike | Sequence[PictureLike]
Styles = PictureLike | InstantStyle | Sequence[PictureLike | InstantStyle]


#: Peak memory of the process for instant transfer in tiles of 512 pixels, without that for the picture.
INSTANT_BYTES = 600e6


@dataclass(frozen=True)
class PreparedRun:
    """Everything that painting needs, loaded and checked.

    Attributes:
        scene: content, styles, regions and start, as loaded.
        recipe: the settings, with ``size`` set.
        encoder: the network, on ``device``.
        alpha: the content's (1, 1, H, W) at the result's size; None: opaque.
        inputs: files of the pictures, which must not be overwritten.
        memory: the expected peak, and the tiles that limit it.
        terms: the terms of the loss; None: those of the recipe.
        saved_styles: with ``method="instant"``, replace the scene's style pictures.
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
    encoder: Encoder | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: float | None = None,
    tile: int | None = None,
) -> PreparedRun:
    """Load pictures and encoder, and check everything before any work is done.

    Args:
        content: a path, Pillow image, array (H, W, 3) or tensor (3, H, W) or (1, 3, H, W); None: make a
            texture of the style.
        style: one or several of the same kinds, or an empty list if the style weight is 0. With
            ``method="instant"`` also one or several :class:`~impasto.feedforward.style.InstantStyle`, or
            paths of saved ones (.safetensors).
        recipe: the settings; None: the defaults.
        canvas: (height, width) that a texture takes its aspect ratio from; None: those of the first style.
        init_image: the picture to start from; sets ``init="picture"``.
        mask, style_mask: regions of the content and of the styles, see :mod:`impasto.masks.regions`.
        terms: the terms of the loss; None: those of the recipe.
        encoder: that of the recipe on ``device``, if it is loaded already; None: load it.
        device: ``auto``, ``cpu``, ``cuda`` (tiles are shared by all GPUs), ``cuda:1``, ``xpu`` or ``mps``.
        max_pixels: files with more are refused before they are decoded.
        max_memory: bytes that the process may use; None: four fifths of the free memory.
        tile: side in pixels of the tiles that a large picture is processed in; None: chosen
            by the free memory.

    Raises:
        PictureError: a picture or mask cannot be read or used.
        RecipeError: the settings do not fit the pictures, each other or the machine.
        WeightsError: the encoder's weights are missing or damaged.
    """
    recipe = _with_size_and_init(recipe or Recipe(), init_image is not None)

    def load(source: PictureLike) -> Picture:
        return pictures.load(source, max_pixels=max_pixels)

    torch_device = choose_device(device)
    content_picture = None if content is None else load(content)
    style_list = list(style) if isinstance(style, (list, tuple)) else [style]
    saved = saved_styles(style_list, recipe.method)
    styles = [] if saved else [load(cast("PictureLike", source)) for source in style_list]
    start = None if init_image is None else load(init_image)
    masks, style_masks = ([load(source) for source in _as_list(sources)] for sources in (mask, style_mask))
    if content_picture is not None:
        pictures.require_usable(content_picture, "content")
    for picture in styles:
        pictures.require_usable(picture, "style")
    encoder = encoder or encoder_for(recipe, torch_device)
    scene = Scene(
        content=None if content_picture is None else content_picture.pixels,
        styles=tuple(Style(picture.pixels, picture.alpha, position=i) for i, picture in enumerate(styles)),
        content_mask=None if content_picture is None else content_picture.alpha,
        start=None if start is None else _opaque(start, content_picture),
        aspect=canvas or (styles[0].size if styles else (1, 1)),
    )
    if masks or style_masks:
        scene = replace(scene, regions=regions_from_masks(scene, recipe, masks, style_masks))
    # Before memory is planned, because a wrong layer or a picture too small for it should be reported first.
    if recipe.method == "instant":
        instant_painting.check(scene, recipe, saved, terms)
    else:
        engine.check(scene, recipe, encoder, terms)
    size, painted = output_size(recipe, *scene.size), painting_size(recipe, *scene.size)
    budget = max_memory or 0.8 * available_memory(torch_device)
    loaded = [picture for picture in (content_picture, *styles, start, *masks, *style_masks) if picture]
    return PreparedRun(
        scene=scene,
        recipe=recipe,
        encoder=encoder,
        device=torch_device,
        alpha=None if scene.content_mask is None else resample(scene.content_mask, size),
        inputs=tuple(picture.source for picture in loaded if picture.source is not None),
        memory=_shared_out(
            expected_memory(recipe, encoder, painted, budget, tile=tile, terms=terms), torch_device
        ),
        terms=None if terms is None else tuple(terms),
        saved_styles=saved,
    )


def style_can_be_shared(run: PreparedRun) -> bool:
    """Whether the style's statistics can take the place of its picture, and change no byte of the result."""
    recipe, scene = run.recipe, run.scene
    return (
        recipe.method == "instant"
        and recipe.colours == "style"
        and not recipe.style_rotation
        and not recipe.style_crop
        and len(scene.styles) == 1
        and not scene.regions
        and scene.content_mask is None  # a saved style is used for all of the content
        and not run.saved_styles
        and run.memory.limits.tile is not None
    )


def instant_style(run: PreparedRun) -> InstantStyle:
    """The statistics of the only style of a run of instant transfer, at the run's size."""
    return instant_painting.style_of(run.scene, run.recipe, run.encoder, tile=run.memory.limits.tile)


def _shared_out(plan: MemoryPlan, device: torch.device) -> MemoryPlan:
    """The plan with all devices like ``device`` at work on the tiles, unless it is one in particular."""
    return replace(plan, limits=replace(plan.limits, beside=beside(device)))


def expected_memory(
    recipe: Recipe,
    encoder: Encoder,
    size: Size,
    max_bytes: float,
    *,
    tile: int | None = None,
    terms: Sequence[Term] | None = None,
) -> MemoryPlan:
    """The memory that painting at ``size`` will take, see :func:`impasto.painting.planning.plan_memory`."""
    if recipe.method == "instant":
        return MemoryPlan(engine.MemoryLimits(tile or TILE), INSTANT_BYTES + 60.0 * size[0] * size[1])
    return plan_memory(recipe, encoder, size, max_bytes, tile=tile, terms=terms)


def _with_size_and_init(recipe: Recipe, with_start: bool) -> Recipe:
    """The recipe with ``size`` set, so that a run's record does not depend on the default, and with ``init``
    set to ``picture`` if there is a picture to start from."""
    if recipe.size is None:
        recipe = recipe.replace(size=DEFAULT_SIZE)
    if with_start and recipe.init != "picture":
        recipe = recipe.replace(init="picture")
    return recipe


def _opaque(start: Picture, content: Picture | None) -> Tensor:
    """A picture to start from, (1, 3, H, W), its transparent pixels replaced by the content's.

    Without a content they are filled in from the opaque pixels around them.
    """
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
    """Paint a picture that :func:`prepare` has prepared.

    Args:
        on_step: called after each evaluation.
        stop: called after each evaluation; if it returns True, the run ends with the best picture so far.
        budget: seconds to use, as far as they can be foreseen. Scales share them in proportion to the
            recipe's iterations and finishing steps, which have no other effect then. None: as long as
            these take.
        keep_on_interrupt: on Ctrl-C, return the best picture so far instead of raising.
        step_fn: yields the steps, with the arguments of :func:`impasto.painting.engine.steps`; None: the
            function of the recipe's method.

    Raises:
        RecipeError: the budget is too short for the size, or the method cannot have one.
    """
    if prepared.recipe.method == "instant" and budget is not None:
        raise RecipeError("a time budget with method 'instant'", "its time cannot be chosen", "leave it out")
    keep_memory()
    step_fn = step_fn or _step_function(prepared)
    trace: list[dict[str, Any]] = []
    step: Step | None = None
    begin = time.perf_counter()
    recipe, options = _loop_arguments(prepared, budget)
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


def layers(prepared: PreparedRun, result: Result) -> list[Layer]:
    """A painting as layers for :func:`impasto.pictures.save_layers`, from the lowest up.

    Returns:
        The content at the painting's size, if there is one; the masks of the regions, grey and hidden; the
        painting.
    """
    scene, size = prepared.scene, prepared.size
    lower = []
    if scene.content is not None:
        lower.append(Layer("content", resample(scene.content, size), prepared.alpha))
    for region in scene.regions:
        if region.mask is not None:
            lower.append(grey_layer(f"mask {region.name}", resample(region.mask, size)))
    return [*lower, Layer("painting", result.pixels, result.alpha)]


def _step_function(prepared: PreparedRun) -> Callable[..., Iterator[Step]]:
    """The function that yields the steps of the recipe's method."""
    if prepared.recipe.method == "instant":
        return partial(instant_painting.steps, styles=prepared.saved_styles)
    return engine.steps


def _loop_arguments(prepared: PreparedRun, budget: float | None) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and further arguments of the step function; with a budget, time ends each scale."""
    options: dict[str, Any] = {"limits": prepared.memory.limits}
    if prepared.terms is not None:
        options["terms"] = prepared.terms
    if budget is None:
        return prepared.recipe, options
    begin, recipe, terms = time.perf_counter(), prepared.recipe, prepared.terms
    rate = seconds_per_pixel(recipe, prepared.encoder, prepared.scene, terms=terms)
    plan = scale_sizes(recipe, *prepared.scene.size, terms=terms)
    options["stop_scale"] = time_shares(recipe, plan, budget, rate, begin, terms=terms)
    return for_budget(recipe, plan, budget, rate, terms=terms), options


def stylize(
    content: PictureLike,
    style: Styles,
    *,
    preset: str | None = None,
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
        style: one or several of the same kinds (see ``style_blend``).
        preset: the settings to begin with, a key of :data:`impasto.recipe.PRESETS`. None: ``fast``, or
            ``classic`` with a recipe, terms, a style loss or a normalisation of one's own.
        recipe: its settings override the preset's.
        init_image: a picture to start from, instead of ``init``.
        mask, style_mask: regions: one picture of coloured labels each, or grey masks; see docs/control.md.
        terms: the terms of the loss, instead of those of the settings; see :class:`impasto.Term`, and
            :func:`impasto.terms_of` for the terms of a recipe.
        device: ``auto``, ``cpu``, ``cuda`` (tiles are shared by all GPUs), ``cuda:1``, ``xpu`` or ``mps``.
        max_pixels, max_memory, tile: see :func:`prepare`.
        on_step, stop, budget: see :func:`run`.
        settings: any field of :class:`Recipe`; overrides ``recipe``.

    Raises:
        PictureError, RecipeError, WeightsError: one line each, all of them ``ImpastoError``.

    Example:
        >>> import impasto
        >>> impasto.stylize("cat.jpg", "wave.jpg", size=800).save("cat-wave.png")  # doctest: +SKIP
    """
    prepared = prepare(
        content,
        style,
        merged(preset or ("classic" if terms is not None else None), recipe, settings),
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
    preset: str | None = None,
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
    """Paint as :func:`stylize` does, step by step: an iterator of :class:`Step`, to leave at any time.

    Their pictures are no larger than the result, though their sizes may be, see ``paint_size``.

    The arguments and errors are those of :func:`stylize`.
    """
    prepared = prepare(
        content,
        style,
        merged(preset or ("classic" if terms is not None else None), recipe, settings),
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
    options = _loop_arguments(prepared, None)[1]
    painting = _step_function(prepared)(prepared.scene, prepared.recipe, prepared.encoder, **options)
    return (replace(step, picture=step.picture_within(prepared.size)) for step in painting)


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
    """Paint ``content`` in the manner of ``style`` in a moment, with a trained network.

    This is :func:`stylize` with the preset ``instant``; the other arguments are explained there.

    Args:
        style: as for :func:`stylize`, or one or several :class:`~impasto.feedforward.style.InstantStyle`.
        tile: side in pixels of the tiles that a large picture is painted in; None: 512.
        settings: size, seed, precision, strength, colours, style_blend, style_scale, style_rotation,
            style_crop, region_weights, feather. ``strength=0`` gives the content as the network reconstructs
            it, which is not exactly the content.

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
