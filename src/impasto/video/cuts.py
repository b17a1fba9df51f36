"""Shot cuts: where a frame differs from the one before far more than its neighbours do.

The measure is PySceneDetect's (mean change of hue, saturation and value), compared with the changes around
it as in its adaptive detector, so that fast motion is no cut; computed from frames of 96 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["change", "cuts", "shots", "signature"]

Small = npt.NDArray[np.int16]


def signature(pixels: npt.NDArray[Any]) -> Small:
    """A frame (H, W, 3 or 4), uint8 or uint16, as small HSV (h, w, 3), hue in 0–179."""
    height, width = pixels.shape[:2]
    scale = 96 / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: Any = cv2.resize(np.ascontiguousarray(pixels[..., :3]), size, interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2HSV), dtype=np.int16)


def change(before: Small, after: Small) -> float:
    """Mean absolute change of hue, saturation and value, 0–255; hue counts as far as there is colour."""
    gap = np.abs(after - before)
    hue = np.minimum(gap[..., 0], 180 - gap[..., 0]) * np.minimum(before[..., 1], after[..., 1]) / 255.0
    return float((hue.mean() + gap[..., 1].mean() + gap[..., 2].mean()) / 3.0)


def cuts(changes: Sequence[float], threshold: float) -> list[int]:
    """Indices of frames that begin a shot; frame 0 is not among them.

    Args:
        changes: of each frame against the one before; the first is 0.
        threshold: least change of a cut; it must also be three times the median of the three changes on
            either side, or greater than four times the threshold.
    """
    found = []
    for index in range(1, len(changes)):
        around = [*changes[max(1, index - 3) : index], *changes[index + 1 : index + 4]]
        usual = median(around) if around else 0.0
        here = changes[index]
        if here >= threshold and (here >= 3.0 * usual or here >= 4.0 * threshold):
            found.append(index)
    return found


def shots(count: int, at: Sequence[int]) -> list[tuple[int, int]]:
    """[first, end) of every shot of a clip of ``count`` frames cut ``at`` these."""
    borders = [0, *at, count]
    return [(a, b) for a, b in pairwise(borders) if b > a]
