"""Paints a shot with the feed-forward network, frame by frame.

What makes it steady: the style's statistics are the same for the whole clip; the content's are taken at
every sixteenth frame of a shot and interpolated between; and each frame is mixed with the previous one,
warped along the motion, where that is certain. The last counts most (LOG.md, 2026-11-26).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock, get_ident
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from impasto.feedforward.network import InstantNetwork, StyledRegion, styled_regions
from impasto.feedforward.statistics import Moments
from impasto.feedforward.style import InstantStyle
from impasto.machine import torch_threads, upload
from impasto.networks.encoder import Encoder
from impasto.scene import Scene, Style
from impasto.scene.preparing import postprocess, preprocess
from impasto.video import flow
from impasto.video.ahead import computed_ahead
from impasto.video.certainty import past_certainty
from impasto.video.cuts import Shot
from impasto.video.frame_painting import PaintedFrame, quantise
from impasto.video.settings import VideoRecipe
from impasto.video.store import FrameCache, Store
from impasto.video.warping import warp

__all__ = ["BegunFrame", "InstantClip", "build_instant_clip", "key_frames", "paint_shot_instantly"]

#: Frames between two at which the content's statistics are taken.
KEY_INTERVAL = 16
#: Share of the previous painted frame in the next one, where it is certain.
PAST_SHARE = 0.9
#: Largest factor by which fine detail is raised again after mixing.
MAX_GAIN = 1.5
#: Long side in pixels at which the motion is computed.
FLOW_SIZE = 320
#: Style features that each feature is compared with, half of what a picture takes.
BANK_SIZE = 512
#: Side in pixels of the tiles that larger frames are painted in.
TILE = 1024
#: Frames with more pixels are painted one after the other, by all threads, because of the memory.
LARGEST_SIDE_BY_SIDE = 1024 * 1024
#: Frames that are kept in memory as they are on disk: between two key frames, and those that are begun.
FRAMES_IN_MEMORY = KEY_INTERVAL + 16


@dataclass(frozen=True)
class BegunFrame:
    """A frame painted by itself, and how it follows from the previous one.

    Attributes:
        filmed, picture: (1, 3, H, W).
        certainty: (1, 1, H, W) of the previous frame; None if there is none.
        motion: (H, W, 2), where the previous frame shows what this one shows.
    """

    filmed: Tensor
    picture: Tensor
    certainty: Tensor | None = None
    motion: flow.Flow | None = None


@dataclass(frozen=True)
class InstantClip:
    """What all frames of a clip share.

    Attributes:
        styles: the pictures, as they were before they were prepared; none if the styles were saved ones.
        regions: the whole frame, with the statistics of the styles.
        levels: frames are rounded to multiples of 1/levels, 255 or 65535.
    """

    network: InstantNetwork
    styles: tuple[Style, ...]
    recipe: VideoRecipe
    regions: Sequence[StyledRegion]
    levels: int = 255

    def moments(self, filmed: Tensor) -> Mapping[str, Moments]:
        """The statistics of a frame (1, 3, H, W) as a content."""
        return self.network.content_moments(upload(filmed, self.network.encoder.device), tile=TILE)

    @torch.no_grad()
    def begin(
        self, filmed: Tensor, moments: Mapping[str, Moments], before: Tensor | None = None
    ) -> BegunFrame:
        """All of a frame's work that needs no other painted frame.

        Args:
            filmed: (1, 3, H, W), [0, 1].
            moments: of the content.
            before: the previous frame of the shot as filmed; None: this is the first.
        """
        recipe = self.recipe.picture
        picture = self.network.paint(
            upload(filmed, self.network.encoder.device),
            self.regions,
            strength=recipe.transfer_strength,
            seed=recipe.seed,
            tile=TILE,
            moments=moments,
        ).cpu()
        picture = postprocess(picture, Scene(filmed, self.styles), recipe)
        if before is None:
            return BegunFrame(filmed, picture)
        return BegunFrame(filmed, picture, *_motion(filmed, before, self.recipe.flow))

    @torch.no_grad()
    def finish(self, begun: BegunFrame, earlier: Tensor | None = None) -> PaintedFrame:
        """Mix a frame with the previous painted one, (1, 3, H, W); None: there is none."""
        picture, known = begun.picture, 0.0
        if earlier is not None and begun.motion is not None and begun.certainty is not None:
            past = warp(earlier, begun.motion, "lanczos")
            mixed = torch.lerp(picture, past, PAST_SHARE * begun.certainty)
            picture, known = _as_detailed(mixed, picture), float(begun.certainty.mean())
        return PaintedFrame(quantise(picture, self.levels), begun.filmed, 0.0, known, 0.0, {})

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the processor."""
        return self.network.encoder.device.type == "cpu"


def _motion(filmed: Tensor, before: Tensor, method_name: str) -> tuple[Tensor, flow.Flow]:
    """The certainty (1, 1, H, W) of the previous frame, and where it is found: (H, W, 2)."""
    method = _flow_method(method_name, get_ident())
    present, past = (flow.to_luma(frame, FLOW_SIZE) for frame in (filmed, before))
    forward, backward = flow.flow_both_ways(past, present, method)
    return past_certainty(backward, forward, filmed, before)


