"""Video: warp error, style and time compared with painting frame by frame, on short clips.

    python benchmarks/video.py --clips FOLDER --style PICTURE --size 480 --frames 10 --baseline 3

For every clip in FOLDER (files, or folders of pictures): `frames` frames with the defaults; the same first
`baseline` frames one by one from the content and from noise with the picture's own schedule; the time that
the schedule of Ruder et al. 2016 (1000 iterations a frame) would take, extrapolated from our time for one.

Times are CPU time of this process, because on a shared machine wall-clock time depends on the load. `wall` is
reported as well; on idle cores it is about the CPU time divided by the number of cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto import pictures, samples
from impasto.machine import choose_device
from impasto.networks.encoder import Encoder
from impasto.painting.engine import steps
from impasto.painting.setup import encoder_for
from impasto.pictures.geometry import fit, resample
from impasto.recipe import Recipe, preset
from impasto.scene import Scene, Style
from impasto.video.certainty import occluded
from impasto.video.clip_context import (
    ClipContext,
    build_clip_context,
    following_recipe,
    frame_recipe,
)
from impasto.video.flow import FLOW_METHODS, flow_both_ways, to_luma
from impasto.video.frame_painting import PaintedFrame, paint_following_frame, paint_frame, quantise
from impasto.video.frames import open_clip, read
from impasto.video.report import warp_error
from impasto.video.settings import VideoRecipe
from impasto.video.store import from_pixels, to_pixels, write_png
from impasto.video.warped_past import EarlierFrame


@dataclass(frozen=True)
class ClipFigures:
    """One clip's figures; times are seconds a frame, iterations are those at full size a frame.

    Attributes:
        film, ours: warp errors of the film and of our frames.
        from_content, from_noise: warp errors of the first frames painted one by one.
        ours_early: warp error of our first frames, as many as were painted one by one.
        film_raw, ours_raw: warp errors with flow as DIS returns it, without ``flow.suppress_noise``.
        style: frame → style loss over that of the same frame painted as a picture.
        iterations, cpu, wall: of a frame.
        known, still: mean shares of a frame that were known from earlier ones, and that were copied.
    """

    clip: str
    size: str
    film: float
    ours: float
    ours_early: float
    from_content: float
    from_noise: float
    film_raw: float
    ours_raw: float
    style: dict[int, float]
    iterations: float
    ms_per_iteration: float
    cpu: float
    wall: float
    known: float
    still: float


def load(place: Path, size: int, frames: int, skip: int = 0) -> list[Tensor]:
    """Frames from the ``skip``-th on, at most ``size`` pixels wide."""
    film = []
    for frame in islice(read(open_clip(place)), skip, skip + frames):
        picture = from_pixels(frame.pixels)[:, :3]
        target = fit(*picture.shape[-2:], min(size, max(picture.shape[-2:])))
        film.append(quantise(resample(picture, target)))
    return film


def errors(film: list[Tensor], painted: list[Tensor], raw: bool = False) -> float:
    """Mean warp error over the clip; ``raw``: with DIS flow as it is, including noise on flat areas."""
    method, warp_errors = FLOW_METHODS["dis"](), []
    for a, b, x, y in zip(film, film[1:], painted, painted[1:], strict=False):
        longest = max(a.shape[-2:])
        first, second = to_luma(a, longest), to_luma(b, longest)
        if raw:
            forward, backward = method(first, second), method(second, first)
        else:
            forward, backward = flow_both_ways(first, second, method)
        warp_errors.append(warp_error(x, y, forward, occluded(forward, backward)))
    return float(np.mean(warp_errors))


def style_loss(terms: Iterable[tuple[str, float]]) -> float:
    return sum(value for name, value in terms if name.startswith("style"))


def judge(picture: Tensor, film: Tensor, context: ClipContext) -> float:
    """The style loss of a painted frame ``picture``, whose content is the frame ``film``."""
    recipe = following_recipe(context.recipe, *picture.shape[-2:])
    recipe = recipe.replace(**{"finishing" if any(recipe.finishing) else "iterations": (1,)})
    scene = Scene(film, context.styles, start=picture, style_statistics=context.style_statistics)
    return style_loss(next(iter(steps(scene, recipe, context.encoder))).terms.items())


def one_by_one(film: list[Tensor], context: ClipContext, init: str) -> list[Tensor]:
    """Paint each frame as a separate picture; a start from noise differs from frame to frame."""
    painted = []
    for index, frame in enumerate(film):
        recipe = frame_recipe(context.recipe).replace(init=init, seed=index)
        scene = Scene(frame, context.styles, style_statistics=context.style_statistics)
        *_, last = steps(scene, recipe, context.encoder)
        painted.append(quantise(last.picture.detach()))
    return painted


def paint_following(film: list[Tensor], first: PaintedFrame, context: ClipContext) -> list[PaintedFrame]:
    """Paint the film, each frame following the earlier ones."""
    painted = [first]
    for index in range(1, len(film)):
        earlier = [
            EarlierFrame(film[index - back], painted[index - back].pixels)
            for back in context.recipe.long_term
            if index - back >= 0
        ]
        painted.append(
            paint_following_frame(film[index], earlier, painted[-1].reference, context, first=first.pixels)
        )
    return painted


def style_ratios(
    film: list[Tensor], painted: list[Tensor], context: ClipContext, at: list[int]
) -> dict[int, float]:
    """Frame → its style loss over that of the same frame painted as a picture."""
    ratios = {}
    for index in sorted({min(index, len(film) - 1) for index in at}):
        single = judge(one_by_one(film[index : index + 1], context, "content")[0], film[index], context)
        ratios[index] = round(judge(painted[index], film[index], context) / single, 3)
    return ratios


def measure(place: Path, style: Style, encoder: Encoder, options: argparse.Namespace) -> ClipFigures:
    film = load(place, options.size, options.frames, options.skip)
    height, width = film[0].shape[-2:]
    recipe = VideoRecipe(**{"picture": preset(options.preset)} | options.settings)
    context = build_clip_context((style,), recipe, encoder, height, width)
    first = paint_frame(film[0], context)
    wall, cpu = time.perf_counter(), time.process_time()
    painted = paint_following(film, first, context)
    count = max(len(film) - 1, 1)
    cpu, wall = (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count
    ours, early = [frame.pixels for frame in painted], film[: options.baseline]
    from_content, from_noise = (one_by_one(early, context, init) for init in ("content", "noise"))
    iterations = float(np.mean([frame.iterations for frame in painted[1:]]))
    sheet(options.output, place.stem, film, ours)
    return ClipFigures(
        clip=place.stem,
        size=f"{width}×{height}",
        film=errors(film, film),
        ours=errors(film, ours),
        ours_early=errors(early, ours[: len(early)]),
        from_content=errors(early, from_content),
        from_noise=errors(early, from_noise),
        film_raw=errors(film, film, raw=True),
        ours_raw=errors(film, ours, raw=True),
        style=style_ratios(film, ours, context, options.style_at),
        iterations=iterations,
        ms_per_iteration=1000 * cpu / max(iterations, 1),
        cpu=cpu,
        wall=wall,
        known=float(np.mean([frame.known for frame in painted[1:]])),
        still=float(np.mean([frame.still for frame in painted[1:]])),
    )


def sheet(folder: Path | None, name: str, film: list[Tensor], painted: list[Tensor]) -> None:
    """Save a sheet of the first, middle and last frame: as filmed, as painted, and three times the change
    between painted frames."""
    if folder is None:
        return
    at = (0, len(film) // 2, len(film) - 1)
    rows = [torch.cat([line[k] for k in at], dim=3) for line in (film, painted)]
    changes = [(painted[k] - painted[k - 1]).abs().mul(3).clamp(0, 1) for k in (1, at[1], at[2])]
    write_png(folder / f"{name}.png", to_pixels(torch.cat([*rows, torch.cat(changes, dim=3)], dim=2), 255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of a clip's name")
    parser.add_argument("--style", type=Path, help="default: the built-in painting wave")
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0, help="frames to leave out at the start")
    parser.add_argument("--baseline", type=int, default=3)
    parser.add_argument("--style-at", type=int, nargs="*", default=[6, 12, 24], help="frames, from 0")
    parser.add_argument("--preset", default="fast", help="settings of each frame as a picture")
    parser.add_argument("--settings", type=json.loads, default={}, help="of VideoRecipe, as JSON")
    parser.add_argument("--output", type=Path, help="folder for sheets and figures")
    options = parser.parse_args()
    if options.output is not None:
        options.output.mkdir(exist_ok=True)
    picture = pictures.load(options.style) if options.style else pictures.load(samples.painting("wave"))
    style = Style(picture.pixels, picture.alpha)
    encoder = encoder_for(Recipe(), choose_device())
    places = [place for place in sorted(options.clips.iterdir()) if place.is_dir() or place.suffix == ".mp4"]
    for place in places:
        files = sorted(place.glob("*.mp4")) if place.is_dir() else [place]
        clip = files[0] if files else place
        if options.only not in str(clip) or "pair" in str(clip):
            continue
        row = measure(clip, style, encoder, options)
        print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        print(
            f"  warp error: {row.ours / row.film:.2f} × the film's; from content one by one "
            f"{row.from_content / row.ours_early:.1f} × ours, from noise "
            f"{row.from_noise / row.ours_early:.1f} ×; with raw flow {row.ours_raw / row.film_raw:.2f} ×; "
            f"style × the single picture's: {row.style}; "
            f"{row.iterations:.1f} iterations, {row.cpu:.1f} s CPU, "
            f"{row.wall:.1f} s wall a frame; Ruder's 1000: {row.ms_per_iteration:.0f} s CPU a frame",
            flush=True,
        )


if __name__ == "__main__":
    main()
