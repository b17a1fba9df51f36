"""Makes a soft mask of the faces in a picture, with OpenCV's YuNet and a model that the user provides."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto.errors import ImpastoError, PictureError, WeightsError, require_extra
from impasto.networks.weights import cache_dir
from impasto.pictures import to_uint8
from impasto.pictures.geometry import Size, fit, resample

__all__ = ["Face", "face_mask", "find_faces", "model_file"]

#: left, top, width, height in pixels, from the brows to the chin; may reach beyond the picture.
Face = tuple[float, float, float, float]

#: Long side in pixels of the picture that the detector gets, at most: YuNet was trained for faces of 10 to
#: 300 pixels.
LONGEST = 640
#: Minimum score of a face, from 0 to 1, as in OpenCV's example.
MIN_SCORE = 0.9
#: Size of the ellipse relative to the detected box, so that forehead and chin are inside.
ELLIPSE_SCALE = 1.25
#: Width of the ellipse's soft edge, as a share of its radius.
FADE = 0.4


def model_file(path: str | os.PathLike[str] | None = None) -> Path:
    """The detector's model: ``path``, or the newest ``face_detection_yunet*.onnx`` in the folder of weights.

    The model is not part of Impasto.

    Raises:
        WeightsError: there is no such file.
    """
    folder = cache_dir()
    files = [Path(path)] if path is not None else sorted(folder.glob("face_detection_yunet*.onnx"))
    if not files or not files[-1].is_file():
        raise WeightsError(
            f"no face detector: {f'{str(path)!r} is no file' if path else f'none in {folder}'}",
            "YuNet as face_detection_yunet_2023mar.onnx, from OpenCV's model zoo (opencv_zoo)",
            "give it with --model FILE, or copy it into that folder (or the folder IMPASTO_HOME)",
        )
    return files[-1]


def find_faces(picture: Tensor, model: Path) -> list[Face]:
    """The faces in a picture, with the highest score first (Wu et al. 2023, "YuNet").

    Args:
        picture: (1, 3, H, W), sRGB, [0, 1].
        model: see :func:`model_file`.

    Raises:
        WeightsError: OpenCV cannot run the file as a face detector.
        ImpastoError: OpenCV is not installed.
    """
    require_extra("masks", ("cv2",), "finding faces", ImpastoError)
    import cv2

    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    size = fit(height, width, min(max(height, width), LONGEST))
    bgr = np.ascontiguousarray(to_uint8(resample(picture, size))[..., ::-1])
    try:
        detector = cv2.FaceDetectorYN.create(str(model), "", (size[1], size[0]), MIN_SCORE)
        _, rows = detector.detect(bgr)
    except cv2.error as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"'{model}' is not a face detector that OpenCV can run: {reason}",
            "YuNet as face_detection_yunet_2023mar.onnx",
        ) from None
    across, down = width / size[1], height / size[0]
    by_score = [] if rows is None else sorted(rows.tolist(), key=lambda row: -float(row[-1]))
    return [(row[0] * across, row[1] * down, row[2] * across, row[3] * down) for row in by_score]


def face_mask(size: Size, faces: Sequence[Face]) -> Tensor:
    """A mask with a soft ellipse around each face, (1, 1, H, W) in [0, 1].

    Args:
        size: (height, width) of the picture.

    Raises:
        PictureError: there are no faces.
    """
    if not faces:
        raise PictureError(
            "no face was found", "expected a face seen from the front", "draw a mask, or cut out a --box"
        )
    y, x = (torch.arange(side, dtype=torch.float32) + 0.5 for side in size)
    mask = torch.zeros(size)
    for left, top, width, height in faces:
        across = (x - (left + width / 2)) / (ELLIPSE_SCALE * width / 2)
        down = (y - (top + height / 2)) / (ELLIPSE_SCALE * height / 2)
        radius = torch.hypot(down[:, None], across[None, :])
        ramp = ((1.0 + FADE - radius) / FADE).clamp(0.0, 1.0)
        mask = torch.maximum(mask, ramp * ramp * (3.0 - 2.0 * ramp))  # smoothstep
    return mask[None, None]
