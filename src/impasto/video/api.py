"""The Python API for key frames: a clip and paintings of some of its frames in, a painted clip out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from impasto.errors import VideoError
from impasto.recipe import CLIP_PRESET, preset
from impasto.video.frames import Clip
from impasto.video.job import PathLike, prepare_video
from impasto.video.settings import VideoRecipe
from impasto.video.stages import VideoProgress, VideoResult, run_video

__all__ = ["propagate"]


def propagate(
    clip: PathLike | Clip,
    keys: Mapping[int, PathLike],
    output: PathLike,
    *,
    recipe: VideoRecipe | None = None,
    on_moment: Callable[[VideoProgress], None] | None = None,
    keep_frames: bool = False,
    **options: Any,
) -> VideoResult:
    """Carry painted key frames through a clip, as ``impasto propagate`` does.

    Args:
        clip: a video file, or a folder of pictures.
        keys: number of a frame, from 0 → the file of its painting. All have the same size, which is that of
            the result unless the recipe has another, and the clip's shape. What is transparent in them is not
            painted: there the film shows, or the result is transparent where the output can be.
        output: .mp4, .mov, .mkv, .webm or .avi, or a folder for numbered PNG files.
        recipe: None: the defaults. What no key frame shows is painted as by the preset ``classic``; finishing
            is left out.
        on_moment: called after each frame.
        keep_frames: keep the work folder beside the output.
        options: rate, codec, quality, copy, limit, preview, device, restart, as of
            :func:`impasto.video.job.prepare_video`.

    Raises:
        VideoError, PictureError, RecipeError: one line each, all of them ``ImpastoError``.

    Example:
        >>> import impasto
        >>> keys = {0: "first.png", 24: "second.png"}
        >>> impasto.propagate("clip.mp4", keys, "painted.mp4")  # doctest: +SKIP
    """
    if not keys:
        raise VideoError("no key frame", "numbers of frames with their paintings")
    recipe = recipe or VideoRecipe(picture=preset(CLIP_PRESET))
    job = prepare_video(clip, list(keys.values()), output, recipe, keys=keys, **options)
    return run_video(job, on_moment=on_moment, keep_frames=keep_frames)
