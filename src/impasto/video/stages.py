"""Runs a job: decode, estimate, paint shot by shot, encode. A run that was killed can be resumed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import VideoError
from impasto.files import readable_size
from impasto.machine import keep_memory
from impasto.pieces.places import executor_for
from impasto.pieces.running import PieceProgress, run_pieces
from impasto.video.clip_context import build_clip_context
from impasto.video.cuts import Shot
from impasto.video.decoding import VideoProgress, decode, shots_of
from impasto.video.encoding import encode
from impasto.video.estimating import VideoEstimate, estimate
from impasto.video.job import VideoJob, clip_facts, pass_names
from impasto.video.parts import Part, parts_of
from impasto.video.propagation import propagate_shot
from impasto.video.shot_painting import ShotPiece, shot_painter
from impasto.video.store import write_file

__all__ = [
    "VideoEstimate",
    "VideoProgress",
    "VideoResult",
    "decode",
    "estimate",
    "run_video",
]

PREVIEW_INTERVAL = 1.0  # seconds


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


# -- paint -------------------------------------------------------------------------------------------------


def require_room(job: VideoJob, needed: int) -> None:
    """Raise ``VideoError`` when the disk does not have the ``needed`` bytes for the painted frames."""
    free = shutil.disk_usage(job.output.parent).free
    if _painted_count(job) == 0 and needed > free:
        raise VideoError(
            f"the painted frames need up to {readable_size(needed)}, and {readable_size(free)} are free",
            remedy="make room, or paint smaller with --size",
        )


def _painted_count(job: VideoJob) -> int:
    """Number of painted frames in the work folder, in all passes."""
    return sum(
        store.count(kind) for store in (job.store, job.store.beside("odd")) for kind in pass_names(job)
    )


def _paint(job: VideoJob, told: Callable[[VideoProgress], None]) -> float:
    """Paint all shots; returns the iterations that this process has made, counted at full size."""
    job.store.make(*pass_names(job))
    if job.keys:
        return _paint_from_keys(job, shots_of(job), told)
    parts = parts_of(job)
    for part in parts:
        part.store(job.store).make("reference", *pass_names(job))
    if min(job.processes, len(parts)) == 1 and job.on == "local":
        return _paint_here(job, parts, told)
    _paint_elsewhere(job, parts, told)
    return 0.0


def _frames_to_paint(job: VideoJob, parts: Sequence[Part]) -> int:
    """Of all passes, those that two parts share counted twice."""
    return sum(part.frames.length for part in parts) * job.recipe.passes


def _paint_here(job: VideoJob, parts: Sequence[Part], told: Callable[[VideoProgress], None]) -> float:
    keep_memory()
    begin, done, fresh, iterations = time.perf_counter(), 0, 0, 0.0
    total = _frames_to_paint(job, parts)
    paint = shot_painter(
        job.styles, job.recipe, job.encoder, job.size, job.store.levels, saved=job.saved_styles
    )
    for part in parts:
        for _, _, painted in paint(part.store(job.store), part.frames):
            done += 1
            fresh += painted is not None
            iterations += painted.iterations if painted is not None else 0.0
            told(VideoProgress("paint", done, total, fresh, time.perf_counter() - begin))
    return iterations


def _paint_from_keys(job: VideoJob, shots: Sequence[Shot], told: Callable[[VideoProgress], None]) -> float:
    """Carry the key frames through their shots."""
    keep_memory()
    begin, done, fresh = time.perf_counter(), 0, 0
    total = sum(shot.length for shot in shots)
    if job.keys[-1].index >= total:
        raise VideoError(f"key {job.keys[-1].index} is not in the clip", f"it has {total} frames, from 0")
    if job.has_cover:
        job.store.make("cover")
    context = build_clip_context(job.styles, job.recipe, job.encoder, *job.size, levels=job.store.levels)
    for shot in shots:
        for _, painted in propagate_shot(job.store, shot, job.keys, context):
            done, fresh = done + 1, fresh + painted
            told(VideoProgress("paint", done, total, fresh, time.perf_counter() - begin))
    return 0.0


def _paint_elsewhere(job: VideoJob, parts: Sequence[Part], told: Callable[[VideoProgress], None]) -> None:
    """Paint shots and parts as pieces of work, in several processes or on a cluster."""
    begin, before = time.perf_counter(), _painted_count(job)
    total = _frames_to_paint(job, parts)
    # The longest first, so that no process has to paint one alone at the end.
    pieces = [
        ShotPiece(
            part.store(job.store), part.frames, job.styles, job.recipe, job.size, job.shot_device,
            job.saved_styles,
        )
        for part in sorted(parts, key=lambda part: part.frames.first - part.frames.end)
    ]  # fmt: skip
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
        needs=job.shot_needs,
    )
    for outcome in run_pieces(missing, executor, on_progress=show):
        if outcome.error is not None:
            label = missing[outcome.index].label
            raise VideoError(f"{label} could not be painted: {outcome.error}", remedy="run it again")


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
    require_room(job, expected.painted_bytes)
    if on_estimate is not None:
        on_estimate(expected)
    iterations = _paint(job, painted)
    begun = time.perf_counter()
    encode(
        job, lambda done: report(
            VideoProgress("encode", done, expected.frames, done, time.perf_counter() - begun)
        )
    )  # fmt: skip
    corrupt = tuple(clip_facts(job)["corrupt"])
    if not keep_frames:
        job.store.remove()
    seconds = time.perf_counter() - begin
    return VideoResult(job.output, expected.frames, expected.shots, corrupt, iterations, seconds)


def _write_preview(job: VideoJob, path: Path) -> None:
    """Copy the newest frame of the latest pass to ``path``."""
    newest = next(filter(None, (job.store.newest(kind) for kind in reversed(pass_names(job)))), None)
    if newest is not None:
        with suppress(OSError):  # the frame may be deleted or replaced meanwhile
            write_file(path, newest.read_bytes())
