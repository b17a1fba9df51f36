"""The optimisation loop: turns a scene and a recipe into a stream of immutable steps.

It touches no files, prints nothing, and uses neither clock nor threads. The consumer of the steps decides
what to show, when to save and when to stop; to stop the loop, it asks for no further step.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError
from impasto.losses.build import objective_of, terms_of
from impasto.losses.guidance import guided
from impasto.losses.objective import Objective
from impasto.losses.terms import Term
from impasto.losses.tiled import TiledEncoder
from impasto.machine import give_back_memory
from impasto.networks.encoder import Encoder
from impasto.painting.colour_plan import colour_plan
from impasto.painting.faces import faces_of
from impasto.painting.optimisers import OPTIMISERS, Adam, Guarded, Optimiser, PyramidAdam, bounds
from impasto.painting.schedule import (
    content_shares,
    finishing_steps,
    layers_of,
    max_evaluations,
    min_style_side,
    scale_sizes,
)
from impasto.painting.starts import first_canvas
from impasto.pictures.chroma import finest_chroma, limit_finest_chroma
from impasto.pictures.geometry import Size, add_margin, crop_margin, resample, resample_wrapped
from impasto.recipe import Recipe
from impasto.scene import Scene, overlay_past
from impasto.scene.checks import check_scene
from impasto.scene.preparing import in_style_colours, keep_outside_regions, postprocess, preprocess

__all__ = ["MemoryLimits", "Progress", "Step", "check", "check_shared", "steps", "style_statistics"]


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective.

    Attributes:
        scale, scales: number of this scale, from 1, and how many scales there are.
        size: (height, width) of this scale.
        iteration, iterations: number of this evaluation at this scale, from 1, and the maximum.
        evaluations, planned: the same over all scales.
        loss: total of the picture just evaluated. Where it is not finite, ``event`` says what was done.
        terms: the losses that make up the total, by name, weights included.
        best_loss: lowest total at this scale so far.
        picture: (1, 3, height, width), the best picture at this scale so far; not to be changed in place.
        event: what the optimiser's guard had to do, or None.
        last: no further step follows.
    """

    scale: int
    scales: int
    size: Size
    iteration: int
    iterations: int
    evaluations: int
    planned: int
    loss: float
    terms: Mapping[str, float]
    best_loss: float
    picture: Tensor
    event: str | None
    last: bool

    def picture_within(self, size: Size) -> Tensor:
        """The picture, reduced to ``size`` if it is larger: a small one may be painted larger."""
        return resample(self.picture, min(self.size, size))


@dataclass(frozen=True)
class Progress:
    """How far a picture was painted.

    Attributes:
        scale: index, from 0, of the scale to go on with.
        iteration: evaluations already done at that scale.
        evaluations: evaluations done at all scales together.
        picture: (1, 3, height, width), the best so far.
    """

    scale: int
    iteration: int
    evaluations: int
    picture: Tensor


@dataclass(frozen=True)
class MemoryLimits:
    """How much memory painting may take. Tiles change the result only by rounding.

    Attributes:
        tile: side in pixels of the tiles that larger pictures are evaluated in; None: evaluate them whole.
        optimiser_bytes: memory for the state of the optimiser; None: no limit. L-BFGS keeps fewer pairs at
            scales where its history would take more. Where not even three pairs fit, Adam with half-precision
            moments replaces it.
        beside: further devices that help with the tiles.
    """

    tile: int | None = None
    optimiser_bytes: int | None = None
    beside: tuple[torch.device, ...] = ()

    def optimiser(self, recipe: Recipe, size: Size, finishing: int = 0) -> Optimiser:
        """The optimiser for a picture of ``size``, within the limits.

        Args:
            finishing: steps of the finishing pass at this scale; 0: none, the recipe says how to optimise.
        """
        if finishing:
            float32_bytes = 32 * size[0] * size[1]  # two moments, and a third more for the coarser bands
            short = self.optimiser_bytes is not None and self.optimiser_bytes < float32_bytes
            return PyramidAdam(finishing, dtype=torch.bfloat16 if short else torch.float32)
        if self.optimiser_bytes is None:
            return OPTIMISERS[recipe.optimiser](recipe)
        pairs = self.optimiser_bytes // (2 * 12 * size[0] * size[1])
        if pairs < 3:
            return Adam(recipe.learning_rate, dtype=torch.bfloat16)
        return OPTIMISERS[recipe.optimiser](recipe.replace(history=min(recipe.history, pairs)))


