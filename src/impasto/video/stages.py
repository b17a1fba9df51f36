"""A job from end to end: decode, estimate, paint shot by shot, encode; killed and run again, it goes on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError, VideoError
from impasto.painting import engine
from impasto.pictures.geometry import fit, resample
from impasto.video import cuts, sequence
from impasto.video.frames import open_clip, read, video_errors
from impasto.video.job import VideoJob
from impasto.video.shots import Shot, paint_in_process, paint_shot
from impasto.video.store import from_pixels, read_png, to_pixels, write_file
from impasto.video.writing import write

__all__ = ["Estimate", "Moment", "VideoResult", "decode", "estimate", "finished_frames", "run_video"]


@dataclass(frozen=True)
class Moment:
    """Where a run stands.

    Attributes:
        stage: ``decode``, ``paint`` or ``encode``.
        done, total: frames of this stage; painting counts every pass.
        fresh: frames painted by this run, not found from an earlier one.
        seconds: since the stage began.
    """

    stage: str
    done: int
    total: int
    fresh: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What is to come: frames and shots, seconds of painting on this machine, bytes of work folder."""

    frames: int
    shots: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class VideoResult:
    """A finished clip.

    Attributes:
        corrupt: frames (from 0) that could not be decoded and repeat their neighbour.
        evaluations: of the objective at full size, by this run in this process.
    """

    path: Path
    frames: int
    shots: int
    corrupt: tuple[int, ...]
    evaluations: float
    seconds: float


# -- decode ------------------------------------------------------------------------------------------------


def decode(job: VideoJob) -> Iterator[Moment]:
    """Every frame upright, at the result's size, into the work folder; cuts found on the way."""
    if job.store.recall("clip") is not None:
        return
    begin = time.perf_counter()
    total = min(len(job.clip.times) or 2**31, job.limit or 2**31)
    times: list[int] = []
    corrupt: list[int] = []
    changes: list[float] = []
    before = None
    masks = None if job.mask is None else _masks(job)
    frames = read(job.clip, job.recipe.on_corrupt)
    for frame in frames:
        picture = resample(from_pixels(frame.pixels), job.size)
        job.store.save("input", frame.index, picture)
        if masks is not None:
            job.store.save("mask", frame.index, next(masks))
        now = cuts.signature(frame.pixels)
        changes.append(0.0 if before is None else cuts.change(before, now))
        before = now
        times.append(frame.time)
        if frame.corrupt:
            corrupt.append(frame.index)
        yield Moment("decode", len(times), max(total, len(times)), len(times), time.perf_counter() - begin)
        if len(times) == job.limit:
            break
    found = cuts.cuts(changes, job.recipe.cut_threshold)
    job.store.remember("clip", {"times": times, "corrupt": corrupt, "cuts": found})


def _masks(job: VideoJob) -> Iterator[Tensor]:
    """A mask (1, 1, H, W) for each frame: the same for all, or one of a sequence."""
    assert job.mask is not None
    try:
        still = None if job.mask.is_dir() else pictures.load(job.mask)
    except PictureError:
        still = None
    if still is not None:
        while True:
            yield resample(_luma(still.pixels), job.size)
    for frame in read(open_clip(job.mask, job.clip.rate)):
        yield resample(_luma(from_pixels(frame.pixels)), job.size)
    raise VideoError(
        f"the mask '{job.mask}' has fewer frames than the clip", "as many", "give one mask for each frame"
    )


