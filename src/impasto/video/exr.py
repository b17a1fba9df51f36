"""Reads OpenEXR pictures, which programs for effects export, with FFmpeg: usual builds of OpenCV cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch

from impasto.errors import VideoError
from impasto.pictures import Picture
from impasto.pictures.colour import from_linear
from impasto.video.boundary import video_errors

__all__ = ["read_exr"]


def read_exr(path: Path) -> Picture:
    """An OpenEXR picture for an ordinary screen: its light, which is linear, with the curve of sRGB.

    Light above 1 is clamped, and primaries are taken to be those of sRGB.

    Raises:
        VideoError: it is damaged, or not RGB or grey.
    """
    with (
        video_errors(f"'{path}' cannot be read", "export it again"),
        av.open(str(path), format="exr_pipe") as file,
    ):
        frame = next(file.decode(video=0))
        planes = {"gbrpf32le": 3, "gbrapf32le": 4, "grayf32le": 1}
        count = planes.get(frame.format.name)
        if count is None:
            raise VideoError(f"'{path}' holds {frame.format.name}", "RGB, RGBA or grey", "export it again")
        light = np.stack([_plane(plane, frame.width) for plane in frame.planes[:count]])  # G, B, R, A
    tensor = torch.from_numpy(light).nan_to_num().clamp_(0.0, 1e6)[:, None]  # (channels, 1, H, W)
    colours = (tensor[[2, 0, 1]] if count > 1 else tensor[[0, 0, 0]]).transpose(0, 1)
    if count < 4 or bool((tensor[3] >= 1).all()):
        return Picture(from_linear(colours.clamp(0.0, 1.0)), None, path)
    alpha = tensor[3:].clamp(0.0, 1.0)
    # Colours are stored multiplied by alpha.
    straight = torch.where(alpha > 0, colours / alpha.clamp_min(1e-6), torch.zeros_like(colours))
    return Picture(from_linear(straight.clamp(0.0, 1.0)), alpha, path)


def _plane(plane: Any, width: int) -> npt.NDArray[np.float32]:
    """A plane of FFmpeg's float formats, (H, W); its rows are padded."""
    rows = np.frombuffer(plane, np.float32).reshape(plane.height, plane.line_size // 4)
    return np.array(rows[:, :width])