def steps(
    scene: Scene,
    recipe: Recipe,
    encoder: Encoder,
    *,
    terms: Sequence[Term] | None = None,
    limits: MemoryLimits | None = None,
    stop_scale: Callable[[int, int], bool] | None = None,
    after: Progress | None = None,
) -> Iterator[Step]:
    """Paint a scene: yields one :class:`Step` per evaluation, from the coarsest scale to the finest.

    The picture of the last step is the result. On the same machine the same arguments give the same bytes.

    Args:
        terms: the terms of the objective; None: those of the recipe.
        limits: how much memory may be used; None: no limits.
        stop_scale: called with (scale, iteration), both from 1, after each evaluation; True ends that scale.
        after: go on with what was painted so far, counting from there. What the optimiser had learned is not
            part of it: L-BFGS rebuilds that within a few evaluations.

    Raises:
        RecipeError: a layer that the encoder does not have, a picture too small, or a start that is missing.
    """
    plan = check(scene, recipe, encoder, terms)
    if recipe.colours == "only":
        yield _recoloured_step(scene, recipe, plan[-1])
        return
    device = encoder.device
    prepared = preprocess(scene, recipe, min_style_side=min_style_side(recipe, terms))
    if recipe.guidance:
        prepared = guided(prepared, encoder, recipe.guidance)
    if terms is None:
        prepared = replace(
            prepared,
            colour_plan=colour_plan(prepared, recipe, encoder),
            faces=faces_of(prepared, recipe, encoder),
        )
    budgets, finishing = max_evaluations(recipe, plan, terms), finishing_steps(recipe, plan, terms)
    shares = content_shares(recipe, plan)
    limits = limits or MemoryLimits()
    after = after or Progress(0, 0, 0, first_canvas(prepared, recipe, plan, encoder))
    begin = min(after.scale, len(plan) - 1)
    done = min(after.iteration, budgets[begin] - 1) if begin == after.scale else 0
    picture, count = after.picture.to(device), itertools.count(after.evaluations + 1)
    del after  # the canvas is a copy, and a very large picture should not be in memory twice
    optimiser = Guarded(limits.optimiser(recipe, plan[begin], finishing[begin]), recipe.learning_rate)
    for index, size in enumerate(plan[begin:], begin):
        give_back_memory()  # what is free is in pieces that the blocks of another size would not fit into
        margin = _margin(recipe, size)
        at_scale = prepared.at(size, margin, device, fineness=_fineness(index, plan))
        canvas = _start_of_scale(picture, prepared, recipe, size, overlaid=index > 0 and done == 0)
        canvas = add_margin(canvas, margin)
        del picture
        left = budgets[index] - done
        replacement = limits.optimiser(recipe, size, left if finishing[index] else 0)
        optimiser.carry((canvas.shape[-2], canvas.shape[-1]), replacement)
        objective = objective_of(
            encoder,
            replace(at_scale, start=canvas),
            recipe,
            terms=terms,
            tile=limits.tile,
            beside=limits.beside,
            content_share=shares[index],
            finishing=finishing[index] > 0,
        )
        stop = None if stop_scale is None else functools.partial(stop_scale, index + 1)
        ended = _stop_rule(left, recipe.tolerance, stop)
        descents = _descend(objective, canvas, optimiser, ended, latest=finishing[index] > 0)
        chroma_limit = _chroma_limit(at_scale, recipe) if index + 1 == len(plan) else None
        del canvas, at_scale, objective
        for iteration, descent in enumerate(descents, done + 1):
            picture = crop_margin(descent.best, margin)
            last = descent.ended and index + 1 == len(plan)
            if last and chroma_limit is not None:
                picture = limit_finest_chroma(picture, chroma_limit, wrap=recipe.padding == "circular")
            yield Step(
                scale=index + 1,
                scales=len(plan),
                size=size,
                iteration=iteration,
                iterations=budgets[index],
                evaluations=next(count),
                planned=sum(budgets),
                loss=descent.loss,
                terms=descent.terms,
                best_loss=descent.best_loss,
                picture=postprocess(picture, scene, recipe),
                event=descent.event,
                last=last,
            )
        done = 0


