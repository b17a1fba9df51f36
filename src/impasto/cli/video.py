"""``impasto video`` and ``impasto video-report``: flags from the recipes, progress on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from impasto.cli.progress import duration
from impasto.errors import RecipeError, VideoError, require_extra
from impasto.recipe import PRESETS, Recipe
from impasto.video.settings import VideoRecipe, VideoSettings

if TYPE_CHECKING:
    from impasto.video.stages import Estimate, Moment

__all__ = ["register", "video", "video_report"]

MODULES = ("av", "cv2")
OUTPUT = Group("Output", sort_key=0)
MOTION = Group("Video", help="Every setting that only a video has.", sort_key=1)
RECIPE = Group("Recipe", help="Every setting of each frame as a picture.", sort_key=2)


def register(app: App) -> None:
    """Add the commands for video to the program."""
    app.command(video)
    app.command(video_report)


def video(
    clip: Path,
    style: list[Path],
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], group=OUTPUT)],
    preset: Annotated[Literal["draft", "fast", "fine", "reference"], Parameter(group=OUTPUT)] = "fast",
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    codec: Annotated[
        Literal["h264", "hevc", "vp9", "prores", "ffv1", "png"] | None, Parameter(group=OUTPUT)
    ] = None,
    quality: Annotated[int, Parameter(group=OUTPUT)] = 16,
    copy: Annotated[Literal["all", "audio", "nothing"], Parameter(group=OUTPUT)] = "all",
    fps: Annotated[float, Parameter(group=OUTPUT)] = 25.0,
    mask: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    limit: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    processes: Annotated[int, Parameter(group=OUTPUT)] = 1,
    preview: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    restart: Annotated[bool, Parameter(group=OUTPUT)] = False,
    keep_frames: Annotated[bool, Parameter(group=OUTPUT)] = False,
    device: Annotated[str, Parameter(group=OUTPUT)] = "auto",
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=OUTPUT)] = False,
    motion: Annotated[VideoSettings | None, Parameter(name="*", group=MOTION)] = None,
    settings: Annotated[Recipe | None, Parameter(name="*", group=RECIPE)] = None,
) -> int:
    """Paint CLIP in the manner of STYLE, each frame going on from the one before.

    Killed or stopped, the same command goes on where it was.

    Parameters
    ----------
    clip
        Video of any kind that FFmpeg reads, or a folder of pictures.
    style
        Picture whose strokes, colours and patterns are taken; several are blended.
    output
        File to write: .mp4, .mov, .mkv, .webm or .avi; a name without ending: a folder of pictures.
    preset
        Settings of a picture to begin with, as in `impasto stylize`.
    recipe
        Recipe file of a picture to begin with; flags given here go over it.
    codec
        Default: h264; vp9 in .webm. prores, ffv1 and png are for editors.
    quality
        Of h264, hevc and vp9: 0 (lossless) to 51.
    copy
        What is copied through untouched: all is audio and subtitles.
    fps
        Frames a second of a folder of pictures.
    mask
        Picture, folder or clip: white is painted, black left as filmed.
    limit
        Only so many frames.
    processes
        Shots painted at the same time.
    preview
        A .png that always shows the newest frame.
    restart
        Throw away what an earlier run left.
    keep_frames
        Leave the folder OUTPUT.work with all frames.
    device
        auto, cpu, cuda, cuda:1, mps.
    quiet
        Say nothing unless something goes wrong.
    """
    require_extra("video", MODULES, "video", VideoError)
    from impasto.video.job import prepare_video
    from impasto.video.stages import run_video

    full = VideoRecipe(**_given(motion), picture=_picture(preset, recipe, settings))
    kinds = {"all": ("audio", "subtitle"), "audio": ("audio",), "nothing": ()}[copy]
    job = prepare_video(
        clip, list(style), output, full, rate=fps, codec=codec, quality=quality, copy=kinds, mask=mask,
        limit=limit, processes=processes, preview=preview, device=device, restart=restart,
    )  # fmt: skip
    with _Report(quiet) as report:
        try:
            result = run_video(
                job, on_moment=report.moment, on_estimate=report.estimate, keep_frames=keep_frames
            )
        except KeyboardInterrupt:
            report.close()
            raise VideoError("stopped", remedy="the same command goes on from here") from None
    if result.corrupt:
        which = ", ".join(str(index + 1) for index in result.corrupt[:8])
        more = "" if len(result.corrupt) <= 8 else f" and {len(result.corrupt) - 8} more"
        print(f"impasto: frame {which}{more} cannot be decoded: repeated from its neighbour", file=sys.stderr)
    if not quiet:
        pace = result.seconds / max(result.frames, 1)
        print(f"painted {result.path} ({result.frames} frames, {result.shots} shots, {pace:.2f} s a frame)")
    return 0


def _given(settings: VideoSettings | Recipe | None) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in (settings.model_fields_set if settings else ())}


def _picture(preset: str, file: Path | None, settings: Recipe | None) -> Recipe:
    """A preset's settings, over them a recipe file's, over both those given on the command line."""
    stored: dict[str, Any] = {}
    if file is not None:
        try:
            stored = _given(Recipe.from_json(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise RecipeError(f"the recipe file '{file}' cannot be read: {reason}", "a JSON file") from None
    return Recipe(**(PRESETS[preset][1] | stored | _given(settings)))


class _Report:
    """Progress on stderr: a bar with frames and ETA, or a line now and then where there is no terminal."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.tenth = quiet, (-1, "")
        self.progress: Any = None
        self.task: Any = None

    def __enter__(self) -> _Report:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.percentage:>3.0f}%"),
                BarColumn(24),
                TextColumn("{task.description}"),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
            self.task = self.progress.add_task("", total=1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Clear the bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def estimate(self, expected: Estimate) -> None:
        """What is to come."""
        shots = f"{expected.shots} shot{'s' * (expected.shots != 1)}"
        self._say(
            f"{expected.frames} frames in {shots}, about {duration(expected.seconds)} at most, "
            f"up to {expected.bytes / 1e6:.0f} MB on the way"
        )

    def _say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.console.print(line)
        elif not self.quiet:
            print(f"impasto: {line}", file=sys.stderr, flush=True)

    def moment(self, at: Moment) -> None:
        """One more frame."""
        text = f"{at.stage} {at.done}/{at.total}"
        if at.stage == "paint" and at.fresh:
            each = at.seconds / at.fresh
            text += f", {each:.2f} s a frame, {duration(each * (at.total - at.done))} left"
        tenth = (10 * at.done // max(at.total, 1), at.stage)
        if self.progress is not None:
            self.progress.update(self.task, completed=at.done, total=at.total, description=text)
        elif tenth != self.tenth and not self.quiet:
            self._say(text)
        self.tenth = tenth


def video_report(
    clip: Path,
    result: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    baseline: list[Path] | None = None,
    flow: Literal["dis", "farneback", "raft"] = "dis",
    fps: float = 25.0,
    limit: int | None = None,
    column: float = 0.5,
) -> int:
    """Measure how steady RESULT is: warp error against CLIP and baselines, overlays, strips, a page.

    Parameters
    ----------
    clip
        The film that was painted.
    result
        The painted clip.
    output
        Folder for the page and its pictures; made if its parent exists.
    baseline
        Other results of the same film to compare with, as one painted with --independent.
    flow
        How motion is found.
    fps
        Frames a second of folders of pictures.
    limit
        Only so many frames.
    column
        Which column the strip shows over time, 0 (left) to 1 (right).
    """
    require_extra("video", MODULES, "video", VideoError)
    import impasto.video.report as report

    found = report.measure(clip, result, baseline or [], flow=flow, rate=fps, limit=limit)
    path = report.write_page(found, output, column=column)
    for line in report.summary(found):
        print(line)
    print(path)
    return 0
