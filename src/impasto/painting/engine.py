"""The loop: tensors and a recipe in, immutable steps out. No files, no printing, no clock, no threads.

Whoever consumes the steps decides what to show, when to save and when to stop: stopping is not asking
for the next one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError
from impasto.losses.objective import Objective, Past, Region, StyleSource
from impasto.losses.statistics import moments
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.painting.optimisers import OPTIMISERS, Adam, Guarded, Optimiser, finite
from impasto.pictures.geometry import (
    Size,
    fit,
    mount,
    resample,
    resample_wrapped,
    schedule,
    to_multiple,
    unmount,
)
from impasto.recipe import DEFAULT_SIZE, Recipe
from impasto.scene.checking import require_sources
from impasto.scene.sources import Part, Sources, finished, kept, ready, recoloured

__all__ = [
    "Limits",
    "Sources",
    "Step",
    "budget",
    "check",
    "output_size",
    "sizes",
    "steps",
    "style_grams",
]


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective.

    Attributes:
        scale, scales: which scale of how many, from 1.
        size: (height, width) of this scale.
        iteration, iterations: which evaluation of at most how many at this scale, from 1.
        evaluations, planned: the same over all scales.
        loss: total of the picture just evaluated; may be non-finite, then ``event`` says what was done.
        terms: the total's terms by name, weights included.
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


def output_size(recipe: Recipe, height: int, width: int, *, enlarge: bool = True) -> Size:
    """(height, width) of the result for a content of ``height`` × ``width``: same aspect ratio.

    Args:
        enlarge: whether a small content grows to the default size where the recipe names none.
    """
    if recipe.size == "original":
        return height, width
    default = DEFAULT_SIZE if enlarge else min(DEFAULT_SIZE, max(height, width))
    return fit(height, width, recipe.size or default)


def sizes(recipe: Recipe, height: int, width: int) -> list[Size]:
    """The scales, coarse to fine, for a content of ``height`` × ``width``."""
    deepest = max((geometry(layer).stride for layer in recipe.active_layers()), default=1)
    plan = schedule(*output_size(recipe, height, width), recipe.coarsest, deepest)
    if recipe.padding != "circular":
        return plan
    # A pooling drops an odd last row or column: what remains would not meet its opposite edge.
    if plan[-1] != (fitting := to_multiple(plan[-1], deepest)):
        raise RecipeError(
            f"a tile of {plan[-1][1]}×{plan[-1][0]} pixels",
            f"with these layers both sides must be multiples of {deepest}",
            f"take {fitting[1]}×{fitting[0]}",
        )
    return [to_multiple(size, deepest) for size in plan]


def budget(recipe: Recipe, scale: int) -> int:
    """Evaluations at the ``scale``-th size (from 0), at least 1: an unevaluated picture has no loss."""
    return max(1, recipe.iterations[min(scale, len(recipe.iterations) - 1)])


@dataclass(frozen=True)
class Limits:
    """How much memory painting may take; it changes the result by rounding alone.

    Attributes:
        tile: side of the tiles in pixels that larger pictures are judged in; None: at once.
        optimiser_bytes: what the optimiser may remember. L-BFGS keeps fewer pairs at scales where its
            history would take more; where not even three fit, Adam with half-precision moments steps in.
    """

    tile: int | None = None
    optimiser_bytes: int | None = None

    def optimiser(self, recipe: Recipe, size: Size) -> Optimiser:
        """The recipe's optimiser for a picture of ``size``, within the limits."""
        if self.optimiser_bytes is None:
            return OPTIMISERS[recipe.optimiser](recipe)
        pairs = self.optimiser_bytes // (2 * 12 * size[0] * size[1])
        if pairs < 3:
            return Adam(recipe.learning_rate, dtype=torch.bfloat16)
        return OPTIMISERS[recipe.optimiser](recipe.replace(history=min(recipe.history, pairs)))


