"""Masks made for you: what stands in a box, cut out along its edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from impasto.errors import ImpastoError, PictureError
from impasto.pictures import to_uint8
from impasto.pictures.geometry import Size, fit, resample

__all__ = ["Box", "cut_out"]

#: left, top, width, height in pixels.
Box = tuple[int, int, int, int]

#: GrabCut works at most at this size: its time grows with the pixels.
LONGEST = 1024


def cut_out(picture: Tensor, box: Box, *, rounds: int = 5) -> Tensor:
    """What stands in a box, as a mask (1, 1, H, W) in [0, 1]: GrabCut (Rother et al. 2004), by OpenCV.

    Colours inside and outside of the box are learnt in turn; the cut runs where they differ most. Where
    nothing in the box differs from what is around it, the box itself is the mask.

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        box: the thing and a little around it.
        rounds: of learning and cutting.

    Raises:
        PictureError: the box does not lie in the picture, or is all of it. ImpastoError: no OpenCV here.
    """
    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    left, top, across, down = box
    inside = (
        min(left, top) >= 0 and min(across, down) >= 4 and left + across <= width and top + down <= height
    )
    if not inside or (across, down) == (width, height):
        raise PictureError(
            f"a box {','.join(map(str, box))} in a picture of {width}×{height}",
            "left,top,width,height of a part of it, at least 4 pixels a side",
        )
    size = fit(height, width, min(max(height, width), LONGEST))
    scaled = _scaled(box, (height, width), size)
    found = _grabcut(to_uint8(resample(picture, size)), scaled, rounds)
    if not found.any():
        x, y, w, h = scaled
        found[y : y + h, x : x + w] = True
    return resample(torch.from_numpy(found.astype(np.float32))[None, None], (height, width))


def _scaled(box: Box, size: Size, to: Size) -> Box:
    down, across = to[0] / size[0], to[1] / size[1]
    return (
        int(box[0] * across), int(box[1] * down),
        max(2, round(box[2] * across)), max(2, round(box[3] * down)),
    )  # fmt: skip


def _grabcut(picture: np.ndarray, box: Box, rounds: int) -> np.ndarray:
    """(H, W) bool of (H, W, 3) uint8 RGB."""
    try:
        import cv2
    except ImportError:
        raise ImpastoError(
            "masks are cut out by OpenCV, which is not installed",
            "the extra 'video' has it",
            "pip install 'impasto[video]'",
        ) from None
    cv2.setRNGSeed(0)
    mask = np.zeros(picture.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(picture[..., ::-1])
    cv2.grabCut(bgr, mask, list(box), *models, rounds, cv2.GC_INIT_WITH_RECT)
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
