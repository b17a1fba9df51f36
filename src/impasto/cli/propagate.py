"""``impasto propagate``: carry painted key frames through a clip, or name the frames worth painting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from impasto.cli.checks import check_inputs
from impasto.cli.flags import OUTPUT, Device, Output, Quiet, merge
from impasto.cli.lists import PATH_LIST
from impasto.cli.messages import count
from impasto.cli.painting import say
from impasto.cli.progress import working
from impasto.cli.video import VIDEO_MODULES, StageBars, summarise
from impasto.errors import VideoError, require_extra
from impasto.recipe import CLIP_PRESET

__all__ = ["propagate"]

KEYS = Group("Keys", sort_key=0)


def propagate(
    clip: Path,
    *,
    output: Output,
    key: Annotated[list[str] | None, Parameter(name=["--key", "-k"], group=KEYS), PATH_LIST] = None,
    suggest: Annotated[int, Parameter(group=KEYS)] = 0,
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    size: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    filling: Annotated[Literal["patches", "engine"] | None, Parameter(group=OUTPUT)] = None,
    flow: Annotated[Literal["dis", "farneback", "raft"], Parameter(group=OUTPUT)] = "dis",
    codec: Annotated[
        Literal["h264", "hevc", "vp9", "prores", "ffv1", "png"] | None, Parameter(group=OUTPUT)
    ] = None,
    crf: Annotated[int, Parameter(group=OUTPUT)] = 16,
    copy: Annotated[Literal["all", "audio", "nothing"], Parameter(group=OUTPUT)] = "all",
    fps: Annotated[float, Parameter(group=OUTPUT)] = 25.0,
    limit: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    preview: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    restart: Annotated[bool, Parameter(group=OUTPUT)] = False,
    keep_frames: Annotated[bool, Parameter(group=OUTPUT)] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> int:
    """Carry painted key frames through CLIP.

    A key frame is a frame of the clip that you have painted, by hand or with any program. Each frame between
    two of them is made from both, along the motion of the film; what neither shows is painted in their style.

    Parameters
    ----------
    clip
        Video in any format that FFmpeg reads, or a folder of pictures.
    output
        File to write: .mp4, .mov, .mkv, .webm or .avi; a folder of pictures if the name has no extension.
        With --suggest, a folder for the frames to paint.
    key
        A painted frame, as NUMBER=FILE; frames are counted from 0. Repeat the flag, or give several after it.
        Also pictures whose names end in that number, or are those of the frames of a folder, and folders of
        such pictures, as --suggest writes them.
    suggest
        Instead of painting, write the N frames from which most of the clip can be carried.
    recipe
        Recipe file of a picture, for what no key frame shows.
    size
        Long side of the result in pixels. Default: that of the key frames.
    filling
        What no key frame shows along the motion: patches of the keys where any fit the film, and the engine
        for the rest (default), or the engine alone.
    flow
        Method of the optical flow; raft needs torchvision.
    codec
        Codec of the video, as for impasto video.
    crf
        Constant rate factor of h264, hevc and vp9: 0 (lossless) to 51 (smallest file).
    copy
        What to copy from CLIP; all: sound and subtitles.
    fps
        Frames per second of a folder of pictures.
    limit
        Use only the first N frames.
    preview
        Keep writing the newest frame to this .png file.
    restart
        Start again from the first frame instead of resuming an earlier run.
    keep_frames
        Keep the folder OUTPUT.work, which has all frames.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto propagate clip.mp4 --suggest 3 -o to-paint
    impasto propagate clip.mp4 --key to-paint -o painted.mp4
    impasto propagate clip.mp4 --key 0=first.png --key 24=second.png -o painted.mp4
    """
    require_extra("video", VIDEO_MODULES, "video", VideoError)
    check_inputs([clip])
    if suggest:
        return _suggest(clip, suggest, output, flow=flow, fps=fps, limit=limit, quiet=quiet)
    files = parse_keys(key or [], _frames_by_name(clip, fps) if clip.is_dir() else {})
    check_inputs(files.values())
    with working("loading", quiet):
        from impasto.video.job import prepare_video
        from impasto.video.settings import VideoRecipe
        from impasto.video.stages import run_video

        picture = merge(CLIP_PRESET, recipe, None)
        chosen = {} if filling is None else {"key_filling": filling}
        settings = VideoRecipe(
            flow=flow, picture=picture if size is None else picture.replace(size=size), **chosen
        )
        streams = {"all": ("audio", "subtitle"), "audio": ("audio",), "nothing": ()}[copy]
        job = prepare_video(
            clip, list(files.values()), output, settings, rate=fps, codec=codec, quality=crf, copy=streams,
            limit=limit, preview=preview, device=device, restart=restart, keys=files,
        )  # fmt: skip
    with StageBars(quiet) as bars:
        try:
            result = run_video(job, on_moment=bars.show, keep_frames=keep_frames)
        except KeyboardInterrupt:
            raise VideoError("stopped", remedy="the same command continues from here") from None
    summarise(result, quiet)
    return 0


def _frames_by_name(folder: Path, rate: float) -> dict[str, int]:
    """Name of a frame → its number, of a clip that is a folder of pictures."""
    from impasto.video.frames import open_clip

    return {file.stem: index for index, file in enumerate(open_clip(folder, rate).files)}


def parse_keys(words: list[str], names: Mapping[str, int]) -> dict[int, Path]:
    """``["0=a.png", "painted/000024.png"]`` as numbers of frames with their files.

    Args:
        words: NUMBER=FILE; a picture named as its frame is, or with the number of it at the end of its name;
            or a folder of such pictures.
        names: of the frames, with their numbers; none where the clip is no folder of pictures.

    Raises:
        VideoError: no key, a word of another form, or two paintings of one frame.
    """
    keys: dict[int, Path] = {}
    for number, file in (key for word in words for key in _keys_of(word, names)):
        if number in keys:
            raise VideoError(f"two paintings of frame {number}", "one for each frame")
        keys[number] = file
    if not keys:
        raise VideoError(
            "no key frame", "--key NUMBER=FILE", "let --suggest 3 choose the frames that are worth painting"
        )
    return keys


def _keys_of(word: str, names: Mapping[str, int]) -> list[tuple[int, Path]]:
    """The key frames that a word names."""
    from impasto.pictures import READABLE_SUFFIXES

    if explicit := re.fullmatch(r"\s*(\d+)\s*=(.+)", word):
        return [(int(explicit[1]), Path(explicit[2]))]
    path = Path(word)
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    pictures = [file for file in files if file.suffix.lower() in READABLE_SUFFIXES]
    numbers = [_number_of(file.stem, names) for file in pictures]
    found = [(number, file) for number, file in zip(numbers, pictures, strict=True) if number is not None]
    if not found or len(found) < len(pictures):
        wanted = "named as the frames are" if names else "whose names end in the number of the frame"
        raise VideoError(f"the key {word!r}", f"NUMBER=FILE, as in --key 24=second.png, or pictures {wanted}")
    return found


def _number_of(name: str, names: Mapping[str, int]) -> int | None:
    """The number of the frame that a picture of this name paints."""
    if names:
        return names.get(name)
    digits = re.search(r"\d+$", name)
    return None if digits is None else int(digits[0])


def _suggest(
    clip: Path, number: int, output: Path, *, flow: str, fps: float, limit: int | None, quiet: bool
) -> int:
    with working("looking at the clip", quiet):
        from impasto.video.suggestion import write_suggested

        suggested = write_suggested(clip, number, output, flow=flow, rate=fps, limit=limit)
    for frame in suggested.frames:
        say(quiet, str(frame))
    share = f"{100 * suggested.covered:.0f} % of the clip can be carried from them"
    say(quiet, f"{count(len(suggested.frames), 'frame')} to paint in {output}: {share}")
    return 0
