"""One shot from its first frame to its last, pass by pass: what is on disk is not painted again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.objective import StyleSource
from impasto.machine import choose_device, choose_dtype
from impasto.networks.registry import load_encoder
from impasto.video import sequence
from impasto.video.sequence import Earlier, Painted, Studio
from impasto.video.settings import VideoRecipe
from impasto.video.store import Store

__all__ = ["Shot", "order", "paint_in_process", "paint_shot"]


@dataclass(frozen=True)
class Shot:
    """Frames [first, end) of a clip, between two cuts."""

    first: int
    end: int


def order(shot: Shot, number: int) -> range:
    """The frames as the ``number``-th pass (from 1) takes them: forward, backward, forward, …"""
    return range(shot.first, shot.end) if number % 2 else range(shot.end - 1, shot.first - 1, -1)


def paint_shot(store: Store, shot: Shot, studio: Studio) -> Iterator[tuple[int, int, Painted | None]]:
    """Paint what is missing: yields (pass, frame, what was painted; None if it was there already)."""
    for number in range(1, studio.recipe.passes + 1):
        for index in order(shot, number):
            if store.has(f"pass{number}", index):
                yield number, index, None
                continue
            painted = _paint(store, shot, studio, number, index)
            # The reference first: a frame that is there always has it.
            store.save("reference", index, painted.reference)
            store.save(f"pass{number}", index, painted.pixels)
            store.drop("reference", index - (1 if number % 2 else -1))
            yield number, index, painted


def _paint(store: Store, shot: Shot, studio: Studio, number: int, index: int) -> Painted:
    filmed, mask = _filmed(store, index), _mask(store, index)
    step = 1 if number % 2 else -1
    base = store.load(f"pass{number - 1}", index) if number > 1 else None
    start = shot.first if step == 1 else shot.end - 1
    if studio.recipe.independent or (base is None and index == start):
        return sequence.paint(filmed, studio, mask)
    if base is not None and index == start:  # where a later pass turns round, nothing is new
        return Painted(base, filmed, 0.0, 1.0, 1.0, {})
    earlier = [
        Earlier(_filmed(store, index - step * back), store.load(f"pass{number}", index - step * back))
        for back in studio.recipe.long_term
        if shot.first <= index - step * back < shot.end
    ]
    reference, first = store.load("reference", index - step), store.load("pass1", shot.first)
    return sequence.follow(filmed, earlier, reference, studio, mask, base, first)


def _filmed(store: Store, index: int) -> Tensor:
    return store.load("input", index)[:, :3]


def _mask(store: Store, index: int) -> Tensor | None:
    """The frame's alpha times its mask; None where it has neither."""
    whole = store.load("input", index)
    alpha = whole[:, 3:] if whole.shape[1] == 4 else None
    mask = store.load("mask", index) if store.has("mask", index) else None
    if alpha is None or mask is None:
        return alpha if mask is None else mask
    return alpha * mask


def paint_in_process(
    store: Store,
    shot: Shot,
    styles: Sequence[StyleSource],
    recipe: VideoRecipe,
    size: tuple[int, int],
    threads: int,
    device: str = "cpu",
) -> None:
    """The same in a process of its own, with its own encoder and its share of the cores."""
    torch.set_num_threads(threads)
    chosen = choose_device(device)
    picture = recipe.picture
    encoder = load_encoder(
        picture.encoder,
        weights=picture.weights,
        pooling=picture.pooling,
        padding=picture.padding,
        device=chosen,
        dtype=choose_dtype(picture.precision, chosen),
    )
    studio = sequence.open_studio(styles, recipe, encoder, *size, levels=store.levels)
    for _ in paint_shot(store, shot, studio):
        pass