def steps(
    sources: Sources,
    recipe: Recipe,
    encoder: Encoder,
    *,
    limits: Limits | None = None,
    enough: Callable[[int, int], bool] | None = None,
) -> Iterator[Step]:
    """Paint: yields one :class:`Step` per evaluation, coarse scale to fine.

    The picture of the last step is the result. On the same machine the same arguments give the same bytes.

    Args:
        limits: memory to keep to.
        enough: asked with (scale, iteration), both from 1, after each evaluation; True ends that scale.

    Raises:
        RecipeError: a layer that the encoder does not have, a picture too small, or a start that is missing.
    """
    device = next(encoder.buffers()).device
    plan, given = _checked_plan(sources, recipe, encoder), sources
    if recipe.colours == "only":
        yield _recoloured_step(sources, recipe, plan[-1])
        return
    sources = ready(given, recipe)
    budgets = [budget(recipe, scale) for scale in range(len(plan))]
    picture = _start(sources, recipe, plan[0]).to(device)
    limits, done = limits or Limits(), 0
    optimiser = Guarded(limits.optimiser(recipe, plan[0]), recipe.learning_rate)
    for scale, size in enumerate(plan):
        # A copy of the content at full detail where the coarse picture has none would undo the style;
        # so a finer scale starts from the coarser result alone.
        picture = _grown(picture, size, recipe)
        if scale:
            picture = _keep_past(picture, _past(sources, size, device))
        if sources.parts and sources.content is not None:
            picture = kept(picture, resample(sources.content, size).to(device), sources)
        rim = _rim(recipe, size)
        canvas = mount(picture, rim)
        del picture  # of a very large picture no copy is kept that is not needed
        optimiser.carry((canvas.shape[-2], canvas.shape[-1]), limits.optimiser(recipe, size))
        objective = _objective(sources, recipe, encoder, size, device, limits.tile, canvas)
        over = _stop_rule(scale + 1, budgets[scale], recipe.tolerance, enough)
        descent = _descend(objective, canvas, optimiser, over)
        del canvas
        for iteration, (loss, terms, best_loss, best, event, ended) in enumerate(descent, 1):
            done += 1
            picture = unmount(best, rim)
            yield Step(
                scale=scale + 1,
                scales=len(plan),
                size=size,
                iteration=iteration,
                iterations=budgets[scale],
                evaluations=done,
                planned=sum(budgets),
                loss=loss,
                terms=terms,
                best_loss=best_loss,
                picture=finished(picture, given, recipe),
                event=event,
                last=ended and scale + 1 == len(plan),
            )


def _rim(recipe: Recipe, size: Size) -> int:
    """Pixels painted beyond each edge at this size; a picture that tiles has no edge."""
    return 0 if recipe.padding == "circular" else max(0, min(recipe.margin, min(size) - 1))


def _recoloured_step(sources: Sources, recipe: Recipe, size: Size) -> Step:
    """The whole of a run with ``colours="only"``: nothing is optimised, so there is no loss."""
    picture = recoloured(ready(sources, recipe), recipe, size)
    picture = finished(picture, sources, recipe)
    return Step(1, 1, size, 1, 1, 1, 1, 0.0, {}, 0.0, picture, None, last=True)


_Progress = tuple[float, dict[str, float], float, Tensor, "str | None", bool]


def _stop_rule(
    scale: int, iterations: int, tolerance: float, enough: Callable[[int, int], bool] | None
) -> Callable[[int, Tensor], bool]:
    """Whether a scale is over, from the number of its evaluations and the best picture after them."""
    mark: Tensor | None = None

    def over(count: int, best: Tensor) -> bool:
        nonlocal mark
        if count >= iterations or (enough is not None and enough(scale, count)):
            return True
        if tolerance <= 0 or count % 10:
            return False
        before, mark = mark, best.half()  # half a picture's memory, a tenth of a grey level
        # Not changed at all is a search in trouble, not a picture that is done.
        return before is not None and 0 < _change(mark, before) < tolerance

    return over


def _change(picture: Tensor, before: Tensor) -> float:
    """The largest mean absolute change of a block of 16×16 pixels: a small place counts as a large one."""
    block = min(16, *picture.shape[-2:])
    gap = (picture - before).abs_().mean(1, dtype=torch.float32)
    return float(F.avg_pool2d(gap, block, ceil_mode=True).max())


