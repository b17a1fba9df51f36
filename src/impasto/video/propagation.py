"""Paints a shot from its key frames: they are carried through it, and what none of them shows is painted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto.scene import Past, overlay_past
from impasto.video.carrying import Carried, Neighbour, blend, carry, shares, start_at_key, step_between
from impasto.video.clip_context import ClipContext, following_recipe, optimise
from impasto.video.cuts import Shot
from impasto.video.filling import fill_unknown, match_known_colours
from impasto.video.flow import FLOW_METHODS
from impasto.video.frame_painting import REFILL_SHARE, quantise
from impasto.video.key_frames import KeyFrame
from impasto.video.patches import FrameGuides, PatchSource, paint_with_patches, patch_sources
from impasto.video.shot_painting import paint_shot
from impasto.video.store import FrameCache, Store
from impasto.video.warping import warp

__all__ = ["Between", "combine", "propagate_shot", "spans"]

#: Weight of what the key frames show against the losses, where holes beside it are painted.
KEY_WEIGHT = 300.0
#: What is known less than this is painted with patches of the key frames.
WELL_KNOWN = 0.95


@dataclass(frozen=True)
class Between:
    """Frames between two key frames, or before the first or after the last one of a shot.

    Attributes:
        first, end: the frames [first, end), key frames not among them.
        before, after: the key frames beside them; None at an end of the shot.
    """

    first: int
    end: int
    before: KeyFrame | None
    after: KeyFrame | None


def spans(shot: Shot, keys: Sequence[KeyFrame]) -> list[Between]:
    """The frames of a shot divided by the key frames that lie in it, in order."""
    inside = [key for key in keys if shot.first <= key.index < shot.end]
    borders: list[KeyFrame | None] = [None, *inside, None]
    found = []
    for before, after in pairwise(borders):
        first = shot.first if before is None else before.index + 1
        end = shot.end if after is None else after.index
        if first < end:
            found.append(Between(first, end, before, after))
    return found


def propagate_shot(
    store: Store, shot: Shot, keys: Sequence[KeyFrame], context: ClipContext
) -> Iterator[tuple[int, bool]]:
    """Paint the frames that are missing in the store from the key frames of the shot.

    A shot without a key frame is painted as in ``impasto video``, in the style of all key frames. If any key
    frame has transparent areas, the store gets a ``cover`` of each frame of the others: how far each pixel is
    painted.

    Yields:
        (frame, whether it was painted now)
    """
    frames = FrameCache(store)
    inside = [key for key in keys if shot.first <= key.index < shot.end]
    has_cover = any(key.alpha is not None for key in keys)
    if not inside:
        for _, index, painted in paint_shot(store, shot, context):
            yield index, painted is not None
        return
    for key in inside:
        fresh = not store.has("pass1", key.index)
        if fresh:
            height, width = _filmed(frames, key.index).shape[-2:]
            if has_cover:
                frames.save("cover", key.index, key.cover((height, width)))
            frames.save("pass1", key.index, quantise(key.painting((height, width)), store.levels))
        yield key.index, fresh
    # What lies before the first key frame is painted last frame first, so that each has a painted neighbour.
    for span in spans(shot, inside):
        yield from _paint_span(frames, span, context, has_cover)


def _filmed(frames: FrameCache, index: int) -> Tensor:
    return frames.load("input", index)[:, :3]


def _paint_span(
    frames: FrameCache, span: Between, context: ClipContext, has_cover: bool
) -> Iterator[tuple[int, bool]]:
    indices = list(range(span.first, span.end))
    if all(frames.store.has("pass1", index) for index in indices):
        yield from ((index, False) for index in indices)
        return
    with tempfile.TemporaryDirectory(prefix="impasto-") as name:
        folder = Path(name)
        if span.after is not None:
            _save_backwards(frames, span, span.after, context, folder)
        yield from _paint_forwards(frames, span, context, folder, has_cover)


def _save_backwards(
    frames: FrameCache, span: Between, key: KeyFrame, context: ClipContext, folder: Path
) -> None:
    """Carry the later key frame back through the span, and save the positions in each frame."""
    recipe, method = context.recipe, FLOW_METHODS[context.recipe.flow]()
    film = _filmed(frames, key.index)
    carried = start_at_key(film)
    for index in range(span.end - 1, span.first - 1, -1):
        present = _filmed(frames, index)
        step = step_between(present, _filmed(frames, index + 1), method, recipe.flow_size)
        carried = carry(carried, step, present, film, method, recipe.flow_size)
        np.savez(folder / f"{index}.npz", flow=carried.flow, trust=carried.trust.cpu().numpy())


def _saved(folder: Path, index: int) -> Carried:
    with np.load(folder / f"{index}.npz") as saved:
        trust = torch.from_numpy(saved["trust"])
        return Carried(saved["flow"], trust, trust)


def _paint_forwards(
    frames: FrameCache, span: Between, context: ClipContext, folder: Path, has_cover: bool
) -> Iterator[tuple[int, bool]]:
    """Carry the earlier key frame on, and paint each frame from both."""
    recipe, method = context.recipe, FLOW_METHODS[context.recipe.flow]()
    order = range(span.first, span.end)[:: 1 if span.before is not None else -1]
    film = None if span.before is None else _filmed(frames, span.before.index)
    carried = None if film is None else start_at_key(film)
    sources = _sources(frames, span) if recipe.key_filling == "patches" else []
    for index in order:
        present, beside = _filmed(frames, index), index - (1 if span.before is not None else -1)
        step = step_between(present, _filmed(frames, beside), method, recipe.flow_size)
        sides: list[tuple[KeyFrame, Carried]] = []
        if carried is not None and film is not None and span.before is not None:
            carried = carry(carried, step, present, film, method, recipe.flow_size)
            sides.append((span.before, carried))
        if span.after is not None:
            sides.append((span.after, _saved(folder, index)))
        if frames.store.has("pass1", index):
            yield index, False
            continue
        painted = {key.index: frames.load("pass1", key.index) for key, _ in sides}
        shown, known = combine(index, sides, painted)
        if has_cover:
            covers = {key.index: frames.load("cover", key.index) for key, _ in sides}
            cover = carry_cover(index, sides, covers, step, frames.load("cover", beside))
            frames.save("cover", index, cover)
        neighbour = frames.load("pass1", beside)
        if sources:
            shown, known = _with_patches(index, present, sides, (shown, known), step, neighbour, sources)
        pixels = _completed(present, shown, known, step, neighbour, context)
        frames.save("pass1", index, quantise(pixels, frames.store.levels))
        yield index, True


def combine(
    index: int, sides: Sequence[tuple[KeyFrame, Carried]], painted: Mapping[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """What the key frames on both sides show of a frame, blended by distance in time and by trust.

    Args:
        painted: index of a key frame → its painting (1, 3, H, W).

    Returns:
        The picture (1, 3, H, W), and how far it is known, (1, 1, H, W).
    """
    pictures = [warp(painted[key.index], carried.flow) for key, carried in sides]
    if len(sides) == 1:
        return pictures[0], sides[0][1].trust
    known = torch.maximum(*(carried.trust for _, carried in sides))
    return blend(pictures, _weights(index, sides)), known


def _weights(index: int, sides: Sequence[tuple[KeyFrame, Carried]]) -> list[Tensor]:
    """How much each side counts, (1, 1, H, W), by distance in time and by trust."""
    trusts = [carried.trust for _, carried in sides]
    if len(sides) == 1:
        return trusts
    distances = [abs(index - key.index) for key, _ in sides]
    share = distances[0] / sum(distances)  # 0 at the first key frame, 1 at the second
    near = share * share * (3.0 - 2.0 * share)
    return [(1.0 - near) * trusts[0], near * trusts[1]]


def carry_cover(
    index: int,
    sides: Sequence[tuple[KeyFrame, Carried]],
    covers: Mapping[int, Tensor],
    step: Neighbour,
    beside: Tensor,
) -> Tensor:
    """How far each pixel of a frame is painted, where key frames have transparent areas; (1, 1, H, W).

    Args:
        covers: index of a key frame → how far it is painted, (1, 1, H, W).
        beside: the same of the neighbour that ``step`` leads to, for what no key frame shows.
    """
    parts = shares(_weights(index, sides))
    warped = [warp(covers[key.index], carried.flow, "bilinear") for key, carried in sides]
    shown = torch.stack([part * cover for part, cover in zip(parts, warped, strict=True)]).sum(0)
    known = torch.stack([carried.trust for _, carried in sides]).amax(0)
    unknown = torch.lerp(shown, warp(beside, step.flow, "bilinear"), step.known)
    return torch.lerp(unknown, shown, known)


def _sources(frames: FrameCache, span: Between) -> list[PatchSource]:
    keys = [key.index for key in (span.before, span.after) if key is not None]
    return patch_sources([_filmed(frames, key) for key in keys], [frames.load("pass1", key) for key in keys])


def _with_patches(
    index: int,
    filmed: Tensor,
    sides: Sequence[tuple[KeyFrame, Carried]],
    combined: tuple[Tensor, Tensor],
    step: Neighbour,
    beside: Tensor,
    sources: Sequence[PatchSource],
) -> tuple[Tensor, Tensor]:
    """Add patches of the key frames to what :func:`combine` found, as far as they fit the film."""
    shown, known = combined
    guess = torch.lerp(warp(beside, step.flow), shown, known)
    flows, trusts = [carried.flow for _, carried in sides], [carried.trust for _, carried in sides]
    frame = FrameGuides(filmed, flows, trusts, guess, torch.maximum(known, step.known))
    patched, fit = paint_with_patches(sources, frame, known < WELL_KNOWN, seed=index)
    added = (1.0 - known) * fit
    return blend([shown, patched], [known, added]), known + added


def _completed(
    filmed: Tensor, shown: Tensor, known: Tensor, step: Neighbour, beside: Tensor, context: ClipContext
) -> Tensor:
    """The frame with what no key frame shows: from the painted frame beside it, or else painted."""
    recipe = context.recipe
    neighbour = Past(warp(beside, step.flow), step.known * (1.0 - known), KEY_WEIGHT * recipe.temporal_weight)
    past = (Past(shown, known, KEY_WEIGHT * recipe.temporal_weight), neighbour)
    everything = known + neighbour.certainty
    if float(1.0 - everything.mean()) <= REFILL_SHARE:
        return overlay_past(match_known_colours(filmed, shown, known), past)
    filled, _ = fill_unknown(filmed, past, context, None)
    scene = context.scene(filmed, None, past, overlay_past(filled, past))
    last, _ = optimise(scene, following_recipe(recipe, *scene.size), context)
    return overlay_past(last.picture.detach(), past)