def check(scene: Scene, recipe: Recipe, encoder: Encoder, terms: Sequence[Term] | None = None) -> list[Size]:
    """Raise the errors that :func:`steps` raises before its first step; return the sizes of the scales."""
    if recipe.method != "optimise":
        raise RecipeError(
            f"method {recipe.method!r}",
            "only 'optimise' works here",
            "choose another preset",
        )
    plan = scale_sizes(recipe, *scene.size, terms=terms)
    encoder.require(layers_of(recipe, terms), *plan[0])
    if terms is not None and recipe.strength is not None:
        raise RecipeError(
            f"strength {recipe.strength:g} with custom terms",
            "strength sets the weights of the recipe's terms",
            "set the weights of the terms",
        )
    check_scene(scene, recipe, own_terms=terms is not None)
    return plan


def check_shared(scene: Scene, recipe: Recipe, encoder: Encoder) -> list[Size]:
    """Raise the errors that :func:`style_statistics` raises before any work, and those of :func:`check`.

    Returns:
        The sizes of the scales.

    Raises:
        RecipeError: the styles' colours, or with guidance their parts, would depend on the content; otherwise
            as :func:`check`.
    """
    fixed_colours = recipe.colours != "only" and all(style.palette is not None for style in scene.styles)
    if recipe.colours != "style" and not fixed_colours:
        raise RecipeError(
            f"colours {recipe.colours!r} with style statistics that many pictures share",
            "'style', or 'content' and 'match' with a shared palette",
        )
    if recipe.guidance:
        raise RecipeError(
            f"guidance {recipe.guidance:g} with style statistics that many pictures share, as in a clip",
            "only 0, because guidance weighs the parts of the styles by the content",
            "leave guidance out",
        )
    return check(scene, recipe, encoder)


def style_statistics(scene: Scene, recipe: Recipe, encoder: Encoder) -> dict[Size, Mapping[str, Tensor]]:
    """The style statistics of the recipe's terms, to be shared by many pictures.

    Returns:
        Size of a scale → name → statistics, for ``Scene.style_statistics``.

    Raises:
        RecipeError: as :func:`check_shared`; otherwise as :func:`steps`.
    """
    device = encoder.device
    plan = check_shared(scene, recipe, encoder)
    finishing = finishing_steps(recipe, plan)
    prepared = preprocess(scene, recipe, min_style_side=min_style_side(recipe, None))
    statistics: dict[Size, Mapping[str, Tensor]] = {}
    for index, size in enumerate(plan if recipe.wants_style else ()):
        at_scale = prepared.at(size, 0, device, fineness=_fineness(index, plan))
        by_name = dict(statistics.get(size, {}))  # a size that is painted twice, by different terms
        with torch.no_grad():
            for term in terms_of(recipe, finishing=finishing[index] > 0):
                by_name |= term.style_statistics(at_scale, TiledEncoder(encoder))
        statistics[size] = by_name
    return statistics


def _margin(recipe: Recipe, size: Size) -> int:
    """Pixels painted beyond each edge at this size; a picture that tiles has no edge."""
    return 0 if recipe.padding == "circular" else max(0, min(recipe.margin, min(size) - 1))


def _fineness(index: int, plan: Sequence[Size]) -> float:
    """Position of a scale's size between the coarsest (0) and the finest (1); a single one is the finest."""
    sizes = list(dict.fromkeys(plan))
    return sizes.index(plan[index]) / (len(sizes) - 1) if len(sizes) > 1 else 1.0


def _chroma_limit(scene: Scene, recipe: Recipe) -> float | None:
    """The limit of the finest chroma for ``clean_chroma``, in a scene at one scale; None: no limit."""
    styles = [style for region in scene.regions for style in region.styles] or list(scene.styles)
    if recipe.clean_chroma is None or not styles:
        return None
    # A grey style's chroma is 0; a limit of less than half a level of 8 bits cannot be seen.
    return max(0.001, recipe.clean_chroma * max(finest_chroma(style.pixels) for style in styles))


