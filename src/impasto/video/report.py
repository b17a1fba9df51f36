"""How steady a painted clip is: its warp error, compared with that of the film and of other paintings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import VideoError
from impasto.pictures.geometry import Size, resample
from impasto.video.certainty import occluded
from impasto.video.flow import FLOW_METHODS, Flow, flow_both_ways, symmetrise, to_luma
from impasto.video.frames import open_clip, read
from impasto.video.store import from_pixels
from impasto.video.warping import warp

__all__ = [
    "ClipSteadiness",
    "SteadinessReport",
    "clip_pictures",
    "measure",
    "summary",
    "verdict",
    "warp_error",
]


@dataclass(frozen=True)
class ClipSteadiness:
    """The measurements of one clip.

    Attributes:
        name: ``film``, ``result``, or the file name of a baseline.
        errors: warp error of each pair of neighbouring frames, pictures in [0, 1].
        exact_errors: the warp errors that there would be if each frame were the previous one, warped exactly
            along the motion. They are not zero, because bilinear sampling blurs, most of all strong fine
            strokes.
        means, contrasts: mean and standard deviation of each frame, of its grey picture in [0, 1].
    """

    name: str
    path: Path
    errors: tuple[float, ...]
    exact_errors: tuple[float, ...]
    means: tuple[float, ...]
    contrasts: tuple[float, ...]

    @property
    def error(self) -> float:
        """Mean warp error of the clip."""
        return float(np.mean(self.errors)) if self.errors else 0.0

    @property
    def exact_error(self) -> float:
        """Mean warp error that this clip would have if it followed the motion exactly."""
        return float(np.mean(self.exact_errors)) if self.exact_errors else 0.0


def grey_levels(error: float) -> float:
    """A mean squared difference of pictures in [0, 1] as a difference in grey levels, 0 to 255."""
    return 255.0 * float(np.sqrt(error))


@dataclass(frozen=True)
class SteadinessReport:
    """The measurements of a film, of its painting and of baselines.

    Attributes:
        clips: the film first, then the result, then the baselines.
        size: (height, width) at which they were compared: that of the result.
        occluded: share of each frame of the film that the next one does not show.
        flow: key of ``FLOW_METHODS``.
        rate: frames a second.
        limit: how many frames were measured at most; None: all.
    """

    clips: tuple[ClipSteadiness, ...]
    size: Size
    occluded: tuple[float, ...]
    flow: str
    rate: Fraction
    limit: int | None

    @property
    def film(self) -> ClipSteadiness:
        """The clip that was painted."""
        return self.clips[0]

    @property
    def result(self) -> ClipSteadiness:
        """The painting that the report is about."""
        return self.clips[1]


def warp_error(before: Tensor, after: Tensor, flow: Flow, covered: npt.NDArray[np.bool_]) -> float:
    """E_warp: the mean, where ``before`` is not covered, of (after warped along the flow − before)².

    Pictures are in [0, 1].

    Args:
        before, after: (1, 3, H, W).
        flow: (H, W, 2), from ``before`` to ``after``, of the *film*, whatever the pictures are.
        covered: (H, W), where ``before`` shows what ``after`` does not.
    """
    visible = torch.from_numpy(~covered)[None, None].to(before)
    if not bool(visible.any()):
        return 0.0
    error = (warp(after, flow, "bilinear") - before).square().mean(1, keepdim=True)
    return float((error * visible).sum() / visible.sum())


def clip_pictures(
    path: Path, rate: Fraction | float, size: Size | None = None, limit: int | None = None
) -> Iterator[Tensor]:
    """The frames of a clip as pictures (1, 3, H, W), at their own size or at ``size``."""
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
) -> SteadinessReport:
    """Measure all clips together, at the size of the result, with two frames of each in memory.

    Frames beyond the end of the shortest clip are left out.

    Args:
        clip: the film.
        result: the film as painted.
        baselines: other paintings of it, to compare with.
        flow: key of ``FLOW_METHODS``.
        rate: frames a second of folders of pictures.
        limit: measure only the first ``limit`` frames; None: all.

    Raises:
        VideoError: a clip cannot be read.
    """
    opened = open_clip(result, rate)
    size, method = (opened.height, opened.width), FLOW_METHODS[flow]()
    paths = [clip, result, *baselines]
    errors: list[list[tuple[float, float]]] = [[] for _ in paths]
    levels: list[list[tuple[float, float]]] = [[] for _ in paths]
    occluded_shares: list[float] = []
    before: tuple[Tensor, ...] | None = None
    for frames in zip(*(clip_pictures(path, rate, size, limit) for path in paths), strict=False):
        for clip_levels, picture in zip(levels, frames, strict=True):
            grey = picture.mean(1)
            clip_levels.append((float(grey.mean()), float(grey.std())))
        if before is not None:
            first, second = (to_luma(pictures[0], max(size)) for pictures in (before, frames))
            forward, backward = flow_both_ways(first, second, method)
            covered = occluded(forward, backward)
            occluded_shares.append(float(covered.mean()))
            along = symmetrise(backward, forward)
            for clip_errors, earlier, later in zip(errors, before, frames, strict=True):
                exact = warp(earlier, along)
                clip_errors.append(
                    (
                        warp_error(earlier, later, forward, covered),
                        warp_error(earlier, exact, forward, covered),
                    )
                )
        before = frames
    if before is None:
        raise VideoError("there is nothing to measure", "clips with frames")
    clips = tuple(
        ClipSteadiness(name, path, *_columns(clip_errors), *_columns(clip_levels))
        for name, path, clip_errors, clip_levels in zip(_names(baselines), paths, errors, levels, strict=True)
    )
    return SteadinessReport(clips, size, tuple(occluded_shares), flow, opened.rate, limit)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(first for first, _ in pairs), tuple(second for _, second in pairs)


def _names(baselines: Sequence[Path]) -> list[str]:
    """A unique name for each clip."""
    names = ["film", "result"]
    for path in baselines:
        same = sum(name.split(" #")[0] == path.stem for name in names)
        names.append(f"{path.stem} #{same + 1}" if same else path.stem)
    return names


# -- in words ----------------------------------------------------------------------------------------------

#: Flicker below this many grey levels is steady, whatever it is compared with.
INVISIBLE_FLICKER = 3.0
#: Limits of the warp error as a multiple of the larger of two: that of the film, and that of the same strokes
#: on exact motion. Paintings with the draft preset measured 1.3 to 2.2, frames painted each by itself 6 to 96
#: (docs/video.md).
STEADY_RATIO, FLICKER_RATIO = 2.5, 5.0


def summary(report: SteadinessReport) -> list[str]:
    """A line for each clip, then the verdict on the result."""
    width = max(len(clip.name) for clip in report.clips)
    lines = []
    for clip in report.clips:
        flicker, exact = grey_levels(clip.error), grey_levels(clip.exact_error)
        ratio = f", {clip.error / report.film.error:.2f} × the film's" if report.film.error > 0 else ""
        lines.append(
            f"{clip.name:<{width}}  warp error {clip.error:.6f}{ratio}; "
            f"flicker {flicker:.1f} grey levels of 255 ({exact:.1f} on exact motion)"
        )
    return [*lines, verdict(report)]


def verdict(report: SteadinessReport) -> str:
    """Whether the result is steady, and why its warp error is as high as it is."""
    film, result = report.film, report.result
    expected = max(film.error, result.exact_error)
    ratio = result.error / expected if expected > 0 else float("inf") if result.error > 0 else 1.0
    steady = grey_levels(result.error) < INVISIBLE_FLICKER or ratio <= STEADY_RATIO
    word = "Steady" if steady else "Flickers" if ratio >= FLICKER_RATIO else "Flickers a little"
    if film.error >= result.exact_error:
        reference = f"the film itself measures {grey_levels(expected):.1f}."
    else:
        reference = f"strokes that followed the motion exactly would measure {grey_levels(expected):.1f}."
    text = f"{word}: the painting measures {grey_levels(result.error):.1f} grey levels, {reference}"
    if steady and result.error > STEADY_RATIO * film.error:
        text += (
            f" The film measures only {grey_levels(film.error):.1f}, because it is smoother than strokes: "
            "hence the high ratio of the warp errors."
        )
    return text
