"""Key frames: frames of a clip that somebody has painted, and which frames are worth painting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import VideoError
from impasto.pictures.alpha import fill
from impasto.pictures.geometry import Size, resample
from impasto.video.cuts import Shot

__all__ = ["KeyFrame", "coverage", "load_keys", "suggest"]


@dataclass(frozen=True)
class KeyFrame:
    """A painted frame.

    Attributes:
        index: of the frame in the clip, from 0.
        pixels: (1, 3, H, W), sRGB, [0, 1].
        alpha: (1, 1, H, W); where it is 0 nothing is painted. None: opaque.
    """

    index: int
    pixels: Tensor
    alpha: Tensor | None = None

    def painting(self, size: Size) -> Tensor:
        """The painting (1, 3, H, W) at a size; transparent areas continue the colours around them."""
        pixels = self.pixels if self.alpha is None else fill(self.pixels, self.alpha)
        return resample(pixels, size)

    def cover(self, size: Size) -> Tensor:
        """How far each pixel is painted, (1, 1, H, W) at a size."""
        return torch.ones(1, 1, *size) if self.alpha is None else resample(self.alpha, size)


def load_keys(files: Mapping[int, Path], clip_size: Size, frames: int) -> tuple[KeyFrame, ...]:
    """Load key frames, in the order of the clip.

    Args:
        files: index of a frame, from 0 → its painting.
        clip_size: (height, width) of the film.
        frames: number of frames of the clip; 0: not known yet.

    Raises:
        VideoError: an index outside the clip, or a painting of another size than the others or of another
            aspect ratio than the film.
        PictureError: a painting cannot be read, or is transparent all over.
    """
    keys: list[KeyFrame] = []
    for index, file in sorted(files.items()):
        if index < 0 or (frames and index >= frames):
            raise VideoError(
                f"key {index} ('{file}') is not in the clip", f"frames are counted from 0 to {frames - 1}"
            )
        picture = pictures.load(file)
        pictures.require_usable(picture, f"key {index}")
        _check_size(index, file, picture.size, keys[0].pixels.shape[-2:] if keys else None, clip_size)
        keys.append(KeyFrame(index, picture.pixels, picture.alpha))
    return tuple(keys)


def _check_size(index: int, file: Path, size: Size, first: Sequence[int] | None, clip_size: Size) -> None:
    height, width = size
    in_proportion = round(width * clip_size[0] / clip_size[1])
    if abs(in_proportion - height) > 1:
        raise VideoError(
            f"key {index} ('{file}') is {width}×{height} pixels",
            f"the clip is {clip_size[1]}×{clip_size[0]}, of another shape",
            "paint the frame without cropping it",
        )
    if first is not None and tuple(first) != size:
        raise VideoError(
            f"key {index} ('{file}') is {width}×{height} pixels",
            f"the first key is {first[1]}×{first[0]}",
            "give all keys the same size",
        )


def coverage(steps: Sequence[float], key: int, shot: Shot) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The share of each frame of a shot that a key frame shows, (frames,): the product of all steps between.

    Args:
        steps: for each frame of the clip, the share of it that the frame before shows.
    """
    shares = np.zeros(shot.length)
    shares[key - shot.first] = 1.0
    for index in range(key + 1, shot.end):
        shares[index - shot.first] = shares[index - 1 - shot.first] * steps[index]
    for index in range(key - 1, shot.first - 1, -1):
        shares[index - shot.first] = shares[index + 1 - shot.first] * steps[index + 1]
    return shares


def suggest(steps: Sequence[float], shots: Sequence[Shot], count: int) -> list[int]:
    """The frames worth painting: those from which most of the clip can be carried, in order.

    Frames are added one by one, each where it adds most to what is covered (:func:`coverage`); a shot without
    a key has nothing that could be carried, so the longest shots get theirs first.

    Args:
        steps: for each frame of the clip, the share of it that the frame before shows.
        count: how many; no more than there are frames.
    """
    covered = [np.zeros(shot.length) for shot in shots]
    chosen: list[int] = []
    for _ in range(min(count, sum(len(each) for each in covered))):
        candidates = [
            (float(np.maximum(known, coverage(steps, key, shot)).sum() - known.sum()), -key, place)
            for place, (shot, known) in enumerate(zip(shots, covered, strict=True))
            for key in range(shot.first, shot.end)
            if key not in chosen
        ]
        _, negative, place = max(candidates)
        chosen.append(-negative)
        covered[place] = np.maximum(covered[place], coverage(steps, -negative, shots[place]))
    return sorted(chosen)
