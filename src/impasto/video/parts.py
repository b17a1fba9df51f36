"""Cuts long shots into parts that several processes paint at the same time, and joins them again.

A part begins as a shot does, with a frame painted by itself, and the one before it goes on for some frames
more. Over these the first painting gives way to the second, with its contrast kept. Twelve frames are about
as steady as an unbroken shot (docs/video.md). To let a part's first frame follow the first of the shot gained
nothing on a pan, and little where the camera rests (LOG.md, 2026-11-27).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import VideoError
from impasto.pieces.places import room_at
from impasto.video.carrying import blend
from impasto.video.cuts import Shot
from impasto.video.decoding import shots_of
from impasto.video.identity import OtherRunError
from impasto.video.job import VideoJob
from impasto.video.store import Store

__all__ = ["OVERLAP", "SHORTEST", "Part", "cut_shots", "joined_frame", "parts_of"]

#: Frames that two parts share.
OVERLAP = 12
#: Frames of the shortest parts that are made unasked, so that a quarter at most is painted twice.
SHORTEST = 48
#: Frames of the shortest parts that may be asked for: no frame belongs to more than two.
LEAST = 2 * OVERLAP


@dataclass(frozen=True)
class Part:
    """A part of a shot, or a whole one.

    Attributes:
        frames: those that it paints, with those that it shares with the next part.
        number: its place in the shot, from 0.
    """

    frames: Shot
    number: int = 0

    def store(self, whole: Store) -> Store:
        """Where its frames are: of every second part beside the others, as both paint what they share."""
        return whole.beside("odd") if self.number % 2 else whole


def cut_shots(shots: Sequence[Shot], length: int, overlap: int = 0) -> list[Part]:
    """All shots, in parts of about ``length`` frames where they are longer; 0: whole.

    Args:
        overlap: frames that two parts share.
    """
    parts = []
    for shot in shots:
        total = shot.length
        count = max(1, int(total / length + 0.5)) if length else 1
        edges = [shot.first + round(k * total / count) for k in range(count + 1)]
        for number in range(count):
            end = min(shot.end, edges[number + 1] + (overlap if number + 1 < count else 0))
            parts.append(Part(Shot(edges[number], end), number))
    return parts


def parts_of(job: VideoJob) -> list[Part]:
    """The parts of a decoded clip: as an earlier run of the same work folder had them, otherwise chosen now.

    Raises:
        OtherRunError: the work folder has parts of another length than was asked for.
        VideoError: the length asked for is too short.
    """
    shots, asked = shots_of(job), job.part_frames
    if asked is not None and 0 < asked < LEAST:
        raise VideoError(
            f"parts of {asked} frames", f"0 (no parts) or at least {LEAST}", "raise --part-frames"
        )
    facts = job.store.recall("parts")
    if facts is None:
        begun = job.store.count("pass1") > 0  # by a version that cut no shots
        facts = {"frames": 0 if begun else _chosen_length(job, shots)}
        job.store.remember("parts", facts)
    if asked is not None and asked != facts["frames"]:
        raise OtherRunError(
            f"'{job.store.root}' holds frames painted in parts of {facts['frames']} frames (0: whole shots)",
            f"not of {asked}",
            "repeat the earlier command, or add --restart to begin anew",
        )
    return cut_shots(shots, facts["frames"], OVERLAP)


def _chosen_length(job: VideoJob, shots: Sequence[Shot]) -> int:
    """Frames of a part, so that no process is idle while others paint long shots; 0: no parts."""
    if job.part_frames is not None or job.keys:
        return job.part_frames or 0
    longest = max((shot.length for shot in shots), default=0)
    if longest < 2 * SHORTEST or (job.on == "local" and job.processes == 1):
        return 0
    room = job.processes
    if job.on != "local":
        room = room_at(job.on, job.shot_needs)
    if room <= len(shots):
        return 0
    return max(SHORTEST, math.ceil(sum(shot.length for shot in shots) / room))


def joined_frame(store: Store, parts: Sequence[Part], kind: str, index: int) -> Tensor:
    """A painted frame (1, 3, H, W): of its part, or mixed from the two that share it.

    Args:
        store: of the whole clip.
    """
    sharing = [part for part in parts if part.frames.first <= index < part.frames.end]
    pictures = [part.store(store).load(kind, index) for part in sharing]
    if len(pictures) == 1:
        return pictures[0]
    before, after = sharing
    share = (index - after.frames.first + 1) / (before.frames.end - after.frames.first + 1)
    return blend(pictures, [torch.full_like(pictures[0][:, :1], each) for each in (1.0 - share, share)])
