"""Paints one shot, pass by pass; frames that are on disk already are not painted again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from impasto.feedforward.style import InstantStyle
from impasto.machine import choose_device
from impasto.networks.encoder import Encoder
from impasto.painting.setup import encoder_for
from impasto.pieces.piece import Files, Report
from impasto.scene import Style
from impasto.video.clip_context import ClipContext, build_clip_context
from impasto.video.cuts import Shot
from impasto.video.frame_painting import PaintedFrame, paint_following_frame, paint_frame
from impasto.video.instant_painting import build_instant_clip, paint_shot_instantly
from impasto.video.settings import VideoRecipe
from impasto.video.store import FrameCache, Store, write_file
from impasto.video.warped_past import EarlierFrame

__all__ = ["ShotPainter", "ShotPiece", "frame_order", "paint_shot", "shot_painter"]

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
    styles: Sequence[Style],
    recipe: VideoRecipe,
    encoder: Encoder,
    size: tuple[int, int],
    levels: int,
    saved: Sequence[InstantStyle] = (),
) -> ShotPainter:
    """The function that paints shots by the recipe's method; computes the statistics of the styles.

    Args:
        saved: used instead of the style pictures, by the method ``instant`` alone.
    """
    if recipe.picture.method == "instant":
        clip = build_instant_clip(styles, recipe, encoder, *size, levels=levels, saved=saved)
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
            before = index - direction(pass_number)
            if shot.first <= before < shot.end:  # the others are of the shots beside it
                store.delete("reference", before)
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


@dataclass(frozen=True)
class ShotPiece:
    """A shot as a piece of work for any process.

    On this machine it paints straight into the store, so that every frame is kept as soon as it is painted.
    On another machine it gets its frames as files, and its result is the files of the painted ones.

    Attributes:
        size: (height, width) of the frames.
    """

    store: Store
    shot: Shot
    styles: Sequence[Style]
    recipe: VideoRecipe
    size: tuple[int, int]
    device: str = "cpu"
    saved: Sequence[InstantStyle] = ()

    @property
    def label(self) -> str:
        """Its frames, counted from 1."""
        return f"frames {self.shot.first + 1} to {self.shot.end}"

    @property
    def cost(self) -> float:
        """The number of frames that are missing."""
        return float(self._frames - len(self._files(self._passes)) or 1)

    @property
    def _frames(self) -> int:
        return self.shot.length * self.recipe.passes

    @property
    def _passes(self) -> list[str]:
        return [f"pass{number}" for number in range(1, self.recipe.passes + 1)]

    def _files(self, kinds: Sequence[str]) -> list[Path]:
        """The shot's frames of these kinds that are in the store."""
        paths = (self.store.frame(kind, k) for kind in kinds for k in range(self.shot.first, self.shot.end))
        return [path for path in paths if path.exists()]

    def is_done(self) -> bool:
        """Whether all of its frames are painted, in all passes."""
        return len(self._files(self._passes)) == self._frames

    def inputs(self) -> Sequence[Path]:
        """Its frames, filmed and painted so far, and the encoder's weights."""
        weights = self.recipe.picture.weights
        frames = self._files(["input", "mask", "reference", *self._passes])
        return frames if weights is None else [*frames, weights]

    def work(self, files: Files, report: Report) -> dict[Path, bytes]:
        """Paint it; returns the files that the store does not have yet, by their paths in it."""
        if not files.were_sent:
            self._paint(self.store, files, report)
            return {}
        with tempfile.TemporaryDirectory(prefix="impasto-") as name:
            store = self.store.moved(Path(name))
            store.make("input", "mask", "reference", *self._passes)
            sent = [path for path in files.sent if self.store.whole in path.parents]
            for path in sent:
                write_file(store.whole / path.relative_to(self.store.whole), files.read(path))
            self._paint(store, files, report)
            painted = [path for kind in self._passes for path in sorted((store.root / kind).glob("*.png"))]
            new = {self.store.root / path.relative_to(store.root): path for path in painted}
            return {path: local.read_bytes() for path, local in new.items() if path not in files}

    def _paint(self, store: Store, files: Files, report: Report) -> None:
        recipe = self.recipe.picture
        encoder = encoder_for(recipe.replace(weights=files.path(recipe.weights)), choose_device(self.device))
        paint = shot_painter(self.styles, self.recipe, encoder, self.size, store.levels, self.saved)
        done, missing = 0, self.cost
        for _, _, painted in paint(store, self.shot):
            done += painted is not None
            report(min(1.0, done / missing))

    def keep(self, result: Mapping[Path, bytes]) -> None:
        """Put the painted frames into the store, those of the last pass last."""
        for path, data in result.items():
            write_file(path, data)
