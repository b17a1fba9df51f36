"""Writes the page about the steadiness of a painted clip: numbers, chart, clips and pictures in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from impasto.files import replacing
from impasto.pictures.geometry import Size
from impasto.reporting.charts import CHART_STYLE, COLOURS, inline_svg
from impasto.reporting.page import data_uri, render
from impasto.video.boundary import video_errors
from impasto.video.certainty import motion_boundaries, occluded
from impasto.video.flow import FLOW_METHODS, Flow, flow_both_ways, to_luma
from impasto.video.report import ClipSteadiness, SteadinessReport, clip_pictures, grey_levels, verdict
from impasto.video.store import to_pixels, write_file, write_png

__all__ = ["column_strip", "flow_colours", "write_page"]

Pixels = npt.NDArray[np.uint8]

#: Width in pixels of the clips on the page.
CLIP_WIDTH = 480
#: Width in pixels of each frame in a strip, and smallest width of a strip.
STRIP_FRAME_WIDTH, MIN_STRIP_WIDTH = 4, 320


def write_page(report: SteadinessReport, folder: Path, column: float = 0.5) -> Path:
    """Write report.html, report.json, and the page's clips and pictures as files into ``folder``.

    Args:
        folder: made if its parent exists.
        column: position of the column that is shown over time, from 0 (left) to 1 (right).

    Returns:
        The path of the page.
    """
    with video_errors(f"the folder '{folder}' cannot be made", "a folder in a folder that exists"):
        folder.mkdir(exist_ok=True)
    write_file(folder / "report.json", json.dumps(_numbers(report), indent=1))
    rows = [
        _row(report, clip, index, folder, column) | {"colour": COLOURS[index % len(COLOURS)]}
        for index, clip in enumerate(report.clips)
    ]
    page = render(
        "impasto.video",
        "report.html.jinja",
        name=report.result.path.name,
        verdict=verdict(report),
        rows=rows,
        chart=inline_svg(_flicker_chart(report)),
        motion=[
            {"image": data_uri(path.read_bytes(), "image/png"), "caption": caption}
            for path, caption in _write_motion(report, folder)
        ],
    )
    write_file(folder / "report.html", page)
    return folder / "report.html"


def _numbers(report: SteadinessReport) -> dict[str, Any]:
    """What report.json holds: all measurements of each clip by its name."""
    return {
        clip.name: {
            "error": clip.error,
            "exact_error": clip.exact_error,
            "errors": clip.errors,
            "exact_errors": clip.exact_errors,
            "means": clip.means,
            "contrasts": clip.contrasts,
        }
        for clip in report.clips
    }


def _row(
    report: SteadinessReport, clip: ClipSteadiness, index: int, folder: Path, column: float
) -> dict[str, str]:
    """What the page shows of a clip; writes its strip and its small copy."""
    strip_path, clip_path = (
        folder / f"strip_{index}_{clip.name}.png",
        folder / f"clip_{index}_{clip.name}.mp4",
    )
    strip = column_strip(clip.path, report.rate, report.size, column, report.limit)
    width = max(MIN_STRIP_WIDTH, strip.shape[1] * STRIP_FRAME_WIDTH)
    write_png(strip_path, cv2.resize(strip, (width, strip.shape[0]), interpolation=cv2.INTER_NEAREST))
    _write_small_clip(clip.path, clip_path, report)
    film = report.film.error
    return {
        "name": clip.name,
        "flicker": f"{grey_levels(clip.error):.1f}",
        "exact": f"{grey_levels(clip.exact_error):.1f}",
        "error": f"{clip.error:.6f}",
        "ratio": f"{clip.error / film:.2f}" if film > 0 else "–",
        "mean": _change(clip.means),
        "contrast": _change(clip.contrasts),
        "strip": data_uri(strip_path.read_bytes(), "image/png"),
        "clip": data_uri(clip_path.read_bytes(), "video/mp4"),
    }


def _change(values: Sequence[float]) -> str:
    """Change from the first value to the last, in per cent."""
    return f"{100 * (values[-1] / max(values[0], 1e-9) - 1):+.2f} %"


def _flicker_chart(report: SteadinessReport) -> Figure:
    """Flicker between each frame and the next, in grey levels: a line for each clip."""
    with rc_context(CHART_STYLE):
        figure = Figure(figsize=(9.0, 3.0), layout="constrained")
        axes = figure.subplots()
        for index, clip in enumerate(report.clips):
            flicker = [grey_levels(error) for error in clip.errors]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(range(1, len(flicker) + 1), flicker, "o-", ms=2.5, lw=1.4, color=colour)
        axes.set(xlabel="frame", ylabel="flicker, grey levels", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def column_strip(path: Path, rate: Fraction | float, size: Size, column: float, limit: int | None) -> Pixels:
    """One column of every frame at ``size``, side by side: (H, frames, 3)."""
    lines = []
    for picture in clip_pictures(path, rate, size, limit):
        x = min(size[1] - 1, int(column * size[1]))
        lines.append(to_pixels(picture[..., x : x + 1], 255)[:, 0])
    return np.asarray(np.stack(lines, axis=1), dtype=np.uint8)


def _write_small_clip(source: Path, path: Path, report: SteadinessReport) -> None:
    """A copy that every browser plays, small enough to be inside the page."""
    height = max(2, round(report.size[0] * CLIP_WIDTH / report.size[1] / 2) * 2)
    with (
        video_errors(f"'{path}' cannot be written"),
        replacing(path) as partial,
        av.open(str(partial), "w") as out,
    ):
        rate = report.rate.limit_denominator(1000)
        stream: Any = out.add_stream("libx264", rate=rate, options={"crf": "20"})
        stream.height, stream.width, stream.pix_fmt = height, CLIP_WIDTH, "yuv420p"
        for picture in clip_pictures(source, report.rate, (height, CLIP_WIDTH), report.limit):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(to_pixels(picture, 255), format="rgb24")))
        out.mux(stream.encode(None))


# -- motion ------------------------------------------------------------------------------------------------


def _write_motion(report: SteadinessReport, folder: Path) -> Iterator[tuple[Path, str]]:
    """Draw the motion of the film at its first, middle and last pair of frames: (file, caption)."""
    method, pairs = FLOW_METHODS[report.flow](), len(report.film.errors)
    drawn = {0, (pairs - 1) // 2, pairs - 1}
    before: Tensor | None = None
    for index, after in enumerate(clip_pictures(report.film.path, report.rate, report.size, report.limit)):
        if before is not None and index - 1 in drawn:
            luma = [to_luma(picture, max(report.size)) for picture in (before, after)]
            forward, backward = flow_both_ways(luma[0], luma[1], method)
            pictures = {
                "flow": (_over(before, flow_colours(forward)), "motion, colour is the direction"),
                "covered": (
                    _marked(before, forward, backward),
                    "covered in the next frame (red), motion boundaries (blue)",
                ),
            }
            for kind, (pixels, caption) in pictures.items():
                path = folder / f"{kind}_{index - 1:06d}.png"
                write_png(path, pixels)
                yield path, f"frame {index}: {caption}"
        before = after


def flow_colours(flow: Flow) -> Pixels:
    """A flow as colours (H, W, 3): hue is the direction, saturation the length relative to the longest."""
    length = np.sqrt(np.square(flow).sum(-1))
    angle = np.arctan2(flow[..., 1], flow[..., 0])
    longest = max(float(np.quantile(length, 0.99)), 1e-3)
    hsv = np.full((*flow.shape[:2], 3), 255, dtype=np.uint8)
    hsv[..., 0] = ((angle / (2 * np.pi)) % 1.0 * 179).astype(np.uint8)
    hsv[..., 1] = (np.clip(length / longest, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)


def _over(picture: Tensor, colours: Pixels) -> Pixels:
    """Half the picture, half the colours."""
    return np.asarray(to_pixels(picture, 255) // 2 + colours // 2, dtype=np.uint8)


def _marked(picture: Tensor, forward: Flow, backward: Flow) -> Pixels:
    marked = to_pixels(picture, 255)
    marked[occluded(forward, backward)] = (255, 0, 0)
    marked[motion_boundaries(forward)] = (0, 90, 255)
    return np.asarray(marked, dtype=np.uint8)
