"""The end of a run: painted frames, with the film where nothing is painted, as a clip or as pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from impasto import pictures
from impasto.files import replacing
from impasto.video.boundary import video_errors
from impasto.video.frame_painting import apply_mask
from impasto.video.job import WRITING, VideoJob, clip_facts, pass_names
from impasto.video.parts import joined_frame, parts_of
from impasto.video.store import from_pixels, read_png, to_pixels
from impasto.video.writing import write

__all__ = ["encode", "finished_frames"]


def finished_frames(job: VideoJob) -> Iterator[tuple[int, Any]]:
    """(time, pixels) of every painted frame.

    The film shows where its mask is black, and its alpha is kept. What key frames leave unpainted is
    transparent where the output can be, and otherwise the film shows there too.
    """
    parts, kind = [] if job.keys else parts_of(job), pass_names(job)[-1]
    joined = any(part.number for part in parts)
    for index, frame_time in enumerate(clip_facts(job)["times"]):
        if joined:
            painted = to_pixels(joined_frame(job.store, parts, kind, index), job.store.levels)
        else:
            painted = read_png(job.store.frame(kind, index))
        if job.clip.alpha or job.mask is not None or job.has_cover:
            painted = to_pixels(_with_film(job, index, from_pixels(painted)), job.store.levels)
        yield frame_time, painted


def _with_film(job: VideoJob, index: int, painted: Tensor) -> Tensor:
    """(1, 3 or 4, H, W)"""
    filmed, mask, cover = (
        job.store.load(kind, index) if job.store.has(kind, index) else None
        for kind in ("input", "mask", "cover")
    )
    assert filmed is not None
    alpha = filmed[:, 3:] if filmed.shape[1] == 4 else None
    if job.has_cover and job.can_be_transparent:
        alpha = (1.0 if alpha is None else alpha) * (
            torch.ones_like(filmed[:, :1]) if cover is None else cover
        )
    else:
        painted = apply_mask(painted, filmed[:, :3], cover)
    painted = apply_mask(painted, filmed[:, :3], mask)
    return painted if alpha is None else torch.cat([painted, alpha], dim=1)


def encode(job: VideoJob, told: Callable[[int], None]) -> None:
    """Write the output.

    Args:
        told: called with the number of frames that are written.
    """
    if job.codec is None:
        _write_folder(job, told)
        return
    written = 0

    def counted() -> Iterator[tuple[int, Any]]:
        nonlocal written
        for frame in finished_frames(job):
            told(written)
            yield frame
            written += 1

    # Encoded in the work folder, so that a killed run leaves no other files behind.
    encoded = job.store.root / job.output.name
    write(encoded, counted(), job.clip, job.codec, quality=job.quality, copy=job.copy)
    with video_errors(f"'{job.output}' cannot be written"), replacing(job.output) as partial:
        shutil.move(encoded, partial)
    told(written)


def _write_folder(job: VideoJob, told: Callable[[int], None]) -> None:
    """Write pictures, named as the frames are; a run that is killed meanwhile can be resumed."""
    job.store.remember(WRITING, {})
    with video_errors(f"'{job.output}' cannot be written"):
        job.output.mkdir(exist_ok=True)
    # Written in the work folder, so that a killed run leaves no other files behind.
    written = job.store.root / "picture.png"
    for index, (_, pixels) in enumerate(finished_frames(job)):
        picture = from_pixels(pixels)
        alpha = picture[:, 3:] if picture.shape[1] == 4 else None
        pictures.save(written, picture[:, :3], alpha=alpha)
        target = job.output / f"{job.clip.frame_name(index)}.png"
        with video_errors(f"'{target}' cannot be written"):
            shutil.move(written, target)
        told(index + 1)
    job.store.forget(WRITING)
