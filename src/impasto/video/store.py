"""The work folder beside the result: filmed frames, painted frames, and what a resumed run must know.

A file here is whole or not there: written beside its place, then renamed. So a run may be killed at any
moment, and the next one goes on at the first frame that is missing.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import VideoError
from impasto.video.frames import video_errors

__all__ = ["Store", "from_pixels", "read_png", "to_pixels", "write_file", "write_png"]

Pixels = npt.NDArray[Any]

#: Fastest of PNG's compressions: painted frames hardly compress, and time matters more.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def write_file(path: Path, data: bytes) -> None:
    """All of the file or none of it.

    Raises:
        VideoError: the disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with video_errors(f"'{path}' cannot be written", "check the folder and run again"):
            partial.write_bytes(data)
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


def write_png(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 1, 3 or 4) uint8 or uint16, RGB order, without loss."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[2])
    array = np.ascontiguousarray(pixels if order is None else pixels[..., order])
    # Encoded in memory: OpenCV's own writing to a full disk fails without a word.
    _, data = cv2.imencode(".png", array, _PNG)
    write_file(path, data.tobytes())


def read_png(path: Path) -> Pixels:
    """(H, W, 1, 3 or 4) uint8 or uint16, RGB order."""
    with video_errors(f"'{path}' cannot be read", "delete it and run again"):
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    found: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if found is None:
        raise VideoError(f"'{path}' is damaged", remedy="delete it and run again")
    if found.ndim == 2:
        return np.asarray(found[..., None])
    return np.asarray(found[..., [2, 1, 0] if found.shape[2] == 3 else [2, 1, 0, 3]])


def from_pixels(pixels: Pixels) -> Tensor:
    """(H, W, C) uint8 or uint16 → (1, C, H, W) float32 in [0, 1]."""
    top = np.iinfo(pixels.dtype).max
    array = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None]).astype(np.float32)
    return torch.from_numpy(array) / top


def to_pixels(picture: Tensor, levels: int) -> Pixels:
    """(1, C, H, W) in [0, 1] → (H, W, C), uint8 for 255 levels, uint16 for 65535."""
    array = (picture[0].clamp(0.0, 1.0) * levels).round().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(array.astype(np.uint8 if levels == 255 else np.uint16))


@dataclass(frozen=True)
class Store:
    """Where a job's frames are.

    Attributes:
        root: the work folder.
        levels: 255, or 65535 where the output keeps more than 8 bits.
    """

    root: Path
    levels: int = 255

    def frame(self, kind: str, index: int) -> Path:
        """``kind``: ``input``, ``mask``, ``pass1``, ``pass2``, …, ``reference``."""
        return self.root / kind / f"{index:06d}.png"

    def has(self, kind: str, index: int) -> bool:
        """Whether the frame is there, whole."""
        return self.frame(kind, index).exists()

    def load(self, kind: str, index: int) -> Tensor:
        """(1, 3, H, W); (1, 4, H, W) for inputs with alpha, (1, 1, H, W) for masks."""
        return from_pixels(read_png(self.frame(kind, index)))

    def save(self, kind: str, index: int, picture: Tensor) -> None:
        """Keep a frame (1, C, H, W)."""
        write_png(self.frame(kind, index), to_pixels(picture, self.levels))

    def drop(self, kind: str, index: int) -> None:
        """Forget a frame, if it is there."""
        with suppress(OSError):
            self.frame(kind, index).unlink()

    def count(self, kind: str) -> int:
        """How many frames of a kind are there."""
        try:
            return sum(name.endswith(".png") for name in os.listdir(self.root / kind))  # noqa: PTH208 - fast
        except FileNotFoundError:
            return 0

    def newest(self, kind: str) -> Path | None:
        """The frame written last."""
        with suppress(OSError):
            return max(
                (self.root / kind).glob("*.png"), key=lambda path: path.stat().st_mtime_ns, default=None
            )
        return None

    def make(self, *kinds: str) -> None:
        """Folders for these kinds of frames."""
        with video_errors(f"the work folder '{self.root}' cannot be made", "choose another place"):
            for kind in kinds:
                (self.root / kind).mkdir(parents=True, exist_ok=True)

    def remember(self, name: str, facts: dict[str, Any]) -> None:
        """Keep facts as JSON."""
        write_file(self.root / f"{name}.json", json.dumps(facts, indent=1).encode())

    def recall(self, name: str) -> dict[str, Any] | None:
        """Facts kept earlier, or None."""
        try:
            found = json.loads((self.root / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def remove(self) -> None:
        """Delete the work folder."""
        shutil.rmtree(self.root, ignore_errors=True)
