"""Paints a clip job: frames are decoded in the sandbox; what was painted before a cancellation is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from PIL import Image

from impasto import api
from impasto.errors import ImpastoError
from impasto.pictures.geometry import resample
from impasto.studio.sandbox.clips import clip_from_facts, decode_clip, prepare_clip_run
from impasto.studio.sandbox.isolation import SandboxedCall
from impasto.studio.sandbox.landlock import Fence
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.pictures import prepare_run
from impasto.video.encoding import finished_frames
from impasto.video.job import VideoJob
from impasto.video.stages import VideoProgress, run_video
from impasto.video.writing import write

__all__ = ["paint_clip"]

_POLL_SECONDS = 0.2  # between two checks whether decoding has ended
# Settings of the small painting of the first frame that shows the style while the clip is being decoded.
_FIRST_FRAME_SIZE = 256
_FIRST_FRAME_SETTINGS = {"coarsest": 128, "iterations": (40, 20)}
# Progress after decoding and after painting. Painting takes nearly all of the time.
_DECODED, _PAINTED = 0.05, 0.95


class _StoppedError(Exception):
    """The client cancelled, or the time for one job is over; ends the run from within a callback."""


def paint_clip(claimed: ClaimedJob, device: str) -> str | None:
    """Paint the clip in the working directory; returns the name of the result's file.

    Returns:
        None if the job was stopped before a frame was painted.
    """
    copied_streams = claimed.job.files["copy"]
    try:
        facts = _decode(claimed, device)
    except _StoppedError:
        return None
    clip, frames = clip_from_facts(facts), int(facts["frames"])
    run = prepare_clip_run(clip, claimed.inputs, copied_streams, device, claimed.settings.frames)
    claimed.report_progress(force=True, frames=frames, progress=_DECODED)
    try:
        run_video(run, on_moment=_reporter(claimed, run, frames))
    except _StoppedError:
        return None if claimed.deleted else _write_painted_part(claimed, run, frames)
    return "result.mp4"


def _decode(claimed: ClaimedJob, device: str) -> dict[str, Any]:
    """Have the clip decoded in the sandbox, and paint its first frame small meanwhile."""
    settings = claimed.settings
    with SandboxedCall(
        decode_clip, claimed.folder, claimed.inputs, claimed.job.files["copy"], claimed.job.files["format"],
        settings.frames, settings.free_bytes, memory=settings.decode_bytes, seconds=settings.clip_seconds,
        fence=Fence((claimed.folder,)),
    ) as decoding:  # fmt: skip
        if not claimed.preview_count:
            with suppress(ImpastoError):  # only a preview: the run itself reports what is wrong
                _preview_first_frame(claimed, device)
        while not decoding.wait(_POLL_SECONDS):
            _report_or_stop(claimed, progress=0.0)
        facts: dict[str, Any] = decoding.result()
        return facts


def _report_or_stop(claimed: ClaimedJob, **columns: Any) -> None:
    if not claimed.report_progress(**columns):
        raise _StoppedError


def _preview_first_frame(claimed: ClaimedJob, device: str) -> None:
    """Paint the first frame small while the others are being decoded."""
    shape = (claimed.job.height, claimed.job.width)
    size = min(_FIRST_FRAME_SIZE, max(shape))
    recipe = claimed.inputs.picture_recipe().replace(**_FIRST_FRAME_SETTINGS, size=size)
    run = prepare_run(claimed, recipe, device)
    result = api.run(run, stop=lambda: not claimed.report_progress(progress=0.0))
    claimed.publish_preview(resample(result.pixels, shape))
    _report_or_stop(claimed, force=True, progress=0.0)


def _reporter(claimed: ClaimedJob, run: VideoJob, frames: int) -> Callable[[VideoProgress], None]:
    """A callback for ``run_video`` that reports progress and publishes the newest frame as preview."""

    def on_progress(video: VideoProgress) -> None:
        is_painting, is_encoding = video.stage == "paint", video.stage == "encode"
        eta = None
        if is_painting and video.fresh:
            eta = video.seconds / video.fresh * (video.total - video.done)
        if is_painting:
            progress = _DECODED + (_PAINTED - _DECODED) * video.done / max(1, video.total)
        elif is_encoding:
            progress = _PAINTED + (1.0 - _PAINTED) * video.done / max(1, video.total)
        else:
            progress = _DECODED
        newly_painted = is_painting and video.fresh and claimed.preview_due()
        if newly_painted or (is_encoding and not video.done):
            _publish_newest_frame(claimed, run)
        frame = frames if is_encoding else min(video.done, frames)
        wanted = claimed.report_progress(progress=progress, eta=eta, frame=frame, frames=frames)
        if not wanted and is_encoding and not claimed.deleted:
            claimed.sign_of_life()  # all is painted: what is being encoded is what a cancelled job keeps
        elif not wanted:
            raise _StoppedError

    return on_progress


def _publish_newest_frame(claimed: ClaimedJob, run: VideoJob) -> None:
    path = run.store.newest(f"pass{run.recipe.passes}") or run.store.newest("pass1")
    if path is not None:
        with Image.open(path) as frame:
            claimed.publish_preview(frame)


def _write_painted_part(claimed: ClaimedJob, run: VideoJob, frames: int) -> str | None:
    """Encode a stopped clip up to the last painted frame; without its sound, which would be longer."""
    last_pass = f"pass{run.recipe.passes}"
    painted = next((index for index in range(frames) if not run.store.has(last_pass, index)), frames)
    if not painted or run.codec is None:
        return None

    def painted_frames() -> Iterator[tuple[int, Any]]:
        for frame in islice(finished_frames(run), painted):
            claimed.sign_of_life()
            if claimed.deleted:
                raise _StoppedError
            yield frame

    try:
        write(run.output, painted_frames(), run.clip, run.codec, quality=run.quality, copy=())
    except _StoppedError:
        return None
    return "result.mp4"
