"""Paints one frame: as a picture of its own, or following earlier frames of its shot.

After Ruder, Dosovitskiy & Brox 2016 (arXiv 1604.08610). Differs from the paper: a frame that follows others
takes a few iterations instead of about a thousand, because it starts from the warped earlier frames, and what
is new in it is painted coarse to fine first; still areas are copied instead of painted; mean and contrast are
held to those of the first frame of the shot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.scene import Past, overlay_past
from impasto.video.clip_context import (
    FINISHING_HOLD,
    ClipContext,
    following_recipe,
    frame_recipe,
    optimise,
)
from impasto.video.filling import fill_unknown, match_known_colours
from impasto.video.warped_past import EarlierFrame, recall

__all__ = ["PaintedFrame", "apply_mask", "paint_following_frame", "paint_frame", "quantise"]

#: With a smaller share of known pixels a frame is painted as a picture of its own: probably a missed cut.
MIN_KNOWN_SHARE = 0.2
#: With a larger share of new pixels the coarse sizes are painted too.
REFILL_SHARE = 0.002
#: Share of new pixels from which on a frame gets all its iterations. With fewer new pixels it gets fewer
#: iterations, down to a share of MIN_EFFORT, and is held harder to the past.
FULL_EFFORT_SHARE, MIN_EFFORT = 0.05, 0.25


@dataclass(frozen=True)
class PaintedFrame:
    """One painted frame.

    Attributes:
        pixels: (1, 3, H, W).
        reference: (1, 3, H, W), for each pixel the filmed frame it was last painted from.
        iterations: how many were made, counted at full size: one at half the size is a quarter.
        known, still: share of the frame that was known from the past, and share that was copied.
        terms: the loss terms of the last iteration; empty when everything was copied.
    """

    pixels: Tensor
    reference: Tensor
    iterations: float
    known: float
    still: float
    terms: Mapping[str, float]


def paint_frame(
    filmed: Tensor, context: ClipContext, mask: Tensor | None = None, past: tuple[Past, ...] = ()
) -> PaintedFrame:
    """Paint a frame as a picture of its own with all iterations, held to ``past`` where that is certain."""
    scene = context.scene(filmed, mask, past)
    step, cost = optimise(scene, frame_recipe(context.recipe), context)
    return PaintedFrame(quantise(step.picture.detach(), context.levels), filmed, cost, 0.0, 0.0, step.terms)


def paint_following_frame(
    filmed: Tensor,
    earlier: Sequence[EarlierFrame],
    reference: Tensor,
    context: ClipContext,
    mask: Tensor | None = None,
    base: Tensor | None = None,
    first: Tensor | None = None,
) -> PaintedFrame:
    """Paint a frame that follows earlier ones.

    Args:
        filmed: (1, 3, H, W), [0, 1].
        earlier: the frames at the distances ``recipe.long_term`` that are in the shot; nearest first.
        reference: (1, 3, H, W), what each pixel of the nearest painted frame was painted from.
        mask: (1, 1, H, W), where the frame counts; None: everywhere.
        base: this frame as the previous pass painted it; None: this is the first pass.
        first: (1, 3, H, W), the first painted frame of the shot, whose mean and contrast are held.
    """
    recipe, first_pass = context.recipe, base is None
    unchanged = PaintedFrame(earlier[0].painted, reference, 0.0, 1.0, 1.0, {})
    if first_pass and recipe.still_tolerance > 0.0 and torch.equal(filmed, earlier[0].filmed):
        return unchanged  # the same as below, without computing the flow
    past = recall(filmed, earlier, reference, recipe)
    if first_pass and float(past.still.min()) == 1.0:
        return unchanged
    known = past.known_share
    if first_pass and known < MIN_KNOWN_SHARE:
        return paint_frame(filmed, context, mask, past.as_terms(recipe.temporal_weight))
    if recipe.drift == "hold" and first is not None:
        past = past.without_drift(first)
    effort = min(1.0, max(MIN_EFFORT, (1.0 - known) / FULL_EFFORT_SHARE)) if first_pass else 1.0
    finishes, new = any(recipe.picture.finishing), first_pass and 1.0 - known > REFILL_SHARE
    terms = past.as_terms(recipe.temporal_weight * (FINISHING_HOLD if finishes else 1.0), effort)
    start, start_cost = _start(filmed, terms, context, mask, base, new=new)
    scene = context.scene(filmed, mask, terms, start)
    step, cost = optimise(scene, following_recipe(recipe, *scene.size, effort, new=new), context)
    pixels = torch.lerp(step.picture.detach(), past.frames[0], past.still)
    painted_from = torch.where(past.still > 0.5, reference, filmed)
    return PaintedFrame(
        quantise(pixels, context.levels), painted_from, start_cost + cost, known, float(past.still.mean()),
        step.terms,
    )  # fmt: skip


def _start(
    filmed: Tensor,
    past: tuple[Past, ...],
    context: ClipContext,
    mask: Tensor | None,
    base: Tensor | None,
    *,
    new: bool,
) -> tuple[Tensor, float]:
    """The picture that a following frame starts from, and what it cost in iterations at full size.

    In a later pass it is the frame of the previous pass, mixed with the neighbour where that is certain. In
    the first pass it is the past where that is known, and elsewhere the film. If there is something ``new``,
    the film is in the colours of the painting there, and without finishing painted already.
    """
    if base is not None:
        return torch.lerp(base, past[0].pixels, context.recipe.pass_blend * past[0].certainty), 0.0
    if not new:
        return overlay_past(filmed, past), 0.0
    if any(context.recipe.picture.finishing):
        return overlay_past(match_known_colours(filmed, past[0].pixels, past[0].certainty), past), 0.0
    filled, cost = fill_unknown(filmed, past, context, mask)
    return overlay_past(filled, past), cost


def quantise(picture: Tensor, levels: int = 255) -> Tensor:
    """Rounded to what the file on disk stores, so that a resumed run continues from the very same numbers."""
    return (picture.clamp(0.0, 1.0) * levels).round() / levels


def apply_mask(painted: Tensor, filmed: Tensor, mask: Tensor | None) -> Tensor:
    """The painted frame where the mask is 1, the filmed one where it is 0."""
    return painted if mask is None else torch.lerp(filmed, painted, mask)
