"""Clips in the sandbox: the first frame, the check of a run, and all frames into the job's work folder.

The only place of the studio where a stranger's clip is opened. A worker paints from what this leaves: frames
as PNGs, the sound in a file that our own muxer wrote, and the facts as JSON.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError
from impasto.pictures import Picture
from impasto.pictures.geometry import Size
from impasto.studio.errors import RefusedError
from impasto.studio.queue.inputs import JobInputs
from impasto.video.frames import Clip, open_clip, read
from impasto.video.identity import OtherRunError
from impasto.video.job import VideoJob, prepare_video
from impasto.video.key_frames import load_keys
from impasto.video.stages import decode
from impasto.video.store import from_pixels
from impasto.video.writing import copy_streams

__all__ = [
    "check_clip_run",
    "check_keys",
    "clip_from_facts",
    "decode_clip",
    "first_frame",
    "prepare_clip_run",
]

_DISK_CHECK_FRAMES = 4  # between two looks at the space on the disk
_SOUND = "sound.mp4"


def first_frame(name: str, format: str) -> Picture:
    """The first frame of a clip, without its alpha.

    Args:
        format: FFmpeg's name of the container, which is the only one that is tried.
    """
    try:
        frame = next(iter(read(open_clip(name, format=format))))
    except ImpastoError as error:
        raise RefusedError.from_error(error, "content") from None
    return Picture(from_pixels(frame.pixels)[:, :3])


def prepare_clip_run(
    clip: Clip, inputs: JobInputs, copied_streams: Sequence[str], device: str, max_frames: int | None
) -> VideoJob:
    """The run that paints the clip in the working directory; frames of another run are thrown away.

    Args:
        max_frames: the run reads one frame more than this, so that a clip that is too long is noticed. None:
            no limit, for a run that is only checked.
    """
    limit = None if max_frames is None else max_frames + 1
    styles = inputs.style_files()

    def prepare(*, restart: bool) -> VideoJob:
        return prepare_video(
            clip, styles, "result.mp4", inputs.video_recipe(), copy=copied_streams,
            mask="mask-0.png" if inputs.masks else None, limit=limit, device=device,
            first_frame="content.png", restart=restart, keys=inputs.key_files(),
        )  # fmt: skip

    try:
        return prepare(restart=False)
    except OtherRunError:
        return prepare(restart=True)


def check_keys(inputs: JobInputs, size: Size, frames: int) -> None:
    """Refuse key frames that do not fit a clip of ``size`` (height, width); ``frames`` is 0 if not known."""
    try:
        load_keys({frame: Path(file) for frame, file in inputs.key_files().items()}, size, frames)
    except ImpastoError as error:
        raise RefusedError.from_error(error, "key") from None


def check_clip_run(inputs: JobInputs, format: str) -> tuple[str, ...]:
    """Raise the ``ImpastoError`` that a run would raise before it starts painting.

    Returns:
        Kinds of the streams to copy: ``audio`` if an MP4 can hold the clip's sound.
    """
    clip = open_clip("content", format=format)
    try:
        prepare_clip_run(clip, inputs, ("audio",), "cpu", None).store.remove()
    except ImpastoError:
        prepare_clip_run(clip, inputs, (), "cpu", None).store.remove()
        return ()
    return ("audio",)


def decode_clip(
    folder: Path,
    inputs: JobInputs,
    copied_streams: Sequence[str],
    format: str,
    max_frames: int,
    free_bytes: int,
) -> dict[str, Any]:
    """Write all frames of a clip, and its sound, into its work folder.

    Args:
        free_bytes: space to leave free on the disk.

    Returns:
        The facts that :func:`clip_from_facts` reads, and ``frames``, how many there are.

    Raises:
        RefusedError: there are more than ``max_frames``, whatever the container's header said.
        OSError: the disk is short of space.
    """
    os.chdir(folder)
    clip = open_clip("content", format=format)
    run = prepare_clip_run(clip, inputs, copied_streams, "cpu", max_frames)
    for progress in decode(run):
        if progress.done > max_frames:
            raise RefusedError(
                f"'content' has more than {max_frames} frames", "a shorter clip", "cut it", status=413
            )
        if progress.done % _DISK_CHECK_FRAMES == 0 and shutil.disk_usage(folder).free < free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sound = run.store.root / _SOUND
    has_sound = bool(copied_streams) and (sound.exists() or copy_streams(clip, sound, copied_streams))
    frames = len((run.store.recall("clip") or {"times": ()})["times"])
    return _facts(clip) | {"frames": frames, "sound": str(sound) if has_sound else None}


def _facts(clip: Clip) -> dict[str, Any]:
    return {
        "width": clip.width, "height": clip.height, "rate": str(clip.rate), "time_base": str(clip.time_base),
        "times": list(clip.times), "end": clip.end, "aspect": str(clip.aspect), "deep": clip.deep,
        "alpha": clip.alpha,
    }  # fmt: skip


def clip_from_facts(facts: Mapping[str, Any]) -> Clip:
    """The clip in the working directory, as :func:`decode_clip` found it; it is not opened again."""
    sound = facts["sound"]
    return Clip(
        path=Path("content"),
        files=(),
        width=int(facts["width"]),
        height=int(facts["height"]),
        rate=Fraction(facts["rate"]),
        time_base=Fraction(facts["time_base"]),
        times=tuple(map(int, facts["times"])),
        end=int(facts["end"]),
        aspect=Fraction(facts["aspect"]),
        deep=bool(facts["deep"]),
        alpha=bool(facts["alpha"]),
        copy_source=None if sound is None else Path("result.mp4.work") / _SOUND,
        format="mov",
    )
