"""The engine over the frames of one shot: each frame goes on from the one before.

After Ruder, Dosovitskiy & Brox 2016 (arXiv 1604.08610). Where we depart: a frame that follows another takes
a few evaluations instead of about a thousand, because what is known of it starts finished and what is new is
painted coarse to fine; what stands still is copied instead of painted; mean and contrast are held to the
clip's own course.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from impasto.losses.objective import Past, StyleSource
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.painting import engine
from impasto.painting.engine import Sources, Step
from impasto.pictures.geometry import Size, resample
from impasto.recipe import Recipe
from impasto.video import motion
from impasto.video.settings import VideoRecipe

__all__ = [
    "Earlier",
    "Painted",
    "Studio",
    "correct_drift",
    "filling",
    "follow",
    "following",
    "lay_over",
    "open_studio",
    "paint",
    "quantise",
    "recolour",
]

#: Below this share of known pixels a frame is painted as a picture of its own: a cut that was not found.
_STRANGE = 0.2
#: Above this share of new pixels the coarse scales are painted too.
_NEWS = 0.002
#: Share of new pixels from which on a frame gets all its evaluations. The less is new, the less reason there
#: is to change anything: fewer evaluations, and a stronger hold on the past, down to this share of both.
_MUCH, _LEAST = 0.05, 0.25
#: What hardly moves, and what will be copied, is held this much harder: it is not resampled, so nothing of
#: its style is lost, and what is painted beside it must know that it stays as it is.
_CALM, _COPIED = 30.0, 300.0
#: Above so many pixels a frame is judged in tiles, and the optimiser remembers no more than this. Fixed, not
#: taken from the memory there is: a run that goes on elsewhere must end in the same bytes.
_WHOLE, _TILED = 1920 * 1200, engine.Limits(tile=1280, optimiser_bytes=2_000_000_000)
#: Up to this motion, in pixels a frame, a part may stand still.
_TREMOR = 0.15


@dataclass(frozen=True)
class Studio:
    """What all frames of a clip share: made once.

    Attributes:
        grams: what the style asks for, by size: of a whole picture's scales and of a following frame's.
        levels: that a frame is rounded to, 255 or 65535.
    """

    styles: tuple[StyleSource, ...]
    recipe: VideoRecipe
    encoder: Encoder
    grams: Mapping[Size, Mapping[str, Tensor]]
    levels: int = 255


@dataclass(frozen=True)
class Earlier:
    """An earlier frame of the shot: as filmed and as painted, (1, 3, H, W) each."""

    filmed: Tensor
    painted: Tensor


@dataclass(frozen=True)
class Painted:
    """One painted frame.

    Attributes:
        pixels: (1, 3, H, W).
        reference: (1, 3, H, W), for each pixel the filmed frame it was last painted from.
        evaluations: of the objective, in units of one at full size.
        known, still: shares of the frame that were known from the past, and that were copied.
        terms: the last evaluation's terms; empty when everything stood still.
    """

    pixels: Tensor
    reference: Tensor
    evaluations: float
    known: float
    still: float
    terms: Mapping[str, float]


def open_studio(
    styles: Sequence[StyleSource],
    recipe: VideoRecipe,
    encoder: Encoder,
    height: int,
    width: int,
    levels: int = 255,
) -> Studio:
    """Look at the style at every size that frames of ``height`` × ``width`` will need it."""
    sources = Sources(torch.zeros(1, 3, height, width), tuple(styles))
    grams: dict[Size, Mapping[str, Tensor]] = {}
    for one in (
        recipe.picture.replace(size="original"),
        following(recipe, height, width),
        filling(recipe, height, width),
    ):
        grams |= engine.style_grams(sources, one.replace(init="content"), encoder)
    return Studio(tuple(styles), recipe, encoder, grams, levels)


def following(recipe: VideoRecipe, height: int, width: int, effort: float = 1.0) -> Recipe:
    """The picture recipe of a frame that follows another: its own size only, in a few evaluations.

    With the picture's margin: without, the style loss falls by a third and the edge shows as a line.
    """
    return recipe.picture.replace(
        size="original",
        init="picture",
        coarsest=max(height, width),
        iterations=(math.ceil(effort * recipe.evaluations),),
    )


def filling(recipe: VideoRecipe, height: int, width: int) -> Recipe:
    """The picture recipe of what came in sight: a quarter and half of the size."""
    half = max(height, width) // 2
    smallest = max((geometry(layer).stride for layer in recipe.picture.active_layers()), default=1)
    if min(height, width) // 2 < smallest:
        half = max(height, width)  # too small to be halved
    return recipe.picture.replace(
        size=half, init="picture", coarsest=max(1, half // 2), iterations=recipe.fill_evaluations
    )


def _fill(
    filmed: Tensor, past: tuple[Past, ...], studio: Studio, mask: Tensor | None
) -> tuple[Tensor, float]:
    """What the past does not know, painted coarse to fine from the film; and the cost of it.

    The finest strokes, which the coarse scales cannot have, are borrowed from the warped frame: there they
    belong to something else, but a stroke is a stroke, and a few evaluations would not bring them forth.
    """
    size = (int(filmed.shape[-2]), int(filmed.shape[-1]))
    recipe = filling(studio.recipe, *size)
    start = _known(recolour(filmed, past[0].pixels, past[0].certainty), past)
    sources = Sources(filmed, studio.styles, content_mask=mask, start=start, past=past, grams=studio.grams)
    last, cost = _run(sources, recipe, studio)
    coarse, warped = last.picture.detach(), past[0].pixels
    strokes = _even(warped - resample(resample(warped, last.size), size))
    area = last.size[0] * last.size[1] / (size[0] * size[1])
    return (resample(coarse, size) + strokes).clamp(0.0, 1.0), cost * area


def _even(strokes: Tensor) -> Tensor:
    """Fine strokes (1, 3, H, W), those stronger than most toned down.

    An outline is no stroke: borrowed along what uncovers its ground slowly, it would leave a line a frame.
    """
    power = motion.blurred(strokes.square().mean(1, keepdim=True), 2.0)
    return strokes * (power.median() / power.clamp_min(1e-9)).clamp_max(1.0)


def recolour(filmed: Tensor, painted: Tensor, known: Tensor) -> Tensor:
    """The film in the painting's colours: the affine map of colours that fits best where both are known.

    What comes in sight would otherwise keep the film's colours: a few evaluations do not change them.

    Args:
        filmed, painted: (1, 3, H, W).
        known: (1, 1, H, W) in [0, 1], where ``painted`` shows what ``filmed`` does.
    """
    pixels = filmed[0].flatten(1).double()  # (3, M)
    seen = torch.cat([pixels, torch.ones_like(pixels[:1])])  # (4, M)
    weighted = seen * known[0, 0].flatten()
    # A little of the identity, so that a colour never seen before stays itself.
    prior = 1e-3 * pixels.shape[1] * torch.eye(4, dtype=torch.float64, device=filmed.device)
    same = torch.eye(4, dtype=torch.float64, device=filmed.device)[:, :3]
    right = weighted @ painted[0].flatten(1).double().T + prior @ same
    mapping: Tensor = torch.linalg.solve(weighted @ seen.T + prior, right)  # (4, 3)
    coloured: Tensor = (mapping.T @ seen).clamp(0.0, 1.0).float()
    return coloured.view_as(filmed)


def _run(sources: Sources, recipe: Recipe, studio: Studio) -> tuple[Step, float]:
    """The last step, and the cost in evaluations at full size."""
    limits = _TILED if sources.shape[0] * sources.shape[1] > _WHOLE else None
    area = 0
    for step in engine.steps(sources, recipe, studio.encoder, limits=limits):
        last = step  # a plan has at least one evaluation
        area += step.size[0] * step.size[1]
    return last, area / (last.size[0] * last.size[1])


def paint(filmed: Tensor, studio: Studio, mask: Tensor | None = None, past: tuple[Past, ...] = ()) -> Painted:
    """A frame as a picture of its own, with the full schedule; ``past`` holds where it is certain."""
    recipe = studio.recipe.picture.replace(size="original")
    sources = Sources(filmed, studio.styles, content_mask=mask, past=past, grams=studio.grams)
    last, cost = _run(sources, recipe, studio)
    return Painted(quantise(last.picture.detach(), studio.levels), filmed, cost, 0.0, 0.0, last.terms)


def follow(
    filmed: Tensor,
    earlier: Sequence[Earlier],
    reference: Tensor,
    studio: Studio,
    mask: Tensor | None = None,
    base: Tensor | None = None,
    first: Tensor | None = None,
) -> Painted:
    """A frame that goes on from earlier ones.

    Args:
        filmed: (1, 3, H, W), [0, 1].
        earlier: the frames ``recipe.long_term`` back, as far as the shot has them; nearest first.
        reference: (1, 3, H, W), what each pixel of the nearest painted frame was painted from.
        mask: (1, 1, H, W), where the frame counts; None: everywhere.
        base: this frame as the last pass painted it, in a later pass.
        first: (1, 3, H, W), the shot's first painted frame, whose mean and contrast are held.
    """
    recipe, nearest = studio.recipe, earlier[0]
    if base is None and recipe.still_tolerance > 0.0 and torch.equal(filmed, nearest.filmed):
        return Painted(nearest.painted, reference, 0.0, 1.0, 1.0, {})
    stays = motion.still(filmed, reference, recipe.still_tolerance)
    past, stays = _recall(filmed, earlier, stays, recipe)
    if base is None and float(stays.min()) == 1.0:
        return Painted(nearest.painted, reference, 0.0, 1.0, 1.0, {})
    known = float(torch.stack([one.certainty for one in past[: len(earlier)]]).sum(0).mean())
    if known < _STRANGE and base is None:
        return paint(filmed, studio, mask, past)
    if recipe.drift == "hold" and first is not None:
        held = torch.lerp(correct_drift(past[0].pixels, first), past[0].pixels, stays)
        past = tuple(replace(one, pixels=held) if one.pixels is past[0].pixels else one for one in past)
    effort = 1.0 if base is not None else min(1.0, max(_LEAST, (1.0 - known) / _MUCH))
    past = tuple(replace(one, weight=one.weight / effort**2) for one in past)
    start, cost = _start(filmed, past, studio, mask, base, known)
    sources = Sources(filmed, studio.styles, content_mask=mask, start=start, past=past, grams=studio.grams)
    height, width = int(filmed.shape[-2]), int(filmed.shape[-1])
    last, spent = _run(sources, following(recipe, height, width, effort), studio)
    pixels = last.picture.detach()
    pixels = quantise(torch.lerp(pixels, past[0].pixels, stays), studio.levels)
    fresh = torch.where(stays > 0.5, reference, filmed)
    return Painted(pixels, fresh, cost + spent, known, float(stays.mean()), last.terms)


def _start(
    filmed: Tensor,
    past: tuple[Past, ...],
    studio: Studio,
    mask: Tensor | None,
    base: Tensor | None,
    known: float,
) -> tuple[Tensor, float]:
    """Where a frame begins, and what it cost: the past where it is known, paint where something is new."""
    if base is not None:
        return _blend(base, past[0], studio.recipe.pass_blend), 0.0
    start, cost = (filmed, 0.0) if 1.0 - known <= _NEWS else _fill(filmed, past, studio, mask)
    return _known(start, past), cost


def _recall(
    filmed: Tensor, earlier: Sequence[Earlier], stays: Tensor, recipe: VideoRecipe
) -> tuple[tuple[Past, ...], Tensor]:
    """What the earlier frames say of this one, nearest first, then what hardly moves; and what is still."""
    method = motion.FLOWS[recipe.flow]()
    here = motion.grey(filmed, recipe.flow_size)
    trusted: list[Tensor] = []
    warped: list[Tensor] = []
    calm = stays
    for one in earlier:
        forth, back = motion.flows(motion.grey(one.filmed, recipe.flow_size), here, method)
        trust, field = motion.certainty(back, forth, filmed, one.filmed)
        if not trusted:  # still against the nearest frame only
            calm = motion.slow(field, _TREMOR / 3.0).to(stays)
            stays = stays * motion.slow(field, _TREMOR).to(stays)
            trust = torch.maximum(trust, stays)
            field = field * (1.0 - stays)[0, 0].cpu().numpy()[..., None].astype(np.float32)
        trusted.append(trust)
        warped.append(motion.warp(one.painted, field))
    shared = motion.long_term(trusted)
    past = [Past(w, c, recipe.temporal_weight) for w, c in zip(warped, shared, strict=True)]
    for where, times in ((shared[0] * calm, _CALM), (stays, _COPIED)):
        past.append(Past(warped[0], where, times * recipe.temporal_weight))
    return tuple(past), stays


def _known(picture: Tensor, past: Sequence[Past]) -> Tensor:
    """The past where it is certain, ``picture`` elsewhere."""
    for one in reversed(past):
        picture = torch.lerp(picture, one.pixels, one.certainty)
    return picture


def _blend(base: Tensor, past: Past, share: float) -> Tensor:
    """Start of a later pass: last pass' frame, with ``share`` of the neighbour where that is certain."""
    return torch.lerp(base, past.pixels, share * past.certainty)


