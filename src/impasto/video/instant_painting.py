"""Paints a shot with the feed-forward network, frame by frame.

What makes it steady: the style's statistics are the same for the whole clip; the content's are taken at every
eighth frame of a shot and interpolated between; and each frame is mixed with the previous one, warped along
the motion, where that is certain. The last counts most (LOG.md, 2026-11-26).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.feedforward.painting import styled_regions
from impasto.feedforward.statistics import Moments
from impasto.feedforward.style import InstantStyle
from impasto.networks.encoder import Encoder
from impasto.scene import Scene, Style
from impasto.scene.preparing import postprocess, preprocess
from impasto.video import flow
from impasto.video.certainty import past_certainty
from impasto.video.cuts import Shot
from impasto.video.frame_painting import PaintedFrame, quantise
from impasto.video.settings import VideoRecipe
from impasto.video.store import FrameCache, Store
from impasto.video.warped_past import EarlierFrame
from impasto.video.warping import warp

__all__ = ["InstantClip", "build_instant_clip", "key_frames", "paint_shot_instantly"]

#: Frames between two at which the content's statistics are taken.
KEY_INTERVAL = 8
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


@dataclass(frozen=True)
class InstantClip:
    """What all frames of a clip share.

    Attributes:
        styles: as they were before they were prepared.
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
        return self.network.content_moments(filmed.to(self._device), tile=TILE)

    def paint(
        self, filmed: Tensor, moments: Mapping[str, Moments], earlier: EarlierFrame | None = None
    ) -> PaintedFrame:
        """Paint a frame.

        Args:
            filmed: (1, 3, H, W), [0, 1].
            moments: of the content.
            earlier: the previous frame of the shot; None: this is the first.
        """
        recipe = self.recipe.picture
        picture = self.network.paint(
            filmed.to(self._device),
            self.regions,
            strength=1.0 if recipe.strength is None else recipe.strength,
            seed=recipe.seed,
            tile=TILE,
            moments=moments,
        ).cpu()
        picture = postprocess(picture, Scene(filmed, self.styles), recipe)
        known = 0.0
        if earlier is not None:
            past, certainty = _warped(filmed, earlier, self.recipe.flow)
            mixed = torch.lerp(picture, past, PAST_SHARE * certainty)
            picture, known = _as_detailed(mixed, picture), float(certainty.mean())
        return PaintedFrame(quantise(picture, self.levels), filmed, 0.0, known, 0.0, {})

    @property
    def _device(self) -> torch.device:
        return next(self.network.encoder.buffers()).device


def _warped(filmed: Tensor, earlier: EarlierFrame, method_name: str) -> tuple[Tensor, Tensor]:
    """The earlier painted frame warped onto the present one (1, 3, H, W), and its certainty (1, 1, H, W)."""
    method = _flow_method(method_name)
    present, past = (flow.to_luma(frame, FLOW_SIZE) for frame in (filmed, earlier.filmed))
    forward, backward = flow.flow_both_ways(past, present, method)
    certainty, motion = past_certainty(backward, forward, filmed, earlier.filmed)
    return warp(earlier.painted, motion, "lanczos"), certainty


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


@lru_cache(maxsize=1)
def _flow_method(name: str) -> flow.FlowMethod:
    return flow.FLOW_METHODS[name]()


def build_instant_clip(
    styles: Sequence[Style],
    recipe: VideoRecipe,
    encoder: Encoder,
    height: int,
    width: int,
    levels: int = 255,
) -> InstantClip:
    """Compute the statistics of the styles for frames of ``height`` × ``width`` pixels."""
    device = next(encoder.buffers()).device
    network = InstantNetwork(encoder, load_decoder(device=device))
    scene = preprocess(Scene(torch.zeros(1, 3, height, width), tuple(styles)), recipe.picture)
    regions = styled_regions(network, scene.at((height, width), 0, device), tile=TILE)
    regions = [replace(region, style=_with_half_a_bank(region.style)) for region in regions]
    return InstantClip(network, tuple(styles), recipe, regions, levels)


def _with_half_a_bank(style: InstantStyle) -> InstantStyle:
    return InstantStyle(style.moments, {layer: bank[:, :BANK_SIZE] for layer, bank in style.banks.items()})


def paint_shot_instantly(
    store: Store, shot: Shot, clip: InstantClip
) -> Iterator[tuple[int, int, PaintedFrame | None]]:
    """Paint the frames that are missing in the store; yields as :func:`~.shot_painting.paint_shot`."""
    frames = FrameCache(store)
    keys: dict[int, Mapping[str, Moments]] = {}
    for index in range(shot.first, shot.end):
        if store.has("pass1", index):
            yield 1, index, None
            continue
        filmed, earlier = _filmed(frames, index), None
        if clip.recipe.independent:
            moments = clip.moments(filmed)
        else:
            before, after, share = key_frames(shot, index)
            keys = {key: keys.get(key) or clip.moments(_filmed(frames, key)) for key in (before, after)}
            moments = {layer: keys[before][layer].blend(keys[after][layer], share) for layer in keys[before]}
            if index > shot.first:
                earlier = EarlierFrame(_filmed(frames, index - 1), frames.load("pass1", index - 1))
        painted = clip.paint(filmed, moments, earlier)
        frames.save("pass1", index, painted.pixels)
        yield 1, index, painted


def key_frames(shot: Shot, index: int) -> tuple[int, int, float]:
    """The frames before and after a frame at which the statistics are taken, and the share of the latter."""
    before = shot.first + (index - shot.first) // KEY_INTERVAL * KEY_INTERVAL
    after = min(before + KEY_INTERVAL, shot.end - 1)
    return before, after, (index - before) / max(after - before, 1)


def _filmed(frames: FrameCache, index: int) -> Tensor:
    return frames.load("input", index)[:, :3]
