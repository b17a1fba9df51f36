"""Decodes a clip into the work folder, and finds its shots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError, VideoError
from impasto.pictures.colour import luma
from impasto.pictures.geometry import resample
from impasto.video import cuts
from impasto.video.ahead import computed_ahead
from impasto.video.cuts import Shot
from impasto.video.frames import Frame, open_clip, read
from impasto.video.job import VideoJob, clip_facts
from impasto.video.store import from_pixels

__all__ = ["VideoProgress", "decode", "shots_of"]


@dataclass(frozen=True)
class VideoProgress:
    """How far a run is.

    Attributes:
        stage: ``decode``, ``paint`` or ``encode``.
        done, total: frames of this stage; painting counts every pass.
        fresh: frames done by this run, without those of an earlier one.
        seconds: since the stage began.
    """

    stage: str
    done: int
    total: int
    fresh: int
    seconds: float


def decode(job: VideoJob) -> Iterator[VideoProgress]:
    """Save every frame, upright and at the size of the result, to the work folder, and find the cuts."""
    if job.store.recall("clip") is not None:
        return
    begin = time.perf_counter()
    total = min(len(job.clip.times) or 2**31, job.limit or 2**31)
    times: list[int] = []
    corrupt: list[int] = []
    changes: list[float] = []
    previous = None
    masks = None if job.mask is None else _masks(job)

    def save(frame: Frame) -> Frame:
        job.store.save("input", frame.index, resample(from_pixels(frame.pixels), job.size))
        return frame

    frames = islice(read(job.clip, job.recipe.on_corrupt), job.limit)
    for frame in computed_ahead(save, frames, torch.get_num_threads()):
        if masks is not None:
            job.store.save("mask", frame.index, next(masks))
        signature = cuts.signature(frame.pixels)
        changes.append(0.0 if previous is None else cuts.frame_change(previous, signature))
        previous = signature
        times.append(frame.time)
        if frame.corrupt:
            corrupt.append(frame.index)
        done = len(times)
        yield VideoProgress("decode", done, max(total, done), done, time.perf_counter() - begin)
    new_shots = cuts.find_cuts(changes, job.recipe.cut_threshold)
    job.store.remember("clip", {"times": times, "corrupt": corrupt, "cuts": new_shots})


def _masks(job: VideoJob) -> Iterator[Tensor]:
    """A mask (1, 1, H, W) for each frame; a picture is the same mask for all."""
    assert job.mask is not None
    try:
        still = None if job.mask.is_dir() else pictures.load(job.mask)
    except PictureError:
        still = None
    if still is not None:
        while True:
            yield resample(luma(still.pixels), job.size)
    for frame in read(open_clip(job.mask, job.clip.rate)):
        yield resample(luma(from_pixels(frame.pixels)), job.size)
    raise VideoError(
        f"the mask '{job.mask}' has fewer frames than the clip",
        "as many frames",
        "give one mask for each frame",
    )


def shots_of(job: VideoJob) -> list[Shot]:
    """The shots of a clip that was decoded."""
    facts = clip_facts(job)
    return cuts.split_into_shots(len(facts["times"]), facts["cuts"])
