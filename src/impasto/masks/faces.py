"""Faces in a picture as a soft mask: OpenCV's detector YuNet, where its model is at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto.errors import ImpastoError, PictureError, WeightsError
from impasto.networks.weights import cache_dir
from impasto.pictures import to_uint8
from impasto.pictures.geometry import Size, fit, resample

__all__ = ["Face", "face_mask", "find_faces", "model_file"]

#: left, top, width, height in pixels, from the brows to the chin; may reach beyond the picture.
Face = tuple[float, float, float, float]

#: YuNet is trained for faces of about 10 to 300 pixels: a large picture is looked at smaller.
LONGEST = 640
#: A face is found from this certainty on; OpenCV's own example takes it too.
SURE = 0.9
#: The ellipse is larger than the box, so that forehead and chin are in it, and fades out over this share.
LARGER, FADE = 1.25, 0.4


def model_file(given: str | os.PathLike[str] | None = None) -> Path:
    """The detector's model: a given path, else ``face_detection_yunet*.onnx`` among the weights.

    Raises:
        WeightsError: no such file; the model is not part of Impasto.
    """
    folder = cache_dir()
    found = [Path(given)] if given is not None else sorted(folder.glob("face_detection_yunet*.onnx"))[-1:]
    if not found or not found[0].is_file():
        raise WeightsError(
            f"no face detector: {f'{str(given)!r} is no file' if given else f'none in {folder}'}",
            "YuNet as face_detection_yunet_2023mar.onnx, from OpenCV's model zoo (opencv_zoo)",
            "give it with --model FILE, or copy it into that folder (or the folder IMPASTO_HOME)",
        )
    return found[0]


def find_faces(picture: Tensor, model: Path) -> list[Face]:
    """The faces in a picture (1, 3, H, W), sRGB, [0, 1]; the surest first (Wu et al. 2023, "YuNet").

    Raises:
        WeightsError: the file is not that model. ImpastoError: no OpenCV here.
    """
    try:
        import cv2
    except ImportError:
        raise ImpastoError(
            "faces are found by OpenCV, which is not installed",
            "the extra 'video' has it",
            "pip install 'impasto[video]'",
        ) from None
    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    size = fit(height, width, min(max(height, width), LONGEST))
    bgr = np.ascontiguousarray(to_uint8(resample(picture, size))[..., ::-1])
    try:
        detector = cv2.FaceDetectorYN.create(str(model), "", (size[1], size[0]), SURE)
        _, rows = detector.detect(bgr)
    except cv2.error as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"'{model}' is not a face detector that OpenCV can run: {reason}",
            "YuNet as face_detection_yunet_2023mar.onnx",
        ) from None
    across, down = width / size[1], height / size[0]
    found = [] if rows is None else sorted(rows.tolist(), key=lambda row: -float(row[-1]))
    return [(row[0] * across, row[1] * down, row[2] * across, row[3] * down) for row in found]


def face_mask(size: Size, faces: Sequence[Face]) -> Tensor:
    """An ellipse around each face, (1, 1, H, W) in [0, 1], that fades out softly.

    Raises:
        PictureError: no faces.
    """
    if not faces:
        raise PictureError("no face was found", "one seen from the front", "draw a mask, or cut out a --box")
    y, x = (torch.arange(side, dtype=torch.float32) + 0.5 for side in size)
    mask = torch.zeros(size)
    for left, top, width, height in faces:
        across = (x - (left + width / 2)) / (LARGER * width / 2)
        down = (y - (top + height / 2)) / (LARGER * height / 2)
        radius = torch.hypot(down[:, None], across[None, :])
        t = ((1.0 + FADE - radius) / FADE).clamp(0.0, 1.0)
        mask = torch.maximum(mask, t * t * (3.0 - 2.0 * t))
    return mask[None, None]