def _recoloured_step(scene: Scene, recipe: Recipe, size: Size) -> Step:
    """The only step of a run with ``colours="only"``: nothing is optimised, so there is no loss."""
    picture = in_style_colours(preprocess(scene, recipe), recipe, size)
    picture = postprocess(picture, scene, recipe)
    return Step(1, 1, size, 1, 1, 1, 1, 0.0, {}, 0.0, picture, None, last=True)


def _start_of_scale(picture: Tensor, scene: Scene, recipe: Recipe, size: Size, *, overlaid: bool) -> Tensor:
    """The canvas that a scale starts from: the coarser result, with the unpainted areas on top.

    Args:
        overlaid: put the past on top, too.

    None of the content's fine detail is added to the enlarged picture, because the style would have to remove
    it again.
    """
    picture = (resample_wrapped if recipe.padding == "circular" else resample)(picture, size)
    if overlaid:
        past = tuple(past.at(size, 0, picture.device) for past in scene.past)
        picture = overlay_past(picture, past)
    if scene.regions and scene.content is not None:
        picture = keep_outside_regions(picture, resample(scene.content, size).to(picture.device), scene)
    return picture


def _stop_rule(
    evaluations: int, tolerance: float, stop: Callable[[int], bool] | None
) -> Callable[[int, Tensor], bool]:
    """A function of (evaluations so far, best picture) that says whether the scale is over.

    Args:
        evaluations: their maximum.
        tolerance: the scale ends when ten evaluations change no block of pixels by this much on average.
        stop: called with the number of evaluations so far; True ends the scale.
    """
    ten_evaluations_ago: Tensor | None = None

    def ended(count: int, best: Tensor) -> bool:
        nonlocal ten_evaluations_ago
        if count >= evaluations or (stop is not None and stop(count)):
            return True
        if tolerance <= 0 or count % 10:
            return False
        # Half precision takes half the memory and is exact to about a tenth of a grey level.
        before, ten_evaluations_ago = ten_evaluations_ago, best.half()
        # No change at all means that the search has failed for the moment, not that the picture is finished.
        return before is not None and 0 < _largest_change(ten_evaluations_ago, before) < tolerance

    return ended


def _largest_change(picture: Tensor, before: Tensor) -> float:
    """The largest mean absolute change of a block of 16×16 pixels.

    The mean over the picture would hide that a small area is still changing.
    """
    block = min(16, *picture.shape[-2:])
    difference = (picture - before).abs_().mean(1, dtype=torch.float32)
    return float(F.avg_pool2d(difference, block, ceil_mode=True).max())


@dataclass(frozen=True)
class _Descent:
    """One evaluation at a scale; ``best`` is the best picture so far, margin included.

    ``ended`` says whether the scale ends with it.
    """

    loss: float
    terms: Mapping[str, float]
    best_loss: float
    best: Tensor
    event: str | None
    ended: bool


def _descend(
    objective: Objective,
    start: Tensor,
    optimiser: Guarded,
    ended: Callable[[int, Tensor], bool],
    *,
    latest: bool = False,
) -> Iterator[_Descent]:
    """Minimise one objective: loss, gradient, step. Yields every evaluation; keeps the best picture.

    Args:
        latest: take the latest picture with a finite loss for the best one, because the losses of an
            objective that compares other positions each time are not comparable.
    """
    picture, best, best_loss, unit = start, start, math.inf, 0.0
    del start
    for count in itertools.count(1):
        loss, gradient, terms = objective.evaluate(picture)
        # Dividing by the first loss keeps the optimisers from overflow and underflow, whatever the weights.
        unit = unit or (abs(loss) if math.isfinite(loss) and loss else 0.0)
        low, high = bounds(gradient.div_(unit or 1.0))
        usable = math.isfinite(loss) and math.isfinite(low) and math.isfinite(high)
        if usable and (latest or loss < best_loss):
            best, best_loss = picture, loss
        stationary = usable and low == high == 0.0
        picture = optimiser.propose(picture, loss / (unit or 1.0), gradient, best, usable=usable)
        last = ended(count, best) or stationary or optimiser.finished
        yield _Descent(loss, terms, best_loss, best, optimiser.last_event, last)
        if last:
            return