def correct_drift(painted: Tensor, first: Tensor, limit: float = 0.01) -> Tensor:
    """Hold mean and contrast of every channel to those of the shot's first frame.

    Every resampling and every few steps of optimisation shift both by a hair, always the same way: over
    hundreds of frames a background darkens, and what comes in sight, painted in fewer steps, is greyer than
    the rest. A frame painted by itself has about the style's mean and contrast, whatever was filmed: so has
    the first. Applied to the whole frame, as seams would show; and before a frame is painted: afterwards
    two per cent of contrast would raise the style loss by a fifth.

    Args:
        painted, first: (1, 3, H, W).
        limit: largest relative change of contrast, and of the mean in units of the range.
    """
    (mean, spread), (wanted_mean, wanted) = _statistics(painted), _statistics(first)
    tiny = 1e-3  # a flat picture has no contrast to correct
    gain = ((wanted + tiny) / (spread + tiny)).clamp(1.0 - limit, 1.0 + limit)
    shift = (wanted_mean - mean).clamp(-limit, limit)
    return ((painted - mean) * gain + mean + shift).clamp(0.0, 1.0)


def _statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (1, 3, 1, 1) each."""
    deviation, mean = torch.std_mean(picture, (2, 3), keepdim=True, correction=0)
    return mean, deviation


def quantise(picture: Tensor, levels: int = 255) -> Tensor:
    """Rounded to what the file on disk will hold: a resumed run goes on from the very same numbers."""
    return (picture.clamp(0.0, 1.0) * levels).round() / levels


def lay_over(painted: Tensor, filmed: Tensor, mask: Tensor | None) -> Tensor:
    """The painted frame where the mask is 1, the filmed one where it is 0."""
    return painted if mask is None else torch.lerp(filmed, painted, mask)
