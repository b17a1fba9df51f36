"""``impasto propagate``: carry painted key frames through a clip, or name the frames worth painting."""

from __future__ import annotations

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
    impasto propagate clip.mp4 --key 0=first.png --key 24=second.png -o painted.mp4
    """
    require_extra("video", VIDEO_MODULES, "video", VideoError)
    check_inputs([clip])
    if suggest:
        return _suggest(clip, suggest, output, flow=flow, fps=fps, limit=limit, quiet=quiet)
    files = parse_keys(key or [])
    check_inputs(files.values())
    with working("loading", quiet):
        from impasto.video.job import prepare_video
        from impasto.video.settings import VideoRecipe
        from impasto.video.stages import run_video

        picture = merge("fast", recipe, None)
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


def parse_keys(words: list[str]) -> dict[int, Path]:
    """``["0=a.png", "24=b.png"]`` as numbers of frames with their files.

    Raises:
        VideoError: no key, a word of another form, or two paintings of one frame.
    """
    keys: dict[int, Path] = {}
    for word in words:
        number, equals, file = word.partition("=")
        if not equals or not number.strip().isdigit() or not file:
            raise VideoError(f"the key {word!r}", "NUMBER=FILE, as in --key 24=second.png")
        if int(number) in keys:
            raise VideoError(f"two paintings of frame {int(number)}", "one for each frame")
        keys[int(number)] = Path(file)
    if not keys:
        raise VideoError(
            "no key frame", "--key NUMBER=FILE", "let --suggest 3 choose the frames that are worth painting"
        )
    return keys


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