def _descend(
    objective: Objective, start: Tensor, optimiser: Guarded, over: Callable[[int, Tensor], bool]
) -> Iterator[_Progress]:
    """Minimise at one scale: loss, gradient, step; the best picture seen is kept."""
    picture, best, best_loss, unit = start, start, math.inf, 0.0
    del start
    for count in itertools.count(1):
        loss, gradient, terms = objective.evaluate(picture)
        # The optimisers see a loss of about one, whatever the weights: no overflow, no underflow.
        unit = unit or (abs(loss) if math.isfinite(loss) and loss else 0.0)
        usable = math.isfinite(loss) and finite(gradient)
        if usable and loss < best_loss:
            best, best_loss = picture, loss
        still = usable and not bool(gradient.any())
        picture = optimiser.propose(picture, loss / (unit or 1.0), gradient.div_(unit or 1.0), best)
        ended = over(count, best) or still or optimiser.finished
        yield loss, terms, best_loss, best, optimiser.last_event, ended
        if ended:
            return


def check(sources: Sources, recipe: Recipe, encoder: Encoder) -> None:
    """Raise what :func:`steps` would before its first step."""
    _checked_plan(sources, recipe, encoder)


def _checked_plan(sources: Sources, recipe: Recipe, encoder: Encoder) -> list[Size]:
    plan = sizes(recipe, *sources.shape)
    encoder.require(recipe.active_layers(), *plan[0])
    require_sources(sources, recipe)
    return plan


def _start(sources: Sources, recipe: Recipe, size: Size) -> Tensor:
    """The first canvas (1, 3, H, W): drawn on the CPU, so that every device starts alike."""
    if recipe.init == "content" and sources.content is not None:
        return resample(sources.content, size)
    if recipe.init == "picture" and sources.start is not None:
        return resample(sources.start, size)
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(1, 3, *size, generator=generator)
    if recipe.init == "noise":
        return (0.5 + 0.25 * noise).clamp(0.0, 1.0)
    mean, covariance = _colours(sources.styles, recipe)
    mixing = torch.linalg.cholesky(covariance).float()
    coloured = torch.einsum("ij,njhw->nihw", mixing, noise) + mean.float().view(1, 3, 1, 1)
    return coloured.clamp(0.0, 1.0)


def _colours(styles: tuple[StyleSource, ...], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3) of the styles' opaque colours, blended as the recipe says; float64."""
    shares = torch.tensor(recipe.style_blend or (1.0,) * len(styles), dtype=torch.float64)
    found = [
        moments(one.pixels.double().cpu(), None if one.mask is None else one.mask.double().cpu())
        for one in styles
    ]
    means, seconds = (torch.stack(parts) for parts in zip(*found, strict=True))
    mean = torch.einsum("s,si->i", shares / shares.sum(), means)
    second = torch.einsum("s,sij->ij", shares / shares.sum(), seconds)
    return mean, second - torch.outer(mean, mean) + 1e-8 * torch.eye(3, dtype=torch.float64)


def _objective(
    sources: Sources,
    recipe: Recipe,
    encoder: Encoder,
    size: Size,
    device: torch.device,
    tile: int | None = None,
    start: Tensor | None = None,
) -> Objective:
    mask = None
    if sources.content_mask is not None:
        mask = resample(sources.content_mask, size).to(device)
    grams = None if sources.grams is None else sources.grams.get(size)
    regions = _regions(sources, recipe, size, device, mask)
    rim = _rim(recipe, size)
    content = None if sources.content is None else mount(_content(sources, size, device), rim)
    mask = None if mask is None else mount(mask, rim)
    past = tuple(one.mounted(rim) for one in _past(sources, size, device))
    regions = [one.mounted(rim) for one in regions]
    return Objective(encoder, recipe, content, (), mask, past, grams, tile, start, regions)


