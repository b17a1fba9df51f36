"""Clips in the sandbox: the first frame, the check of a run, and all frames into the job's work folder.

The only module that loads the video package besides ``worker.clips``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from impasto.errors import ImpastoError
from impasto.pictures import Picture
from impasto.studio.errors import RefusedError
from impasto.studio.queue.inputs import JobInputs
from impasto.video.frames import open_clip, read
from impasto.video.job import VideoJob, prepare_video
from impasto.video.stages import decode
from impasto.video.store import from_pixels

__all__ = ["check_clip_run", "decode_clip", "first_frame", "prepare_clip_run"]


def first_frame(name: str) -> Picture:
    """The first frame of a clip, without its alpha."""
    try:
        frame = next(iter(read(open_clip(name))))
    except ImpastoError as error:
        raise RefusedError.from_error(error, "content") from None
    return Picture(from_pixels(frame.pixels)[:, :3])


def prepare_clip_run(
    inputs: JobInputs, copied_streams: Sequence[str], device: str, max_frames: int
) -> VideoJob:
    """The run that paints the clip in the working directory.

    Args:
        max_frames: the run reads one frame more than this, so that a clip that is too long is noticed.
    """
    styles = [f"style-{number}.png" for number in range(len(inputs.style_names))]
    return prepare_video(
        "content", styles, "result.mp4", inputs.video_recipe(), copy=copied_streams,
        mask="mask-0.png" if inputs.masks else None, limit=max_frames + 1, device=device,
    )  # fmt: skip


def check_clip_run(inputs: JobInputs) -> tuple[str, ...]:
    """Raise the ``ImpastoError`` that a run would raise before it starts painting.

    Returns:
        Kinds of the streams to copy: ``audio`` if an MP4 can hold the clip's sound.
    """
    try:
        prepare_clip_run(inputs, ("audio",), "cpu", 1).store.remove()
    except ImpastoError:
        prepare_clip_run(inputs, (), "cpu", 1).store.remove()
        return ()
    return ("audio",)


def decode_clip(folder: Path, inputs: JobInputs, copied_streams: Sequence[str], max_frames: int) -> int:
    """Write all frames of a clip into its work folder; returns how many there are.

    Raises:
        RefusedError: there are more than ``max_frames``, whatever the container's header said.
    """
    os.chdir(folder)
    run = prepare_clip_run(inputs, copied_streams, "cpu", max_frames)
    for progress in decode(run):
        if progress.done > max_frames:
            raise RefusedError(
                f"'content' has more than {max_frames} frames", "a shorter clip", "cut it", status=413
            )
    return len((run.store.recall("clip") or {"times": ()})["times"])
