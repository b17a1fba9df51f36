"""Runs a job: decode, estimate, paint shot by shot, encode. A run that was killed can be resumed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError, VideoError
from impasto.files import readable_size, replacing
from impasto.machine import keep_memory
from impasto.painting import engine, schedule
from impasto.pictures.geometry import fit, resample
from impasto.pieces.places import executor_for
from impasto.pieces.running import PieceProgress, run_pieces
from impasto.recipe import Recipe
from impasto.scene import Scene
from impasto.video import cuts
from impasto.video.ahead import computed_ahead
from impasto.video.boundary import video_errors
from impasto.video.clip_context import (
    build_clip_context,
    fill_recipe,
    following_recipe,
    frame_recipe,
)
from impasto.video.cuts import Shot
from impasto.video.frame_painting import apply_mask
from impasto.video.frames import Frame, open_clip, read
from impasto.video.instant_painting import build_instant_clip
from impasto.video.job import VideoJob
from impasto.video.needs import shot_needs
from impasto.video.propagation import propagate_shot
from impasto.video.shot_painting import ShotPiece, shot_painter
from impasto.video.store import from_pixels, read_png, to_pixels, write_file
from impasto.video.writing import write

__all__ = [
    "VideoEstimate",
    "VideoProgress",
    "VideoResult",
    "decode",
    "estimate",
    "finished_frames",
    "run_video",
]

PREVIEW_INTERVAL = 1.0  # seconds


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


@dataclass(frozen=True)
class VideoEstimate:
    """What a run will take: frames, shots, seconds of painting on this machine, bytes of the work folder."""

    frames: int
    shots: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class VideoResult:
    """A finished clip.

    Attributes:
        corrupt: indices of frames that could not be decoded and repeat their neighbour.
        iterations: made by this run in this process, counted at full size.
    """

    path: Path
    frames: int
    shots: int
    corrupt: tuple[int, ...]
    iterations: float
    seconds: float


# -- decode ------------------------------------------------------------------------------------------------


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
            yield resample(_luma(still.pixels), job.size)
    for frame in read(open_clip(job.mask, job.clip.rate)):
        yield resample(_luma(from_pixels(frame.pixels)), job.size)
    raise VideoError(
        f"the mask '{job.mask}' has fewer frames than the clip",
        "as many frames",
        "give one mask for each frame",
    )


def _luma(picture: Tensor) -> Tensor:
    red, green, blue = picture[:, :1], picture[:, 1:2], picture[:, 2:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


# -- paint -------------------------------------------------------------------------------------------------


def _shots(job: VideoJob) -> list[Shot]:
    facts = _clip_facts(job)
    return cuts.split_into_shots(len(facts["times"]), facts["cuts"])


def _clip_facts(job: VideoJob) -> dict[str, Any]:
    """What :func:`decode` stored about the clip: times, corrupt frames and cuts."""
    facts = job.store.recall("clip")
    assert facts is not None, "`decode` runs first"
    return facts


def estimate(job: VideoJob) -> VideoEstimate:
    """What painting will take at most, extrapolated from two iterations that are timed, or one instant frame.

    Call it after :func:`decode` has run to its end.
    """
    shots = _shots(job)
    frames = sum(shot.end - shot.first for shot in shots)
    if job.recipe.picture.method == "instant":
        seconds = frames * _seconds_per_instant_frame(job)
    else:
        seconds = _iterations_of_clip(job, frames, len(shots)) * _seconds_per_iteration(job)
    frame_bytes = job.size[0] * job.size[1] * 3 * (1 if job.store.levels == 255 else 2)
    return VideoEstimate(
        frames,
        len(shots),
        seconds / min(job.processes, len(shots)),
        frames * frame_bytes * (1 + job.recipe.passes),
    )


def _seconds_per_instant_frame(job: VideoJob) -> float:
    """Seconds that the network takes for a frame, measured on a grey one."""
    clip = build_instant_clip(job.styles, job.recipe, job.encoder, *job.size, saved=job.saved_styles)
    grey = torch.full((1, 3, *job.size), 0.5)
    moments = clip.moments(grey)
    clip.begin(grey, moments)  # the first one takes longer
    begin = time.perf_counter()
    clip.finish(clip.begin(grey, moments, grey), grey)
    return time.perf_counter() - begin


def _iterations_of_clip(job: VideoJob, frames: int, shots: int) -> float:
    """Iterations that all frames take at most, counted at full size."""
    alone, following = _iterations(job)
    painted_alone = frames if job.recipe.independent else shots
    later_passes = frames * (job.recipe.passes - 1)
    return painted_alone * alone + (frames - painted_alone + later_passes) * following


def _seconds_per_iteration(job: VideoJob) -> float:
    """Seconds per iteration at full size, measured at half the size, where a pixel costs the same."""
    height, width = job.size
    small = fit(height, width, max(64, max(height, width) // 2))
    scene = Scene(torch.full((1, 3, *small), 0.5), job.styles)
    recipe = job.recipe.picture.replace(size=max(small), coarsest=max(small), iterations=(2,), init="content")
    begin = time.perf_counter()
    for _ in engine.steps(scene, recipe, job.encoder):
        pass
    # Two iterations, and the style statistics, which take about as long as one.
    seconds = (time.perf_counter() - begin) / 3.0
    return seconds * height * width / (small[0] * small[1])


def _iterations(job: VideoJob) -> tuple[float, float]:
    """Iterations of a frame painted by itself and of one that follows another, counted at full size."""
    area = job.size[0] * job.size[1]

    def cost(recipe: Recipe) -> float:
        sizes = schedule.scale_sizes(recipe, *job.size)
        iterations = schedule.max_evaluations(recipe, sizes)
        return sum(n * height * width / area for n, (height, width) in zip(iterations, sizes, strict=True))

    following = cost(following_recipe(job.recipe, *job.size)) + cost(fill_recipe(job.recipe, *job.size))
    return cost(frame_recipe(job.recipe)), following


def require_room(job: VideoJob, needed: int) -> None:
    """Raise ``VideoError`` when the disk does not have the ``needed`` bytes for the work folder."""
    free = shutil.disk_usage(job.output.parent).free
    if _painted_count(job) == 0 and needed > free:
        raise VideoError(
            f"the work folder needs up to {readable_size(needed)}, and {readable_size(free)} are free",
            remedy="make room, or paint smaller with --size",
        )


def _painted_count(job: VideoJob) -> int:
    """Number of painted frames in the work folder, in all passes."""
    return sum(job.store.count(kind) for kind in _passes(job))


def _passes(job: VideoJob) -> list[str]:
    """The kinds of painted frames in the store: ``pass1``, ``pass2``, …"""
    return [f"pass{number}" for number in range(1, job.recipe.passes + 1)]


def _paint(job: VideoJob, told: Callable[[VideoProgress], None]) -> float:
    """Paint all shots; returns the iterations that this process has made, counted at full size."""
    shots = _shots(job)
    job.store.make(*_passes(job))
    if job.keys:
        return _paint_from_keys(job, shots, told)
    if min(job.processes, len(shots)) == 1 and job.on == "local":
        return _paint_here(job, shots, told)
    _paint_elsewhere(job, shots, told)
    return 0.0


def _paint_here(job: VideoJob, shots: Sequence[Shot], told: Callable[[VideoProgress], None]) -> float:
    keep_memory()
    begin, done, fresh, iterations = time.perf_counter(), 0, 0, 0.0
    total = sum(shot.end - shot.first for shot in shots) * job.recipe.passes
    paint = shot_painter(
        job.styles, job.recipe, job.encoder, job.size, job.store.levels, saved=job.saved_styles
    )
    for shot in shots:
        for _, _, painted in paint(job.store, shot):
            done += 1
            fresh += painted is not None
            iterations += painted.iterations if painted is not None else 0.0
            told(VideoProgress("paint", done, total, fresh, time.perf_counter() - begin))
    return iterations


def _paint_from_keys(job: VideoJob, shots: Sequence[Shot], told: Callable[[VideoProgress], None]) -> float:
    """Carry the key frames through their shots."""
    keep_memory()
    begin, done, fresh = time.perf_counter(), 0, 0
    total = sum(shot.end - shot.first for shot in shots)
    if job.keys[-1].index >= total:
        raise VideoError(f"key {job.keys[-1].index} is not in the clip", f"it has {total} frames, from 0")
    context = build_clip_context(job.styles, job.recipe, job.encoder, *job.size, levels=job.store.levels)
    for shot in shots:
        for _, painted in propagate_shot(job.store, shot, job.keys, context):
            done, fresh = done + 1, fresh + painted
            told(VideoProgress("paint", done, total, fresh, time.perf_counter() - begin))
    return 0.0


def _paint_elsewhere(job: VideoJob, shots: Sequence[Shot], told: Callable[[VideoProgress], None]) -> None:
    """Paint the shots as pieces of work, in several processes or on a cluster."""
    begin, before = time.perf_counter(), _painted_count(job)
    total = sum(shot.end - shot.first for shot in shots) * job.recipe.passes
    # The longest shots first, so that no process has to paint one alone at the end.
    pieces = [
        ShotPiece(job.store, shot, job.styles, job.recipe, job.size, str(job.device), job.saved_styles)
        for shot in sorted(shots, key=lambda shot: shot.first - shot.end)
    ]
    missing = [piece for piece in pieces if not piece.is_done()]

    def show(progress: PieceProgress) -> None:
        fresh = round(progress.share * (total - before))
        told(VideoProgress("paint", before + fresh, total, fresh, time.perf_counter() - begin))

    executor = executor_for(
        # Counted with those that are done, so that a resumed run paints with as many threads.
        job.on,
        len(pieces),
        processes=job.processes,
        device=str(job.device),
        needs=shot_needs(job.recipe.picture, job.encoder, job.size),
    )
    for outcome in run_pieces(missing, executor, on_progress=show):
        if outcome.error is not None:
            label = missing[outcome.index].label
            raise VideoError(f"{label} could not be painted: {outcome.error}", remedy="run it again")


# -- encode ------------------------------------------------------------------------------------------------


def finished_frames(job: VideoJob) -> Iterator[tuple[int, Any]]:
    """(time, pixels) of every painted frame, with the film where its mask is black, and the film's alpha."""
    for index, frame_time in enumerate(_clip_facts(job)["times"]):
        painted = read_png(job.store.frame(_passes(job)[-1], index))
        if job.clip.alpha or job.mask is not None:
            filmed = job.store.load("input", index)
            mask = job.store.load("mask", index) if job.mask is not None else None
            masked = apply_mask(from_pixels(painted), filmed[:, :3], mask)
            masked = torch.cat([masked, filmed[:, 3:]], dim=1) if filmed.shape[1] == 4 else masked
            painted = to_pixels(masked, job.store.levels)
        yield frame_time, painted