def style_grams(sources: Sources, recipe: Recipe, encoder: Encoder) -> dict[Size, Mapping[str, Tensor]]:
    """What the styles ask for at each scale: size → layer → Gram matrix (C, C), for ``Sources.grams``."""
    device = next(encoder.buffers()).device
    fixed = recipe.colours != "only" and all(one.palette is not None for one in sources.styles)
    if recipe.colours != "style" and not fixed:
        raise RecipeError(
            f"colours {recipe.colours!r} with a style that is looked at once for many pictures",
            "'style', or 'content' and 'match' with a palette that all share",
        )
    plan, sources = _checked_plan(sources, recipe, encoder), ready(sources, recipe)
    if not recipe.wants_style:
        return {}
    found = {}
    for size in plan:
        regions = _regions(sources, recipe, size, device, None)
        found[size] = Objective(encoder, recipe, None, (), regions=regions).targets
    return found


def _regions(
    sources: Sources, recipe: Recipe, size: Size, device: torch.device, mask: Tensor | None
) -> list[Region]:
    """The parts of the picture at this scale, each with its styles; without parts, one region: all of it."""
    found = []
    for part in sources.parts or (Part("", torch.ones(1, 1, 1, 1), sources.styles, 1.0, recipe.style_blend),):
        own = mask
        if sources.parts:
            own = resample(part.mask, size).to(device)
            own = own if mask is None else own * mask
        shares = _scale_shares(part, recipe, size, sources.shape)
        used = [(one, share) for one, share in zip(part.styles, shares, strict=True) if share > 0]
        styles = tuple(_sized(one, recipe, max(size)).to(device) for one, _ in used)
        found.append(Region(part.name, own, styles, part.weight, tuple(share for _, share in used)))
    return found


def _scale_shares(part: Part, recipe: Recipe, size: Size, shape: Size) -> tuple[float, ...]:
    """How much each style counts at this scale."""
    base = part.blend or (1.0,) * len(part.styles)
    if recipe.style_order == "together" or len(base) < 2:
        return base
    plan = sizes(recipe, *shape)
    place = plan.index(size) / (len(plan) - 1) if len(plan) > 1 else 1.0
    # From one style to the next in turn: a hat around each, so two at most count at once.
    hats = [max(0.0, 1.0 - abs(place * (len(base) - 1) - i)) for i in range(len(base))]
    shares = tuple(share * hat for share, hat in zip(base, hats, strict=True))
    return shares if sum(shares) > 0 else base


def _past(sources: Sources, size: Size, device: torch.device) -> tuple[Past, ...]:
    return tuple(
        Past(resample(one.pixels, size).to(device), resample(one.certainty, size).to(device), one.weight)
        for one in sources.past
    )


def _keep_past(picture: Tensor, past: tuple[Past, ...]) -> Tensor:
    """The past where it is certain; elsewhere ``picture``. The first of ``past`` has the last word."""
    for one in reversed(past):
        picture = torch.lerp(picture, one.pixels, one.certainty)
    return picture


def _content(sources: Sources, size: Size, device: torch.device) -> Tensor:
    assert sources.content is not None, "asked for only where there is one"
    return resample(sources.content, size).to(device)


def _grown(picture: Tensor, size: Size, recipe: Recipe) -> Tensor:
    """The coarser result at the next size."""
    return (resample_wrapped if recipe.padding == "circular" else resample)(picture, size)


def _sized(style: StyleSource, recipe: Recipe, long_side: int) -> StyleSource:
    """The style at this scale: as large as the picture times ``style_scale``, never larger than it is."""
    height, width = style.pixels.shape[-2:]
    shortest, longest = sorted((height, width))
    wanted = max(1, round(long_side * recipe.style_scale))
    if recipe.wants_style:
        deepest = max(geometry(layer).stride for layer in recipe.style_layers)
        if shortest < deepest:
            raise RecipeError(
                f"the style picture is {width}×{height} pixels",
                f"the deepest style layer needs at least {deepest} on the shorter side",
                "use a larger style picture or shallower --style-layers",
            )
        # A long thin style picture at a coarse scale: as small as the deepest layer can still see.
        wanted = max(wanted, math.ceil(deepest * longest / shortest))
    size = fit(height, width, min(longest, wanted))
    mask = None if style.mask is None else resample(style.mask, size)
    return StyleSource(resample(style.pixels, size), mask)
