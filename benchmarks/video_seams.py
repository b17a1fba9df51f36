"""Study: how a long shot that is painted in two parts looks at the seam, by the length of the overlap.

    python benchmarks/video_seams.py STYLE CLIP CLIP:60 --size 192 --seam 24 --after 20

The shot is painted unbroken, and again from frame `seam` on, as a part that another process paints: once with
a first frame painted by itself (fresh), once with one that follows the shot's first frame (anchored). Both
parts are mixed over overlaps of several lengths, plainly and with their contrast kept. Warp errors are means
over the pairs of frames from `seam` − 1 on, divided by those of the unbroken shot: of all, and of the worst
one. Detail is the standard deviation of what a blur of 4 pixels takes away, the least of all mixed frames ÷
the unbroken one's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto import pictures
from impasto.machine import choose_device
from impasto.painting.setup import encoder_for
from impasto.pictures.filters import gaussian_blur
from impasto.recipe import Recipe, preset
from impasto.scene import Style
from impasto.video.carrying import blend
from impasto.video.clip_context import ClipContext, build_clip_context
from impasto.video.frame_painting import PaintedFrame, paint_following_frame, paint_frame
from impasto.video.settings import VideoRecipe
from impasto.video.warped_past import EarlierFrame
from video import errors, load

OVERLAPS = (0, 1, 2, 4, 8, 12, 16)


def paint(film: list[Tensor], first: PaintedFrame, tone: Tensor, context: ClipContext) -> list[Tensor]:
    """Paint the film after ``first``, its painted first frame; mean and contrast are held to ``tone``."""
    painted = [first]
    for index in range(1, len(film)):
        earlier = [
            EarlierFrame(film[index - back], painted[index - back].pixels)
            for back in context.recipe.long_term
            if index >= back
        ]
        reference = painted[-1].reference
        painted.append(paint_following_frame(film[index], earlier, reference, context, first=tone))
    return [frame.pixels for frame in painted]


def joined(before: list[Tensor], after: list[Tensor], overlap: int, keep: bool) -> list[Tensor]:
    """Both paintings of the same frames, the first giving way to the second over ``overlap`` frames."""
    frames = []
    for index, (a, b) in enumerate(zip(before, after, strict=True)):
        share = min(1.0, (index + 1) / (overlap + 1))
        weights = [torch.full_like(a[:, :1], weight) for weight in (1.0 - share, share)]
        frames.append(blend([a, b], weights) if keep and share < 1.0 else torch.lerp(a, b, share))
    return frames


def detail(picture: Tensor) -> float:
    return float((picture - gaussian_blur(picture, 4.0)).std())


def row(film: list[Tensor], whole: list[Tensor], frames: list[Tensor]) -> list[float]:
    """Warp error of all pairs and of the worst one ÷ those of the whole, and the least detail ÷ its own."""
    pairs = [errors(film[k : k + 2], frames[k : k + 2]) for k in range(len(film) - 1)]
    usual = [errors(film[k : k + 2], whole[k : k + 2]) for k in range(len(film) - 1)]
    details = [detail(a) / detail(b) for a, b in zip(frames, whole, strict=True)]
    return [float(np.mean(pairs)) / float(np.mean(usual)), max(pairs) / max(usual), min(details)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", type=Path)
    parser.add_argument("clips", nargs="+", help="PATH or PATH:FIRST")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--seam", type=int, default=24)
    parser.add_argument("--after", type=int, default=20, help="frames that are painted from the seam on")
    parser.add_argument("--save", type=Path, help="folder for the painted frames")
    options = parser.parse_args()
    picture, seam = pictures.load(options.style), options.seam
    encoder = encoder_for(Recipe(), choose_device())
    recipe = VideoRecipe(picture=preset("fast"))
    print("| clip | start | contrast kept | overlap | warp error | worst pair | least detail |")
    print("|---" * 7 + "|")
    for clip in options.clips:
        path, _, skip = clip.partition(":")
        film = load(Path(path), options.size, seam + options.after, int(skip or 0))
        styles = (Style(picture.pixels, picture.alpha),)
        context = build_clip_context(styles, recipe, encoder, *film[0].shape[-2:])
        start = paint_frame(film[0], context)
        whole = paint(film, start, start.pixels, context)
        own = paint_frame(film[seam], context)
        past = [EarlierFrame(film[0], start.pixels)]
        following = paint_following_frame(film[seam], past, film[0], context, first=start.pixels)
        print(f"{clip}: {following.known:.2f} of the anchored frame is known", flush=True)
        parts = {
            "fresh": paint(film[seam:], own, own.pixels, context),
            "anchored": paint(film[seam:], following, start.pixels, context),
        }
        if options.save is not None:
            torch.save({"film": film, "whole": whole} | parts, options.save / f"{Path(path).stem}.pt")
        seen, usual = film[seam - 1 :], whole[seam - 1 :]
        for name, part in parts.items():
            for keep in (False, True):
                for overlap in OVERLAPS:
                    frames = [whole[seam - 1], *joined(whole[seam:], part, overlap, keep)]
                    cells = [f"{value:.2f}" for value in row(seen, usual, frames)]
                    kept = "yes" if keep else "no"
                    print(
                        f"| {Path(path).stem} | {name} | {kept} | {overlap} |",
                        " | ".join(cells),
                        "|",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
