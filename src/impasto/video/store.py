"""The work folder beside the output: filmed frames, painted frames, and what is needed to resume a run.

Every file is written whole or not at all. So a run may be killed at any moment, and the next one continues
at the first frame that is missing.
"""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import VideoError
from impasto.files import write_atomically
from impasto.video.boundary import video_errors

__all__ = ["FrameCache", "Store", "from_pixels", "read_png", "to_pixels", "write_file", "write_png"]

Pixels = npt.NDArray[Any]

#: Number of channels → their order in OpenCV, blue first. The same order converts back.
CHANNEL_ORDER = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}


def write_file(path: Path, data: bytes | str) -> None:
    """Write all of a file or none of it.

    Raises:
        VideoError: the disk is full, or the folder cannot be written to.
    """
    with video_errors(f"'{path}' cannot be written", "check the folder and run again"):
        write_atomically(path, data)


def write_png(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 1, 3 or 4) uint8 or uint16, RGB order, without loss."""
    array = np.ascontiguousarray(pixels[..., CHANNEL_ORDER[pixels.shape[2]]])
    # Encoded in memory, because OpenCV itself reports nothing when the disk is full.
    # Without options it is fastest, and painted frames can hardly be compressed anyway.
    _, data = cv2.imencode(".png", array)
    write_file(path, data.tobytes())


def read_png(path: Path) -> Pixels:
    """(H, W, 1, 3 or 4) uint8 or uint16, RGB order."""
    with video_errors(f"'{path}' cannot be read", "delete it and run again"):
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    array: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if array is None:
        raise VideoError(f"'{path}' is damaged", remedy="delete it and run again")
    array = array[..., None] if array.ndim == 2 else array
    return np.asarray(array[..., CHANNEL_ORDER[array.shape[2]]])


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
    """The frames of a job, by kind and index.

    The kinds are ``input`` (filmed frames), ``mask``, ``pass1``, ``pass2``, … (painted frames) and
    ``reference`` (the filmed frame that each pixel of a painted one was painted from).

    Attributes:
        root: the work folder.
        levels: 255, or 65535 where the output keeps more than 8 bits.
        film: the work folder with the filmed frames and the masks, where that is another.
    """

    root: Path
    levels: int = 255
    film: Path | None = None

    @property
    def whole(self) -> Path:
        """The work folder that holds all files of this store."""
        return self.film or self.root

    def beside(self, name: str) -> Store:
        """A store for other paintings of the same film, in a folder of this one."""
        return Store(self.root / name, self.levels, self.root)

    def moved(self, whole: Path) -> Store:
        """The same store in another work folder."""
        return replace(self, root=whole / self.root.relative_to(self.whole), film=self.film and whole)

    def _folder(self, kind: str) -> Path:
        return (self.whole if kind in ("input", "mask") else self.root) / kind

    def frame(self, kind: str, index: int) -> Path:
        """Where a frame is, or would be."""
        return self._folder(kind) / f"{index:06d}.png"

    def has(self, kind: str, index: int) -> bool:
        """Whether the frame is there; if so, it is whole."""
        return self.frame(kind, index).exists()

    def load(self, kind: str, index: int) -> Tensor:
        """(1, 3, H, W); (1, 4, H, W) for inputs with alpha, (1, 1, H, W) for masks."""
        return from_pixels(read_png(self.frame(kind, index)))

    def save(self, kind: str, index: int, picture: Tensor) -> None:
        """Save a frame (1, C, H, W)."""
        write_png(self.frame(kind, index), to_pixels(picture, self.levels))

    def delete(self, kind: str, index: int) -> None:
        """Delete a frame, if it is there."""
        with suppress(OSError):
            self.frame(kind, index).unlink()

    def count(self, kind: str) -> int:
        """How many frames of a kind there are."""
        return len(self._frames(kind))

    def newest(self, kind: str) -> Path | None:
        """The frame written last; None where there is none."""
        with suppress(OSError):  # a frame may be deleted meanwhile
            return max(self._frames(kind), key=lambda path: path.stat().st_mtime_ns, default=None)
        return None

    def _frames(self, kind: str) -> list[Path]:
        """Whole frames only; those that are being written have hidden names."""
        return [path for path in self._folder(kind).glob("*.png") if not path.name.startswith(".")]

    def make(self, *kinds: str) -> None:
        """Make the folders for these kinds of frames."""
        with video_errors(f"the work folder '{self.root}' cannot be made", "choose another place"):
            for kind in kinds:
                self._folder(kind).mkdir(parents=True, exist_ok=True)

    def remember(self, name: str, facts: dict[str, Any]) -> None:
        """Save facts as JSON."""
        write_file(self.root / f"{name}.json", json.dumps(facts, indent=1))

    def recall(self, name: str) -> dict[str, Any] | None:
        """Facts saved earlier, or None."""
        try:
            facts = json.loads((self.root / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) else None

    def forget(self, name: str) -> None:
        """Delete facts saved earlier, if they are there."""
        with suppress(OSError):
            (self.root / f"{name}.json").unlink()

    def remove(self) -> None:
        """Delete the work folder."""
        shutil.rmtree(self.root, ignore_errors=True)


class FrameCache:
    """Reads and saves frames, and keeps the most recently used ones in memory, as they are on disk.

    A painted frame is needed again for the frames that follow it, and an input up to five times. Without a
    cache, painting one frame would read eleven PNGs.

    Several threads may use it.

    Args:
        store: where the frames are.
        capacity: how many frames are kept, at 3 bytes a pixel each (6 with 16 bits).
    """

    def __init__(self, store: Store, capacity: int = 16) -> None:
        self.store, self.capacity = store, capacity
        self._pixels: OrderedDict[tuple[str, int], Pixels] = OrderedDict()
        self._lock = Lock()

    def load(self, kind: str, index: int) -> Tensor:
        """As :meth:`Store.load`."""
        key = (kind, index)
        pixels = self._pixels.get(key)
        if pixels is None:
            pixels = read_png(self.store.frame(kind, index))
        self._keep(key, pixels)
        return from_pixels(pixels)

    def save(self, kind: str, index: int, picture: Tensor) -> None:
        """As :meth:`Store.save`."""
        pixels = to_pixels(picture, self.store.levels)
        write_png(self.store.frame(kind, index), pixels)
        self._keep((kind, index), pixels)

    def _keep(self, key: tuple[str, int], pixels: Pixels) -> None:
        with self._lock:
            self._pixels[key] = pixels
            self._pixels.move_to_end(key)
            while len(self._pixels) > self.capacity:
                self._pixels.popitem(last=False)
