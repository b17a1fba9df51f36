"""Makes a mask of the object in a box of a picture."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import ImpastoError, PictureError, require_extra
from impasto.pictures import to_uint8
from impasto.pictures.geometry import Size, fit, resample
from impasto.progress import Progress, report

__all__ = ["Box", "cut_out"]

#: left, top, width, height in pixels.
Box = tuple[int, int, int, int]

#: Long side in pixels of the picture that GrabCut gets, at most: its time grows with the number of pixels.
LONGEST = 1024
#: Alternations of GrabCut.
ROUNDS = 5
#: Connected parts of the mask smaller than this share of the largest one are removed as noise.
SMALLEST_PART = 0.02


def cut_out(picture: Tensor, box: Box) -> Tensor:
    """A mask of the object in a box, (1, 1, H, W) in [0, 1], by OpenCV's GrabCut (Rother et al. 2004).

    GrabCut alternates between learning the colours of object and background and cutting where they differ
    most. The mask is 0 outside of the box. If nothing in the box differs from its surroundings, the mask is
    the box itself. Progress is reported in rounds (:mod:`impasto.progress`).

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        box: contains the object and a little of its surroundings.

    Raises:
        PictureError: the box does not lie in the picture, is all of it, or is smaller than 4×4 pixels.
        ImpastoError: OpenCV is not installed.
    """
    require_extra("masks", ("cv2",), "cutting out an object", ImpastoError)
    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    left, top, box_width, box_height = box
    fits = min(left, top) >= 0 and left + box_width <= width and top + box_height <= height
    if not fits or min(box_width, box_height) < 4 or (box_width, box_height) == (width, height):
        raise PictureError(
            f"a box {','.join(map(str, box))} in a picture of {width}×{height}",
            "left,top,width,height of a part of it, at least 4 pixels a side",
        )
    size = fit(height, width, min(max(height, width), LONGEST))
    scaled_box = _scale(box, (height, width), size)
    selected = _keep_large_parts(_grabcut(to_uint8(resample(picture, size)), scaled_box))
    if not selected.any():
        x, y, w, h = scaled_box
        selected[y : y + h, x : x + w] = True
    mask = resample(torch.from_numpy(selected.astype(np.float32))[None, None], (height, width))
    inside = torch.zeros_like(mask)  # resampling blurs the mask beyond the box
    inside[..., top : top + box_height, left : left + box_width] = 1.0
    return mask * inside


def _scale(box: Box, size: Size, target: Size) -> Box:
    """The box in a picture resized from ``size`` to ``target``, rounded inwards to leave pixels outside."""
    left, width = _scale_side(box[0], box[2], target[1] / size[1], target[1])
    top, height = _scale_side(box[1], box[3], target[0] / size[0], target[0])
    return left, top, width, height


def _scale_side(start: int, length: int, factor: float, end: int) -> tuple[int, int]:
    scaled = max(0, min(math.ceil(start * factor), end - 2))
    return scaled, max(2, math.floor((start + length) * factor) - scaled)


def _grabcut(picture: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.bool_]:
    """The foreground, (H, W), of a picture (H, W, 3) in RGB."""
    import cv2

    cv2.setRNGSeed(0)
    labels = np.zeros(picture.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))  # background, foreground; OpenCV keeps its state here
    bgr = np.ascontiguousarray(picture[..., ::-1])
    for index in range(ROUNDS):
        report(Progress("cutting out", index, ROUNDS, "rounds"))
        mode = cv2.GC_INIT_WITH_RECT if index == 0 else cv2.GC_EVAL
        cv2.grabCut(bgr, labels, list(box), *models, 1, mode)
    report(Progress("cutting out", ROUNDS, ROUNDS, "rounds"))
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _keep_large_parts(selected: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Remove the connected parts of (H, W) that are small compared with the largest one."""
    import cv2

    _, labels, statistics, _ = cv2.connectedComponentsWithStats(selected.astype(np.uint8))
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    return np.isin(labels, np.flatnonzero((areas > 0) & (areas >= SMALLEST_PART * areas.max())))
