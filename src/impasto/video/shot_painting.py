"""Paints one shot, pass by pass; frames that are on disk already are not painted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from impasto.machine import choose_device, keep_memory
from impasto.networks.encoder import Encoder
from impasto.painting.setup import encoder_for
from impasto.scene import Style
from impasto.video.clip_context import ClipContext, build_clip_context
from impasto.video.cuts import Shot
from impasto.video.frame_painting import PaintedFrame, paint_following_frame, paint_frame
from impasto.video.instant_painting import build_instant_clip, paint_shot_instantly
from impasto.video.settings import VideoRecipe
from impasto.video.store import FrameCache, Store
from impasto.video.warped_past import EarlierFrame

__all__ = ["ShotPainter", "frame_order", "paint_shot", "paint_shot_in_process", "shot_painter"]

#: Paints the frames of a shot that are missing; yields as :func:`paint_shot`.
ShotPainter = Callable[[Store, Shot], Iterator[tuple[int, int, PaintedFrame | None]]]


def direction(pass_number: int) -> int:
    """1 for a pass forward (the first, the third, …), −1 for one backward."""
    return 1 if pass_number % 2 else -1


def frame_order(shot: Shot, pass_number: int) -> range:
    """The frames of a shot in the order of a pass, counted from 1."""
    forward = range(shot.first, shot.end)
    return forward if direction(pass_number) == 1 else forward[::-1]


def shot_painter(
    styles: Sequence[Style], recipe: VideoRecipe, encoder: Encoder, size: tuple[int, int], levels: int
) -> ShotPainter:
    """The function that paints shots by the recipe's method; computes the statistics of the styles."""
    if recipe.picture.method == "instant":
        clip = build_instant_clip(styles, recipe, encoder, *size, levels=levels)
        return partial(paint_shot_instantly, clip=clip)
    return partial(paint_shot, context=build_clip_context(styles, recipe, encoder, *size, levels=levels))


def paint_shot(
    store: Store, shot: Shot, context: ClipContext
) -> Iterator[tuple[int, int, PaintedFrame | None]]:
    """Paint the frames that are missing in the store.

    Yields:
        (pass, frame, what was painted; None if it was there already)
    """
    frames = FrameCache(store)
    for pass_number in range(1, context.recipe.passes + 1):
        for index in frame_order(shot, pass_number):
            if store.has(f"pass{pass_number}", index):
                yield pass_number, index, None
                continue
            painted = _paint(frames, shot, context, pass_number, index)
            # The reference is saved first, so that every painted frame in the store has one.
            frames.save("reference", index, painted.reference)
            frames.save(f"pass{pass_number}", index, painted.pixels)
            store.delete("reference", index - direction(pass_number))
            yield pass_number, index, painted


def _paint(
    frames: FrameCache, shot: Shot, context: ClipContext, pass_number: int, index: int
) -> PaintedFrame:
    filmed, mask = _filmed(frames, index), _mask(frames, index)
    base = frames.load(f"pass{pass_number - 1}", index) if pass_number > 1 else None
    is_first = index == frame_order(shot, pass_number)[0]
    if context.recipe.independent or (base is None and is_first):
        return paint_frame(filmed, context, mask)
    if base is not None and is_first:  # it ended the previous pass, and has no new neighbour yet
        return PaintedFrame(base, filmed, 0.0, 1.0, 1.0, {})
    step = direction(pass_number)
    past = [index - step * back for back in context.recipe.long_term]
    earlier = [
        EarlierFrame(_filmed(frames, at), frames.load(f"pass{pass_number}", at))
        for at in past
        if shot.first <= at < shot.end
    ]
    reference, first = frames.load("reference", index - step), frames.load("pass1", shot.first)
    return paint_following_frame(filmed, earlier, reference, context, mask, base, first)


def _filmed(frames: FrameCache, index: int) -> Tensor:
    return frames.load("input", index)[:, :3]


def _mask(frames: FrameCache, index: int) -> Tensor | None:
    """(1, 1, H, W), the frame's alpha times its mask; None where it has neither."""
    filmed = frames.load("input", index)
    alpha = filmed[:, 3:] if filmed.shape[1] == 4 else None
    mask = frames.load("mask", index) if frames.store.has("mask", index) else None
    if alpha is None or mask is None:
        return alpha if mask is None else mask
    return alpha * mask


def paint_shot_in_process(
    store: Store,
    shot: Shot,
    styles: Sequence[Style],
    recipe: VideoRecipe,
    size: tuple[int, int],
    threads: int,
    device: str = "cpu",
) -> None:
    """:func:`paint_shot` for a process of its own, with its own encoder and its share of the cores."""
    torch.set_num_threads(threads)
    keep_memory()
    encoder = encoder_for(recipe.picture, choose_device(device))
    paint = shot_painter(styles, recipe, encoder, size, store.levels)
    for _ in paint(store, shot):
        pass
