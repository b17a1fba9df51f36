"""How steady a painted clip is: warp error against the film and baselines, overlays, a strip, a page."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import VideoError
from impasto.pictures.geometry import Size, resample
from impasto.video import motion
from impasto.video.frames import open_clip, read, video_errors
from impasto.video.store import from_pixels, to_pixels, write_file, write_png

__all__ = ["Measured", "Track", "flow_colours", "measure", "summary", "warp_error", "write_page"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Track:
    """One clip's numbers.

    Attributes:
        errors: warp error of each pair of neighbouring frames, pictures in [0, 1].
        means, contrasts: of each frame, luma.
    """

    name: str
    path: Path
    errors: tuple[float, ...]
    means: tuple[float, ...]
    contrasts: tuple[float, ...]

    @property
    def error(self) -> float:
        """Mean warp error over the clip."""
        return float(np.mean(self.errors)) if self.errors else 0.0


@dataclass(frozen=True)
class Measured:
    """What a report says: the film, the result, the baselines, and where flow could not be followed.

    Attributes:
        tracks: the film first, then the result, then baselines.
        occluded: share of each frame that the next does not show.
        examples: indices of frames whose flow is drawn.
    """

    tracks: tuple[Track, ...]
    occluded: tuple[float, ...]
    examples: tuple[int, ...]
    flow: str
    rate: Fraction
    limit: int | None


def warp_error(before: Tensor, after: Tensor, flow: motion.Flow, covered: npt.NDArray[np.bool_]) -> float:
    """E_warp: mean over what is not covered of (after along the flow − before)², pictures in [0, 1].

    Args:
        before, after: (1, 3, H, W).
        flow: (H, W, 2), from ``before`` to ``after``, of the *film*, whatever the pictures are.
        covered: (H, W), where ``before`` shows what ``after`` does not.
    """
    seen = torch.from_numpy(~covered)[None, None].to(before)
    if not bool(seen.any()):
        return 0.0
    gap = (motion.warp(after, flow, "bilinear") - before).square().mean(1, keepdim=True)
    return float((gap * seen).sum() / seen.sum())


def _pictures(path: Path, rate: Fraction | float, size: Size | None, limit: int | None) -> Iterator[Tensor]:
    for frame in islice(read(open_clip(path, rate)), limit):
        picture = from_pixels(frame.pixels)[:, :3]
        yield picture if size is None else resample(picture, size)


def measure(
    clip: Path,
    result: Path,
    baselines: Sequence[Path] = (),
    *,
    flow: str = "dis",
    rate: Fraction | float = 25,
    limit: int | None = None,
) -> Measured:
    """Walk all clips side by side, two frames in memory at a time; at the size of the result.

    Raises:
        VideoError: a clip cannot be read, or they do not have as many frames.
    """
    opened = open_clip(result, rate)
    size, method = (opened.height, opened.width), motion.FLOWS[flow]()
    paths = [clip, result, *baselines]
    walks = [_pictures(path, rate, size, limit) for path in paths]
    errors: list[list[float]] = [[] for _ in paths]
    levels: list[list[tuple[float, float]]] = [[] for _ in paths]
    gone: list[float] = []
    before: list[Tensor] | None = None
    for now in zip(*walks, strict=False):
        for kept, picture in zip(levels, now, strict=True):
            luma = picture.mean(1)
            kept.append((float(luma.mean()), float(luma.std())))
        if before is not None:
            forth, back = motion.flows(
                motion.grey(before[0], max(size)), motion.grey(now[0], max(size)), method
            )
            covered = motion.occluded(forth, back)
            gone.append(float(covered.mean()))
            for kept_errors, a, b in zip(errors, before, now, strict=True):
                kept_errors.append(warp_error(a, b, forth, covered))
        before = list(now)
    if before is None:
        raise VideoError("there is nothing to measure", "clips with frames")
    names = ["film", "result", *(path.stem for path in baselines)]
    tracks = tuple(
        Track(name, path, tuple(e), tuple(m for m, _ in level), tuple(c for _, c in level))
        for name, path, e, level in zip(names, paths, errors, levels, strict=True)
    )
    count = len(tracks[0].means)
    examples = tuple(sorted({0, (count - 1) // 2, max(0, count - 2)}))
    return Measured(tracks, tuple(gone), examples, flow, opened.rate, limit)


def summary(found: Measured) -> list[str]:
    """A line for each clip."""
    film = found.tracks[0].error
    lines = []
    for track in found.tracks:
        times = f", {track.error / film:.2f} × the film's" if film > 0 else ""
        lines.append(f"{track.name:<12} warp error {track.error:.6f}{times}")
    return lines


# -- pictures ----------------------------------------------------------------------------------------------


def flow_colours(flow: motion.Flow) -> Pixels:
    """A flow as colours (H, W, 3): hue is the direction, saturation the length against the longest."""
    length = np.sqrt(np.square(flow).sum(-1))
    angle = np.arctan2(flow[..., 1], flow[..., 0])
    hsv = np.zeros((*flow.shape[:2], 3), dtype=np.uint8)
    hsv[..., 0] = ((angle / (2 * np.pi)) % 1.0 * 179).astype(np.uint8)
    hsv[..., 1] = (np.clip(length / max(float(np.quantile(length, 0.99)), 1e-3), 0, 1) * 255).astype(np.uint8)
    hsv[..., 2] = 255
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)


def _overlays(found: Measured) -> Iterator[tuple[int, Pixels, Pixels]]:
    """(frame, its flow half over the film, what is covered next in red)."""
    method = motion.FLOWS[found.flow]()
    film = found.tracks[0].path
    size = next(_pictures(found.tracks[1].path, found.rate, None, None)).shape[-2:]
    before: Tensor | None = None
    for index, now in enumerate(_pictures(film, found.rate, (size[0], size[1]), found.limit)):
        if before is not None and index - 1 in found.examples:
            forth, back = motion.flows(motion.grey(before, max(size)), motion.grey(now, max(size)), method)
            filmed = to_pixels(before, 255)
            red = filmed.copy()
            red[motion.occluded(forth, back)] = (255, 0, 0)
            blue = motion.motion_boundaries(forth)
            red[blue] = (0, 90, 255)
            yield index - 1, np.asarray(filmed // 2 + flow_colours(forth) // 2, dtype=np.uint8), red
        before = now


def flicker_strip(path: Path, rate: Fraction | float, column: float, limit: int | None) -> Pixels:
    """One column of every frame, side by side: (H, frames, 3). What stands still is a horizontal line."""
    lines = []
    for picture in _pictures(path, rate, None, limit):
        at = min(picture.shape[-1] - 1, int(column * picture.shape[-1]))
        lines.append(to_pixels(picture[..., at : at + 1], 255)[:, 0])
    return np.asarray(np.stack(lines, axis=1), dtype=np.uint8)


def write_page(found: Measured, folder: Path, column: float = 0.5) -> Path:
    """Write report.html, report.json, overlays, strips and the clips for the page into ``folder``."""
    with video_errors(f"the folder '{folder}' cannot be made", "a folder in a folder that exists"):
        folder.mkdir(exist_ok=True)
    facts = {track.name: {"error": track.error} | _series(track) for track in found.tracks}
    write_file(folder / "report.json", json.dumps(facts, indent=1).encode())
    for index, moving, covered in _overlays(found):
        write_png(folder / f"flow_{index:06d}.png", moving)
        write_png(folder / f"covered_{index:06d}.png", covered)
    names = [f"{k}_{track.name}" for k, track in enumerate(found.tracks)]
    for name, track in zip(names, found.tracks, strict=True):
        strip = flicker_strip(track.path, found.rate, column, found.limit)
        wide = cv2.resize(
            strip, (max(320, strip.shape[1] * 4), strip.shape[0]), interpolation=cv2.INTER_NEAREST
        )
        write_png(folder / f"strip_{name}.png", wide)
        _small_clip(track.path, folder / f"clip_{name}.mp4", found)
    page = folder / "report.html"
    write_file(page, _page(found, names, folder).encode())
    return page


def _series(track: Track) -> dict[str, Any]:
    return {"errors": track.errors, "means": track.means, "contrasts": track.contrasts}


def _small_clip(path: Path, place: Path, found: Measured, width: int = 480) -> None:
    """A copy that every browser plays, small enough to be inside the page."""
    with video_errors(f"'{place}' cannot be written"), av.open(str(place), "w") as out:
        stream: Any = None
        for picture in _pictures(path, found.rate, None, found.limit):
            height, full = picture.shape[-2:]
            size = (max(2, round(height * width / full / 2) * 2), width)
            array = np.ascontiguousarray(to_pixels(resample(picture, size), 255))
            if stream is None:
                stream = out.add_stream(
                    "libx264", rate=found.rate.limit_denominator(1000), options={"crf": "20"}
                )
                stream.height, stream.width, stream.pix_fmt = size[0], size[1], "yuv420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        if stream is not None:
            out.mux(stream.encode(None))


_COLOURS = ("#666666", "#1668b8", "#c8501e", "#7a3fa0", "#3d8f3d")


def _chart(found: Measured) -> str:
    """Warp error of every pair of frames, as SVG, logarithmic: a line at 1, 2 and 5 of each decade."""
    width, height, left, foot = 760, 240, 64, 22
    values = [e for track in found.tracks for e in track.errors if e > 0] or [1e-6, 1.0]
    low, high = (
        np.log10(min(values)) - 0.3,
        np.log10(max(values)) + 0.3,
    )  # so that at least two lines are seen
    count = max(len(found.tracks[0].errors) - 1, 1)

    def place(k: int, error: float) -> tuple[float, float]:
        share = (np.log10(max(error, 10.0**low)) - low) / (high - low)
        return left + (width - left - 8) * k / count, (height - foot) - (height - foot - 8) * float(share)

    parts = []
    for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        for value in (10.0**decade, 2 * 10.0**decade, 5 * 10.0**decade):
            if low <= np.log10(value) <= high:
                y = place(0, value)[1]
                parts.append(f'<path stroke="#ddd" d="M{left} {y:.1f}H{width}"/>')
                parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.0e}</text>')
    for k in sorted({0, count // 2, count}):
        parts.append(f'<text x="{place(k, 1)[0]:.1f}" y="{height - 4}" text-anchor="middle">{k + 1}</text>')
    for track, colour in zip(found.tracks, _COLOURS * 9, strict=False):
        points = " ".join("{:.1f},{:.1f}".format(*place(k, e)) for k, e in enumerate(track.errors))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
    style = 'font-size="11" fill="#666" stroke-linejoin="round" role="img" aria-label="warp error"'
    return f'<svg viewBox="0 0 {width} {height}" {style}>{"".join(parts)}</svg>'


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _page(found: Measured, names: Sequence[str], folder: Path) -> str:
    """One file that needs no other: clips, numbers, strips and overlays."""
    film = found.tracks[0].error or float("nan")
    rows, clips, strips = [], [], []
    for name, track, colour in zip(names, found.tracks, _COLOURS * 9, strict=False):
        title = html.escape(track.name)
        mean, spread = np.array(track.means), np.array(track.contrasts)
        drift = f"{100 * (mean[-1] / max(mean[0], 1e-9) - 1):+.2f} %"
        contrast = f"{100 * (spread[-1] / max(spread[0], 1e-9) - 1):+.2f} %"
        rows.append(
            f'<tr><td style="color:{colour}">{title}</td><td>{track.error:.6f}</td>'
            f"<td>{track.error / film:.2f}</td><td>{drift}</td><td>{contrast}</td></tr>"
        )
        clip = _data(folder / f"clip_{name}.mp4", "video/mp4")
        caption = f'<figcaption style="color:{colour}">{title}</figcaption>'
        clips.append(f'<figure><video src="{clip}" muted loop controls></video>{caption}</figure>')
        strip = _data(folder / f"strip_{name}.png", "image/png")
        strips.append(f'<figure><img src="{strip}" alt="">{caption}</figure>')
    drawn = []
    for index in found.examples:
        for kind, what in (("flow", "flow"), ("covered", "covered next (red), motion boundaries (blue)")):
            path = folder / f"{kind}_{index:06d}.png"
            if path.exists():
                drawn.append(
                    f'<figure><img src="{_data(path, "image/png")}" alt="">'
                    f"<figcaption>frame {index + 1}: {what}</figcaption></figure>"
                )
    parts = {"rows": rows, "clips": clips, "strips": strips, "drawn": drawn, "chart": [_chart(found)]}
    return _HTML.format(**{name: "".join(part) for name, part in parts.items()})


_HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Impasto: video report</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#222}}
.row{{display:flex;flex-wrap:wrap;gap:12px}}figure{{margin:0;flex:1 1 320px}}video,img,svg{{width:100%}}
td,th{{padding:2px 14px 2px 0;text-align:left}}figcaption{{color:#666}}</style>
<h1>Video report</h1>
<p>Warp error: the film's motion applied to the next frame, mean squared difference to this one where it
is not covered, pictures in [0, 1]. What stands still as far as one can see has no motion.</p>
<table><tr><th>clip</th><th>warp error</th><th>× film</th><th>mean, first to last</th><th>contrast</th></tr>
{rows}</table>
<h2>Side by side</h2><p><button
onclick="for(const v of document.querySelectorAll('video')){{v.currentTime=0;v.play()}}">
Play all together</button></p><div class="row">{clips}</div>
<h2>Warp error from frame to frame</h2>{chart}
<p>Each pair of frames, from 1; a logarithmic scale. Colours as in the table.</p>
<h2>One column over time</h2><p>What stands still is a horizontal line; flicker is a comb.</p>
<div class="row">{strips}</div>
<h2>Motion</h2><div class="row">{drawn}</div></html>
"""