def _as_detailed(mixed: Tensor, fresh: Tensor) -> Tensor:
    """The mixture with as much fine detail as the fresh picture, because mixing weakens strokes.

    Both are (1, 3, H, W).
    """
    base = _blurred(mixed)
    detail, fresh_detail = mixed - base, fresh - _blurred(fresh)
    gain = float((fresh_detail.std() / detail.std().clamp_min(1e-6)).clamp(1.0, MAX_GAIN))
    return (base + gain * detail).clamp(0.0, 1.0)


def _blurred(picture: Tensor) -> Tensor:
    """The mean of five by five pixels; OpenCV takes a tenth of PyTorch's time for it."""
    blurred: Any = cv2.blur(np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy()), (5, 5))
    return torch.from_numpy(blurred).permute(2, 0, 1)[None]


@lru_cache(maxsize=16)
def _flow_method(name: str, thread: int) -> flow.FlowMethod:
    """A method for one thread alone: OpenCV's keep their buffers in themselves."""
    return flow.FLOW_METHODS[name]()


def build_instant_clip(
    styles: Sequence[Style],
    recipe: VideoRecipe,
    encoder: Encoder,
    height: int,
    width: int,
    levels: int = 255,
    saved: Sequence[InstantStyle] = (),
) -> InstantClip:
    """Compute the statistics of the styles for frames of ``height`` × ``width`` pixels.

    Args:
        saved: used instead of the style pictures.
    """
    device = encoder.device
    network = InstantNetwork.embedded(encoder)
    if saved:
        blend = InstantStyle.blend(saved, recipe.picture.style_blend)
        network, regions = network.learned(blend), [StyledRegion(blend)]
    else:
        scene = preprocess(Scene(torch.zeros(1, 3, height, width), tuple(styles)), recipe.picture)
        regions = styled_regions(network, scene.at((height, width), 0, device), tile=TILE)
    regions = [replace(region, style=_with_half_a_bank(region.style)) for region in regions]
    return InstantClip(network, tuple(styles), recipe, regions, levels)


def _with_half_a_bank(style: InstantStyle) -> InstantStyle:
    return InstantStyle(style.moments, {layer: bank[:, :BANK_SIZE] for layer, bank in style.banks.items()})


def paint_shot_instantly(
    store: Store, shot: Shot, clip: InstantClip
) -> Iterator[tuple[int, int, PaintedFrame | None]]:
    """Paint the frames that are missing in the store; yields as :func:`~.shot_painting.paint_shot`.

    Small frames are begun several at a time, each by one thread, and finished one after the other.
    """
    frames = FrameCache(store, FRAMES_IN_MEMORY)
    begin = _Beginner(frames, shot, clip)
    missing = dict.fromkeys(i for i in range(shot.first, shot.end) if not store.has("pass1", i))  # in order
    with _threads(clip, frames, shot) as threads, closing(computed_ahead(begin, missing, threads)) as begun:
        for index in range(shot.first, shot.end):
            if index not in missing:
                yield 1, index, None
                continue
            frame = next(begun)
            follows = frame.motion is not None
            painted = clip.finish(frame, frames.load("pass1", index - 1) if follows else None)
            frames.save("pass1", index, painted.pixels)
            yield 1, index, painted


@contextmanager
def _threads(clip: InstantClip, frames: FrameCache, shot: Shot) -> Iterator[int]:
    """How many frames are begun at a time: large ones, and those on a GPU, one after the other."""
    height, width = _filmed(frames, shot.first).shape[-2:]
    if not clip.on_cpu or height * width > LARGEST_SIDE_BY_SIDE:
        yield 1
        return
    # Small operations gain little from a second thread: frames in a thread each take less time together.
    with torch_threads(1) as threads:
        yield threads


class _Beginner:
    """Begins frames of a shot, in any order and in several threads."""

    def __init__(self, frames: FrameCache, shot: Shot, clip: InstantClip) -> None:
        self._frames, self._shot, self._clip = frames, shot, clip
        self._keys: dict[int, Mapping[str, Moments]] = {}
        self._lock = Lock()

    def __call__(self, index: int) -> BegunFrame:
        clip, filmed = self._clip, _filmed(self._frames, index)
        if clip.recipe.independent:
            return clip.begin(filmed, clip.moments(filmed))
        before = None if index == self._shot.first else _filmed(self._frames, index - 1)
        return clip.begin(filmed, self._moments(index), before)

    def _moments(self, index: int) -> Mapping[str, Moments]:
        """The statistics for a frame, interpolated between those of the key frames around it."""
        before, after, share = key_frames(self._shot, index)
        with self._lock:  # the next frame, which another thread begins, waits for the same key frame
            for key in (before, after):
                if key not in self._keys:
                    self._keys[key] = self._clip.moments(_filmed(self._frames, key))
            first, last = self._keys[before], self._keys[after]
            self._keys = {key: value for key, value in self._keys.items() if key >= before - KEY_INTERVAL}
        return {layer: first[layer].blend(last[layer], share) for layer in first}


def key_frames(shot: Shot, index: int) -> tuple[int, int, float]:
    """The frames before and after a frame at which the statistics are taken, and the share of the latter."""
    before = shot.first + (index - shot.first) // KEY_INTERVAL * KEY_INTERVAL
    after = min(before + KEY_INTERVAL, shot.end - 1)
    return before, after, (index - before) / max(after - before, 1)


def _filmed(frames: FrameCache, index: int) -> Tensor:
    return frames.load("input", index)[:, :3]