def _encode(job: VideoJob, total: int, report: Callable[[VideoProgress], None]) -> None:
    begin = time.perf_counter()
    if job.codec is None:
        for progress in _write_folder(job, total, begin):
            report(progress)
        return

    def reported_frames() -> Iterator[tuple[int, Any]]:
        for index, frame in enumerate(finished_frames(job)):
            report(VideoProgress("encode", index, total, index, time.perf_counter() - begin))
            yield frame

    # Encoded in the work folder, so that a killed run leaves no other files behind.
    encoded = job.store.root / job.output.name
    write(encoded, reported_frames(), job.clip, job.codec, quality=job.quality, copy=job.copy)
    with video_errors(f"'{job.output}' cannot be written"), replacing(job.output) as partial:
        shutil.move(encoded, partial)
    report(VideoProgress("encode", total, total, total, time.perf_counter() - begin))


def _write_folder(job: VideoJob, total: int, begin: float) -> Iterator[VideoProgress]:
    """Write pictures, named as those of the source, or numbered from 000001."""
    with video_errors(f"'{job.output}' cannot be written"):
        job.output.mkdir(exist_ok=True)
    for index, (_, pixels) in enumerate(finished_frames(job)):
        name = job.clip.files[index].stem if job.clip.files else f"{index + 1:06d}"
        picture = from_pixels(pixels)
        alpha = picture[:, 3:] if picture.shape[1] == 4 else None
        pictures.save(job.output / f"{name}.png", picture[:, :3], alpha=alpha)
        yield VideoProgress("encode", index + 1, total, index + 1, time.perf_counter() - begin)