def _luma(picture: Tensor) -> Tensor:
    red, green, blue = picture[:, :1], picture[:, 1:2], picture[:, 2:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


# -- paint -------------------------------------------------------------------------------------------------


def _shots(job: VideoJob) -> list[Shot]:
    facts = job.store.recall("clip") or {}
    return [Shot(a, b) for a, b in cuts.shots(len(facts["times"]), facts["cuts"])]


def estimate(job: VideoJob) -> Estimate:
    """What painting will take: two evaluations are timed, the rest is counted.

    Call it after :func:`decode` has run to its end.
    """
    shots = _shots(job)
    frames = sum(shot.end - shot.first for shot in shots)
    height, width = job.size
    small = fit(height, width, max(64, max(height, width) // 2))
    sources = engine.Sources(torch.full((1, 3, *small), 0.5), job.styles)
    one = job.recipe.picture.replace(size=max(small), coarsest=max(small), iterations=(2,), init="content")
    begin = time.perf_counter()
    for _ in engine.steps(sources, one, job.encoder):
        pass
    spent = (time.perf_counter() - begin) / 3.0  # two evaluations, and about one for the targets
    each = spent * height * width / (small[0] * small[1])
    whole, following = _costs(job)
    passes = frames * (job.recipe.passes - 1)
    todo = frames if job.recipe.independent else len(shots)
    evaluations = todo * whole + (frames - todo + passes) * following
    per_frame = height * width * 3 * (1 if job.store.levels == 255 else 2)
    at_once = min(job.processes, len(shots))
    return Estimate(
        frames, len(shots), evaluations * each / at_once, frames * per_frame * (1 + job.recipe.passes)
    )


def _costs(job: VideoJob) -> tuple[float, float]:
    """Evaluations, in units of full size, of a frame as a picture and of one that follows."""
    costs, area = [], job.size[0] * job.size[1]
    picture = job.recipe.picture.replace(size="original")
    for recipe in (picture, *(f(job.recipe, *job.size) for f in (sequence.following, sequence.filling))):
        plan = engine.sizes(recipe, *job.size)
        costs.append(sum(engine.budget(recipe, k) * h * w / area for k, (h, w) in enumerate(plan)))
    return costs[0], costs[1] + costs[2]


def require_room(job: VideoJob, needed: int) -> None:
    """Raise ``VideoError`` when the disk will not hold the work folder."""
    there = sum(job.store.count(f"pass{k}") for k in range(1, job.recipe.passes + 1))
    free = shutil.disk_usage(job.output.parent).free
    if there == 0 and needed > free:
        raise VideoError(
            f"the frames need up to {needed / 1e6:.0f} MB on the way and {free / 1e6:.0f} MB are free",
            remedy="make room, or paint smaller with --size",
        )


def _paint(job: VideoJob) -> Iterator[tuple[Moment, float]]:
    shots = _shots(job)
    for number in range(1, job.recipe.passes + 1):
        job.store.make(f"pass{number}")
    total = sum(shot.end - shot.first for shot in shots) * job.recipe.passes
    at_once = min(job.processes, len(shots))
    yield from _paint_apart(job, shots, total, at_once) if at_once > 1 else _paint_here(job, shots, total)


def _paint_here(job: VideoJob, shots: Sequence[Shot], total: int) -> Iterator[tuple[Moment, float]]:
    begin, done, fresh, spent = time.perf_counter(), 0, 0, 0.0
    studio = sequence.open_studio(job.styles, job.recipe, job.encoder, *job.size, levels=job.store.levels)
    for shot in shots:
        for _, _, painted in paint_shot(job.store, shot, studio):
            done += 1
            fresh += painted is not None
            spent += painted.evaluations if painted is not None else 0.0
            yield Moment("paint", done, total, fresh, time.perf_counter() - begin), spent


def _paint_apart(
    job: VideoJob, shots: Sequence[Shot], total: int, at_once: int
) -> Iterator[tuple[Moment, float]]:
    """Shots in processes of their own; the frames on disk tell how far they are."""

    def count() -> int:
        return sum(job.store.count(f"pass{k}") for k in range(1, job.recipe.passes + 1))

    begin, before = time.perf_counter(), count()
    threads = max(1, (os.cpu_count() or 1) // at_once)
    pool = ProcessPoolExecutor(at_once, mp_context=get_context("spawn"))
    try:
        # The longest first, so that no process is left alone with it at the end.
        tasks = {
            pool.submit(
                paint_in_process, job.store, shot, job.styles, job.recipe, job.size, threads, str(job.device)
            )
            for shot in sorted(shots, key=lambda shot: shot.first - shot.end)
        }
        while tasks:
            finished, tasks = wait(tasks, timeout=0.5, return_when=FIRST_COMPLETED)
            for task in finished:
                task.result()
            done = count()
            yield Moment("paint", done, total, done - before, time.perf_counter() - begin), 0.0
    finally:
        for process in list((pool._processes or {}).values()):
            if tasks:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


# -- encode ------------------------------------------------------------------------------------------------


def finished_frames(job: VideoJob) -> Iterator[tuple[int, Any]]:
    """(time, pixels) of every painted frame: laid over the film where a mask says so, with its alpha."""
    facts = job.store.recall("clip") or {}
    for index, moment in enumerate(facts["times"]):
        painted = read_png(job.store.frame(f"pass{job.recipe.passes}", index))
        if job.clip.alpha or job.mask is not None:
            filmed = job.store.load("input", index)
            mask = job.store.load("mask", index) if job.mask is not None else None
            laid = sequence.lay_over(from_pixels(painted), filmed[:, :3], mask)
            whole = torch.cat([laid, filmed[:, 3:]], dim=1) if filmed.shape[1] == 4 else laid
            painted = to_pixels(whole, job.store.levels)
        yield moment, painted


def _encode(job: VideoJob, total: int) -> Iterator[Moment]:
    begin = time.perf_counter()
    if job.codec is None:
        yield from _write_folder(job, total, begin)
        return
    frames = finished_frames(job)
    yield Moment("encode", 0, total, 0, 0.0)
    write(job.output, frames, job.clip, job.codec, quality=job.quality, copy=job.copy)
    yield Moment("encode", total, total, total, time.perf_counter() - begin)


def _write_folder(job: VideoJob, total: int, begin: float) -> Iterator[Moment]:
    """Pictures named as the source's, or numbered from 000001."""
    with video_errors(f"'{job.output}' cannot be written"):
        job.output.mkdir(exist_ok=True)
    for index, (_, pixels) in enumerate(finished_frames(job)):
        name = job.clip.files[index].stem if job.clip.files else f"{index + 1:06d}"
        picture = from_pixels(pixels)
        alpha = picture[:, 3:] if picture.shape[1] == 4 else None
        pictures.save(job.output / f"{name}.png", picture[:, :3], alpha=alpha)
        yield Moment("encode", index + 1, total, index + 1, time.perf_counter() - begin)


# -- all of it ---------------------------------------------------------------------------------------------


def run_video(
    job: VideoJob,
    *,
    on_moment: Callable[[Moment], None] | None = None,
    on_estimate: Callable[[Estimate], None] | None = None,
    keep_frames: bool = False,
) -> VideoResult:
    """Paint a prepared clip: decode, estimate, paint, encode.

    Killed at any moment and run again, it goes on at the next frame, and the result has the same bytes.

    Args:
        on_moment: called after each frame.
        on_estimate: called once, before the painting.
        keep_frames: leave the work folder.
    """
    tell = on_moment or (lambda moment: None)
    begin, evaluations = time.perf_counter(), 0.0
    for moment in decode(job):
        tell(moment)
    expected = estimate(job)
    require_room(job, expected.bytes)
    if on_estimate is not None:
        on_estimate(expected)
    shown = 0.0
    for moment, spent in _paint(job):
        evaluations = spent
        tell(moment)
        if job.preview is not None and time.perf_counter() - shown > 1.0:
            shown = time.perf_counter()
            _show(job)
    for moment in _encode(job, expected.frames):
        tell(moment)
    facts = job.store.recall("clip") or {}
    if not keep_frames:
        job.store.remove()
    return VideoResult(
        job.output, expected.frames, expected.shots, tuple(facts["corrupt"]), evaluations,
        time.perf_counter() - begin,
    )  # fmt: skip


def _show(job: VideoJob) -> None:
    """The newest frame at the preview's path."""
    newest = [job.store.newest(f"pass{k}") for k in range(job.recipe.passes, 0, -1)]
    found = next((path for path in newest if path is not None), None)
    if found is not None and job.preview is not None:
        with suppress(OSError):
            write_file(job.preview, found.read_bytes())
