"""``impasto video`` and ``impasto video-report``: paint a clip, and measure how steady it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from impasto.cli.checks import check_inputs
from impasto.cli.flags import (
    MASK_SETTINGS,
    OUTPUT,
    Device,
    Output,
    Preset,
    Quiet,
    flag,
    merge,
    recipe_flags,
    typed,
)
from impasto.cli.lists import VALUE_LIST
from impasto.cli.messages import count, duration
from impasto.cli.painting import note, say
from impasto.cli.progress import ProgressBar, working
from impasto.errors import VideoError, require_extra
from impasto.files import readable_size
from impasto.recipe import CLIP_PRESET
from impasto.video.settings import OLD_NAMES, VideoRecipe, VideoSettings

if TYPE_CHECKING:
    from impasto.video.stages import VideoEstimate, VideoProgress, VideoResult

__all__ = ["VIDEO_MODULES", "StageBars", "summarise", "video", "video_report"]

VIDEO_MODULES = ("av", "cv2")
REPORT_MODULES = ("jinja2", "matplotlib")
VIDEO = Group("Video", help="Settings that only a video has.", sort_key=1)
RECIPE = Group("Recipe", help="Settings of each frame as a picture.", sort_key=2)

VideoFlags = recipe_flags(
    "video",
    shown={"size": "that of the clip"},
    choices={
        "init": Literal["content", "instant", "noise", "style-colours"],
        "colours": Literal["style", "content", "match"],
    },
    without=dict.fromkeys(MASK_SETTINGS, "a clip has no regions") | {"method": "the preset decides"},
)


def video(
    clip: Path,
    style: list[Path],
    *,
    output: Output,
    preset: Preset = CLIP_PRESET,
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    codec: Annotated[
        Literal["h264", "hevc", "vp9", "prores", "ffv1", "png"] | None, Parameter(group=OUTPUT)
    ] = None,
    crf: Annotated[int, Parameter(group=OUTPUT)] = 16,
    quality: Annotated[int | None, Parameter(show=False)] = None,
    copy: Annotated[Literal["all", "audio", "nothing"], Parameter(group=OUTPUT)] = "all",
    fps: Annotated[float, Parameter(group=OUTPUT)] = 25.0,
    mask: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    limit: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    processes: Annotated[int, Parameter(group=OUTPUT)] = 1,
    on: Annotated[str, Parameter(group=OUTPUT, metavar="PLACE")] = "local",
    gpus_per_piece: Annotated[float, Parameter(group=OUTPUT)] = 0.0,
    part_frames: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    preview: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    restart: Annotated[bool, Parameter(group=OUTPUT)] = False,
    keep_frames: Annotated[bool, Parameter(group=OUTPUT)] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    evaluations: Annotated[int | None, Parameter(show=False)] = None,
    fill_evaluations: Annotated[list[int] | None, Parameter(show=False), VALUE_LIST] = None,
    video_settings: Annotated[VideoSettings | None, Parameter(name="*", group=VIDEO)] = None,
    settings: Annotated[VideoFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Paint CLIP in the manner of STYLE, with each frame following on from the previous one.

    A run that was stopped or killed is resumed by the same command.

    Parameters
    ----------
    clip
        Video in any format that FFmpeg reads, or a folder of pictures.
    style
        Picture whose strokes, colours and patterns are used. Several pictures are blended. With --preset
        instant also files of `impasto learn`.
    output
        File to write: .mp4, .mov, .mkv, .webm or .avi; a folder of pictures if the name has no extension.
    preset
        Settings of each frame to start from, as in `impasto stylize`. fast and fine: strokes as in pictures,
        for shots of a second or two. instant: several frames a second, by a trained network.
    recipe
        Recipe file of a picture to use. It overrides the preset, and flags override it.
    codec
        Codec of the video; prores, ffv1 and png are for further editing. Default: vp9 in .webm, otherwise
        h264.
    crf
        Constant rate factor of h264, hevc and vp9: 0 (lossless) to 51 (smallest file).
    quality
        The old name of --crf.
    copy
        What to copy from CLIP; all: sound and subtitles.
    fps
        Frames per second of a folder of pictures.
    mask
        Picture, folder or clip: white is painted, black stays as filmed.
    limit
        Paint only the first N frames.
    processes
        Number of shots, or parts of long ones, to paint at the same time.
    on
        Where to paint the shots. local: on this machine; ray: the Ray cluster of this machine, or one that is
        started; ray://HOST:PORT: a cluster; auto: a Ray that runs already, or else local.
    gpus_per_piece
        GPUs that a shot takes on a Ray cluster; 0.5 shares one between two.
    part_frames
        Cut longer shots into parts of about N frames, which are painted at the same time and joined over 12
        frames; 0: never. Default: only where more can be painted at the same time than there are shots.
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
    evaluations
        The old name of --following-iterations.
    fill_evaluations
        The old name of --fill-iterations.

    Examples
    --------
    impasto video clip.mp4 painting.jpg -o painted.mp4
    impasto video clip.mp4 painting.jpg -o painted.mp4 --size 640 --preview now.png
    impasto video clip.mp4 painting.jpg -o painted.mp4 --preset instant
    impasto video frames/ painting.jpg -o painted.mov --fps 24 --codec prores
    """
    require_extra("video", VIDEO_MODULES, "video", VideoError)
    check_inputs([clip, *style, *([mask] if mask else [])])
    old_settings = {"evaluations": evaluations, "fill_evaluations": fill_evaluations}
    renamed = {name: value for name, value in old_settings.items() if value is not None}
    for name in renamed:
        _note_new_name(quiet, flag(name), flag(OLD_NAMES[name]))
    if quality is not None:
        _note_new_name(quiet, "--quality", "--crf")
        crf = quality
    with working("loading", quiet):
        from impasto.video.job import prepare_video
        from impasto.video.stages import run_video

        video_recipe = VideoRecipe(
            **typed(video_settings), **renamed, picture=merge(preset, recipe, settings)
        )
        streams = {"all": ("audio", "subtitle"), "audio": ("audio",), "nothing": ()}[copy]
        job = prepare_video(
            clip, style, output, video_recipe, rate=fps, codec=codec, quality=crf, copy=streams, mask=mask,
            limit=limit, processes=processes, on=on, preview=preview, device=device, restart=restart,
            part_frames=part_frames, gpus_per_piece=gpus_per_piece,
        )  # fmt: skip
    with StageBars(quiet) as bars:
        try:
            result = run_video(job, on_moment=bars.show, on_estimate=bars.announce, keep_frames=keep_frames)
        except KeyboardInterrupt:
            raise VideoError("stopped", remedy="the same command continues from here") from None
    summarise(result, quiet)
    return 0