# -- all stages --------------------------------------------------------------------------------------------


def run_video(
    job: VideoJob,
    *,
    on_moment: Callable[[VideoProgress], None] | None = None,
    on_estimate: Callable[[VideoEstimate], None] | None = None,
    keep_frames: bool = False,
) -> VideoResult:
    """Paint a prepared clip: decode, estimate, paint, encode.

    When it is killed at any moment and run again, it continues at the next frame, and the result has the
    same bytes as without the interruption.

    Args:
        on_moment: called after each frame.
        on_estimate: called once, before the painting.
        keep_frames: do not delete the work folder at the end.
    """
    report = on_moment or (lambda progress: None)
    begin, previewed = time.perf_counter(), 0.0

    def painted(progress: VideoProgress) -> None:
        nonlocal previewed
        report(progress)
        if job.preview is not None and time.perf_counter() - previewed > PREVIEW_INTERVAL:
            previewed = time.perf_counter()
            _write_preview(job, job.preview)

    for progress in decode(job):
        report(progress)
    expected = estimate(job)
    require_room(job, expected.bytes)
    if on_estimate is not None:
        on_estimate(expected)
    iterations = _paint(job, painted)
    _encode(job, expected.frames, report)
    corrupt = tuple(_clip_facts(job)["corrupt"])
    if not keep_frames:
        job.store.remove()
    seconds = time.perf_counter() - begin
    return VideoResult(job.output, expected.frames, expected.shots, corrupt, iterations, seconds)


def _write_preview(job: VideoJob, path: Path) -> None:
    """Copy the newest frame of the latest pass to ``path``."""
    newest = next(filter(None, (job.store.newest(kind) for kind in reversed(_passes(job)))), None)
    if newest is not None:
        with suppress(OSError):  # the frame may be deleted or replaced meanwhile
            write_file(path, newest.read_bytes())
