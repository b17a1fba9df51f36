"""Looks through a clip for the frames that are worth painting, and writes them as pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from impasto import pictures
from impasto.errors import VideoError
from impasto.pictures.geometry import fit, resample
from impasto.video import cuts
from impasto.video.boundary import video_errors
from impasto.video.carrying import step_between
from impasto.video.flow import FLOW_METHODS
from impasto.video.frames import open_clip, read
from impasto.video.key_frames import coverage, suggest
from impasto.video.settings import VideoRecipe
from impasto.video.store import from_pixels

__all__ = ["Suggestion", "write_suggested"]

#: Long side in pixels at which the motion is looked at.
FLOW_SIDE = 320


@dataclass(frozen=True)
class Suggestion:
    """The frames worth painting.

    Attributes:
        indices: of the frames, from 0.
        frames: the files that they were written to: ``000024.png``, or as in a folder of pictures.
        covered: share of the clip that can be carried from them, in [0, 1].
    """

    indices: tuple[int, ...]
    frames: tuple[Path, ...]
    covered: float


def write_suggested(
    clip: str | os.PathLike[str],
    count: int,
    folder: Path,
    *,
    flow: str = "dis",
    rate: Fraction | float = 25,
    limit: int | None = None,
) -> Suggestion:
    """Write the ``count`` frames from which most of a clip can be carried, upright and at their own size.

    Args:
        folder: made if its parent exists.
        rate: frames a second of a folder of pictures.
        limit: look only at the first frames; None: at all.

    Raises:
        VideoError: the clip cannot be read, or the folder cannot be written to.
    """
    if count < 1:
        raise VideoError(f"{count} frames to suggest", "1 or more")
    steps, shots = _motion(clip, flow, rate, limit)
    chosen = suggest(steps, shots, count)
    covered = [np.max([coverage(steps, key, shot) for key in chosen if shot.first <= key < shot.end] or [
        np.zeros(shot.length)], axis=0) for shot in shots]  # fmt: skip
    with video_errors(f"the folder '{folder}' cannot be written to", "choose another"):
        folder.mkdir(exist_ok=True)
    files = []
    source = open_clip(clip, rate)
    for frame in islice(read(source), chosen[-1] + 1):
        if frame.index in chosen:
            file = folder / f"{source.frame_name(frame.index)}.png"
            pictures.save(file, from_pixels(frame.pixels)[:, :3])
            files.append(file)
    return Suggestion(tuple(chosen), tuple(files), float(np.concatenate(covered).mean()))


def _motion(
    clip: str | os.PathLike[str], flow: str, rate: Fraction | float, limit: int | None
) -> tuple[list[float], list[cuts.Shot]]:
    """For each frame, the share of it that the frame before shows; and the shots."""
    method, settings = FLOW_METHODS[flow](), VideoRecipe()
    steps: list[float] = []
    changes: list[float] = []
    previous = None
    for frame in islice(read(open_clip(clip, rate)), limit):
        signature, picture = cuts.signature(frame.pixels), from_pixels(frame.pixels)[:, :3]
        height, width = int(picture.shape[-2]), int(picture.shape[-1])
        small = resample(picture, fit(height, width, min(FLOW_SIDE, max(height, width))))
        if previous is None:
            steps, changes = [0.0], [0.0]
        else:
            steps.append(float(step_between(small, previous[1], method, FLOW_SIDE).known.mean()))
            changes.append(cuts.frame_change(previous[0], signature))
        previous = (signature, small)
    found = cuts.find_cuts(changes, settings.cut_threshold)
    return steps, cuts.split_into_shots(len(steps), found)