def _note_new_name(quiet: bool, old: str, new: str) -> None:
    note(quiet, f"{old} of `impasto video` is now called {new}; the old name will be removed")


def summarise(result: VideoResult, quiet: bool) -> None:
    """Print what was painted, and which frames could not be decoded."""
    if result.corrupt:
        numbers = ", ".join(str(index) for index in result.corrupt[:8])
        more = "" if len(result.corrupt) <= 8 else f" and {len(result.corrupt) - 8} more"
        noun = "frame" if len(result.corrupt) == 1 else "frames"
        # Printed even with --quiet, because something did go wrong.
        note(False, f"{noun} {numbers}{more} could not be decoded and repeat their neighbour")
    seconds_per_frame = result.seconds / max(result.frames, 1)
    frames, shots = count(result.frames, "frame"), count(result.shots, "shot")
    say(quiet, f"painted {result.path} ({frames}, {shots}, {seconds_per_frame:.2f} s a frame)")


class StageBars:
    """A progress bar for each stage of a run, one after the other."""

    TITLES = {"decode": "decoding", "paint": "painting", "encode": "encoding"}  # noqa: RUF012

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.stage = quiet, ""
        self._bar: ProgressBar | None = None

    def __enter__(self) -> StageBars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def announce(self, expected: VideoEstimate) -> None:
        """Print the expected time and disk space before painting starts."""
        self._close()
        note(
            self.quiet,
            f"{count(expected.frames, 'frame')} in {count(expected.shots, 'shot')}: at most about "
            f"{duration(expected.seconds)}, up to {readable_size(expected.bytes)} in the work folder",
        )

    def show(self, progress: VideoProgress) -> None:
        """Update the stage's bar, whose time left counts only the frames that an earlier run has not done."""
        if self._bar is None or progress.stage != self.stage:
            self._close()
            self.stage = progress.stage
            self._bar = ProgressBar(self.quiet, self.TITLES[progress.stage]).__enter__()
        text = f"frame {progress.done} of {progress.total}"
        if progress.stage == "paint" and progress.fresh:
            text += f", {progress.seconds / progress.fresh:.2f} s a frame"
        left = progress.total - progress.done
        if left:
            self._bar.update(progress.fresh / (progress.fresh + left), text)
        else:
            self._bar.finish(text)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None


def video_report(
    clip: Path,
    result: Path,
    *,
    output: Output,
    baseline: Annotated[list[Path] | None, Parameter(group=OUTPUT)] = None,
    flow: Annotated[Literal["dis", "farneback", "raft"], Parameter(group=OUTPUT)] = "dis",
    fps: Annotated[float, Parameter(group=OUTPUT)] = 25.0,
    limit: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    column: Annotated[float, Parameter(group=OUTPUT)] = 0.5,
) -> int:
    """Measure how steady a painted clip is, and write a report.

    Parameters
    ----------
    clip
        The clip that was painted.
    result
        The painted clip.
    output
        Folder for the report and its pictures; created if its parent exists.
    baseline
        Other paintings of the same clip to compare with, such as one made with --independent.
    flow
        Method of the optical flow; raft needs torchvision.
    fps
        Frames per second of folders of pictures.
    limit
        Measure only the first N frames.
    column
        Position of the pixel column that the report shows over time, from 0 (left) to 1 (right).

    Examples
    --------
    impasto video-report clip.mp4 painted.mp4 -o report
    impasto video-report clip.mp4 painted.mp4 -o report --baseline independent.mp4
    """
    require_extra("video", VIDEO_MODULES, "video", VideoError)
    require_extra("studies", REPORT_MODULES, "the report on a video", VideoError)
    check_inputs([clip, result, *(baseline or [])])
    from impasto.video import report, report_page

    steadiness = report.measure(clip, result, baseline or [], flow=flow, rate=fps, limit=limit)
    path = report_page.write_page(steadiness, output, column=column)
    for line in report.summary(steadiness):
        say(False, line)
    say(False, str(path))
    return 0
