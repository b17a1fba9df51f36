"""Video: warp error, style and time against painting frame by frame, on short clips.

    python benchmarks/video.py --clips FOLDER --style PICTURE --size 480 --frames 10 --baseline 3

For every clip in FOLDER (files, or folders of pictures): `frames` frames with the defaults; the same first
`baseline` frames one by one from the content and from noise with the picture's own schedule; the share of
time by the schedule of Ruder et al. 2016 (1000 evaluations a frame), extrapolated from our time for one.

Time is this process's CPU time: on a machine that others use, the wall clock measures them. `wall` is
there as well; on idle cores it is about the CPU time divided by the cores.
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

from impasto import api, pictures, samples
from impasto.losses.objective import StyleSource
from impasto.painting.engine import Sources, steps
from impasto.pictures.geometry import fit, resample
from impasto.recipe import Recipe
from impasto.video import motion, sequence
from impasto.video.frames import open_clip, read
from impasto.video.report import warp_error
from impasto.video.sequence import Earlier, Studio, quantise
from impasto.video.settings import VideoRecipe
from impasto.video.store import from_pixels, to_pixels, write_png


@dataclass(frozen=True)
class Row:
    """One clip's figures; times in seconds a frame, evaluations at full size a frame.

    ``film`` to ``ours_raw`` are warp errors, those named raw with the flow as the method finds it,
    without ``motion.rest``. ``style``: frame → style loss over that of the same frame as a picture.
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
    evaluations: float
    ms_each: float
    cpu: float
    wall: float
    known: float
    still: float


def load(place: Path, size: int, frames: int, skip: int = 0) -> list[Tensor]:
    """Frames from the ``skip``-th on, at most ``size`` pixels wide."""
    found = []
    for frame in islice(read(open_clip(place)), skip, None):
        picture = from_pixels(frame.pixels)[:, :3]
        wanted = fit(*picture.shape[-2:], min(size, max(picture.shape[-2:])))
        found.append(quantise(resample(picture, wanted)))
        if len(found) == frames:
            break
    return found


def errors(film: list[Tensor], painted: list[Tensor], raw: bool = False) -> float:
    """Mean warp error over the clip; ``raw``: with DIS flow as it is, noise on bare walls and all."""
    method, found = motion.FLOWS["dis"](), []
    for a, b, x, y in zip(film, film[1:], painted, painted[1:], strict=False):
        longest = max(a.shape[-2:])
        first, second = motion.grey(a, longest), motion.grey(b, longest)
        both = (method(first, second), method(second, first))
        forth, back = both if raw else motion.flows(first, second, method)
        found.append(warp_error(x, y, forth, motion.occluded(forth, back)))
    return float(np.mean(found))


def style_loss(terms: Iterable[tuple[str, float]]) -> float:
    return sum(value for name, value in terms if name.startswith("style"))


def judge(picture: Tensor, film: Tensor, studio: Studio) -> float:
    """The style loss of a finished frame."""
    recipe = sequence.following(studio.recipe, *picture.shape[-2:]).replace(iterations=(1,))
    sources = Sources(film, studio.styles, start=picture, grams=studio.grams)
    return style_loss(next(iter(steps(sources, recipe, studio.encoder))).terms.items())


def one_by_one(film: list[Tensor], studio: Studio, init: str) -> list[Tensor]:
    """Each frame as a picture, as if there were no other; noise of a seed of its own."""
    found = []
    for index, frame in enumerate(film):
        recipe = studio.recipe.picture.replace(size="original", init=init, seed=index)
        *_, last = steps(Sources(frame, studio.styles, grams=studio.grams), recipe, studio.encoder)
        found.append(quantise(last.picture.detach()))
    return found


