"""Finds cuts: where a frame differs from the previous one far more than its neighbours do from theirs.

The measure is that of PySceneDetect (mean change of hue, saturation and value), compared with the changes
around it as in its adaptive detector. It is computed from frames of 96 pixels on the long side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Shot", "Signature", "find_cuts", "frame_change", "signature", "split_into_shots"]

#: A frame as small HSV, (h, w, 3), hue in 0 to 179.
Signature = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Shot:
    """Frames [first, end) of a clip, between two cuts."""

    first: int
    end: int

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.end - self.first


def signature(pixels: npt.NDArray[Any]) -> Signature:
    """The small HSV picture of a frame (H, W, 3 or 4), uint8 or uint16, full range RGB."""
    height, width = pixels.shape[:2]
    scale = 96 / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: Any = cv2.resize(np.ascontiguousarray(pixels[..., :3]), size, interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2HSV), dtype=np.int16)


def frame_change(before: Signature, after: Signature) -> float:
    """Mean absolute change of hue, saturation and value, 0 to 255; hue is weighted by saturation."""
    change = np.abs(after - before)
    hue = np.minimum(change[..., 0], 180 - change[..., 0])
    hue = hue * np.minimum(before[..., 1], after[..., 1]) / 255.0
    return float((hue.mean() + change[..., 1].mean() + change[..., 2].mean()) / 3.0)


def find_cuts(changes: Sequence[float], threshold: float) -> list[int]:
    """Indices of the frames that begin a new shot; frame 0 is not among them.

    Args:
        changes: of each frame against the previous one, see :func:`frame_change`; the first is 0.
        threshold: smallest change at a cut. The change must also be at least three times the median of the
            three changes on either side, or four times the threshold, so that fast motion is not a cut.
    """
    indices = []
    for index in range(1, len(changes)):
        neighbours = [*changes[max(1, index - 3) : index], *changes[index + 1 : index + 4]]
        usual = median(neighbours) if neighbours else 0.0
        change = changes[index]
        if change >= threshold and (change >= 3.0 * usual or change >= 4.0 * threshold):
            indices.append(index)
    return indices


def split_into_shots(count: int, cuts: Sequence[int]) -> list[Shot]:
    """The shots of a clip of ``count`` frames; ``cuts``: frames that begin a shot, without 0."""
    return [Shot(first, end) for first, end in pairwise([0, *cuts, count]) if end > first]