def measure(place: Path, style: StyleSource, job: api.Job, options: argparse.Namespace) -> Row:
    film = load(place, options.size, options.frames, options.skip)
    height, width = film[0].shape[-2:]
    studio = sequence.open_studio((style,), VideoRecipe(**options.settings), job.encoder, height, width)
    painted = [sequence.paint(film[0], studio)]
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(1, len(film)):
        earlier = [
            Earlier(film[index - j], painted[index - j].pixels)
            for j in studio.recipe.long_term
            if index - j >= 0
        ]
        painted.append(
            sequence.follow(film[index], earlier, painted[-1].reference, studio, first=painted[0].pixels)
        )
    count = max(len(film) - 1, 1)
    cpu, wall = (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count
    ours = [one.pixels for one in painted]
    first = film[: options.baseline]
    from_content, from_noise = (one_by_one(first, studio, init) for init in ("content", "noise"))
    evaluations = float(np.mean([one.evaluations for one in painted[1:]]))
    # The same frames as single pictures: what a video's style loss is compared with.
    style = {}
    for at in sorted({min(at, len(film) - 1) for at in options.style_at}):
        single = judge(one_by_one(film[at : at + 1], studio, "content")[0], film[at], studio)
        style[at] = round(judge(ours[at], film[at], studio) / single, 3)
    sheet(options.output, place.stem, film, ours)
    return Row(
        place.stem, f"{width}×{height}",
        errors(film, film), errors(film, ours), errors(first, ours[: len(first)]),
        errors(first, from_content), errors(first, from_noise),
        errors(film, film, raw=True), errors(film, ours, raw=True), style,
        evaluations, 1000 * cpu / max(evaluations, 1), cpu, wall,
        float(np.mean([one.known for one in painted[1:]])),
        float(np.mean([one.still for one in painted[1:]])),
    )  # fmt: skip


def sheet(folder: Path | None, name: str, film: list[Tensor], painted: list[Tensor]) -> None:
    """First, middle and last frame, filmed above painted, and how much changes beside them."""
    if folder is None:
        return
    at = (0, len(film) // 2, len(film) - 1)
    rows = [torch.cat([line[k] for k in at], dim=3) for line in (film, painted)]
    gaps = [(painted[k] - painted[k - 1]).abs().mul(3).clamp(0, 1) for k in (1, at[1], at[2])]
    write_png(folder / f"{name}.png", to_pixels(torch.cat([*rows, torch.cat(gaps, dim=3)], dim=2), 255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of a clip's name")
    parser.add_argument("--style", type=Path, help="default: a painting of our own")
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0, help="frames to leave out at the start")
    parser.add_argument("--baseline", type=int, default=3)
    parser.add_argument("--style-at", type=int, nargs="*", default=[6, 12, 24], help="frames, from 0")
    parser.add_argument("--settings", type=json.loads, default={}, help="of VideoRecipe, as JSON")
    parser.add_argument("--output", type=Path, help="folder for sheets and figures")
    options = parser.parse_args()
    if options.output is not None:
        options.output.mkdir(exist_ok=True)
    picture = pictures.load(options.style) if options.style else pictures.load(samples.painting("wave"))
    style = StyleSource(picture.pixels, picture.alpha)
    job = api.prepare(samples.photograph("chelsea"), picture, Recipe(size=64))  # for its encoder
    places = [place for place in sorted(options.clips.iterdir()) if place.is_dir() or place.suffix == ".mp4"]
    for place in places:
        files = sorted(place.glob("*.mp4")) if place.is_dir() else [place]
        clip = files[0] if files else place
        if options.only not in str(clip) or "pair" in str(clip):
            continue
        row = measure(clip, style, job, options)
        print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        print(
            f"  warp error: {row.ours / row.film:.2f} × the film's; from content one by one "
            f"{row.from_content / row.ours_early:.1f} × ours, from noise "
            f"{row.from_noise / row.ours_early:.1f} ×; with raw flow {row.ours_raw / row.film_raw:.2f} ×; "
            f"style × the single picture's: {row.style}; "
            f"{row.evaluations:.1f} evaluations, {row.cpu:.1f} s CPU, "
            f"{row.wall:.1f} s wall a frame; Ruder's 1000: {row.ms_each:.0f} s CPU a frame",
            flush=True,
        )


if __name__ == "__main__":
    main()
