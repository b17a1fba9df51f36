"""Study: how temporal weight, long-term frames, passes and iterations affect warp error, style and time.

    python benchmarks/video_study.py STYLE CLIP CLIP:60 --size 256 --frames 13

One setting at a time is changed from the defaults; CLIP:60 begins at frame 60. All variants start from the
same first frame. Style is the mean, over every second frame of the second half, of the frame's style loss
divided by that of the same frame painted as a picture. The second row changes a setting by 2 %: its
difference from the defaults is chance.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from impasto import pictures
from impasto.machine import choose_device
from impasto.painting.setup import encoder_for
from impasto.recipe import Recipe
from impasto.scene import Style
from impasto.video.clip_context import ClipContext, build_clip_context
from impasto.video.cuts import Shot
from impasto.video.frame_painting import paint_frame
from impasto.video.settings import VideoRecipe
from impasto.video.shot_painting import paint_shot
from impasto.video.store import Store
from video import errors, judge, load, one_by_one

VARIANTS: dict[str, dict[str, object]] = {
    "defaults": {},
    "temporal weight 1.02": {"temporal_weight": 1.02},
    "temporal weight 0": {"temporal_weight": 0.0},
    "temporal weight 0.1": {"temporal_weight": 0.1},
    "temporal weight 3": {"temporal_weight": 3.0},
    "temporal weight 30": {"temporal_weight": 30.0},
    "J = 1": {"long_term": (1,)},
    "6 iterations": {"following_iterations": 6},
    "12 iterations": {"following_iterations": 12},
    "48 iterations": {"following_iterations": 48},
    "2 passes": {"passes": 2},
    "3 passes": {"passes": 3},
    "nothing copied": {"still_tolerance": 0.0},
    "drift free": {"drift": "free"},
}


@dataclass(frozen=True)
class StudyClip:
    """A clip.

    Attributes:
        film: the frames, (1, 3, H, W) each.
        first: the painted first frame.
        single: frame number → style loss of that frame painted as a picture.
    """

    film: list[Tensor]
    first: Tensor
    single: dict[int, float]


def prepare(place: str, size: int, frames: int, context: ClipContext) -> StudyClip:
    """``place``: a file or a folder, and after a colon the frame to begin with."""
    path, _, skip = place.partition(":")
    film = load(Path(path), size, frames, int(skip or 0))
    single = {
        index: judge(one_by_one(film[index : index + 1], context, "content")[0], film[index], context)
        for index in range(len(film) // 2, len(film), 2)
    }
    return StudyClip(film, paint_frame(film[0], context).pixels, single)


def measure(clip: StudyClip, context: ClipContext) -> tuple[float, float, float]:
    """Warp error over the film's, style loss over that of single pictures, CPU seconds a frame."""
    count, passes = len(clip.film), context.recipe.passes
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for kind in ("input", "reference", *(f"pass{k + 1}" for k in range(passes))):
            store.make(kind)
        for index, frame in enumerate(clip.film):
            store.save("input", index, frame)
        store.save("reference", 0, clip.film[0])
        store.save("pass1", 0, clip.first)
        begin = time.process_time()
        for _ in paint_shot(store, Shot(0, count), context):
            pass
        spent = (time.process_time() - begin) / (count - 1)
        painted = [store.load(f"pass{passes}", index) for index in range(count)]
    style = [judge(painted[k], clip.film[k], context) / single for k, single in clip.single.items()]
    return errors(clip.film, painted) / errors(clip.film, clip.film), float(np.mean(style)), spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", type=Path)
    parser.add_argument("clips", nargs="+", help="PATH or PATH:FIRST")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=13)
    parser.add_argument("--only", default="", help="part of a variant's name")
    options = parser.parse_args()
    picture = pictures.load(options.style)
    encoder = encoder_for(Recipe(), choose_device())
    styles = (Style(picture.pixels, picture.alpha),)
    clips: list[StudyClip] = []
    names = [Path(clip.partition(":")[0]).stem for clip in options.clips]
    heads = [f"{figure}, {name}" for figure in ("warp error × film's", "style × picture's") for name in names]
    print("| variant |", " | ".join(heads), "| CPU s a frame |")
    print("|---" * (len(heads) + 2) + "|")
    for variant, settings in VARIANTS.items():
        if options.only not in variant:
            continue
        rows = []
        for index, clip in enumerate(options.clips):
            height, width = load(Path(clip.partition(":")[0]), options.size, 1)[0].shape[-2:]
            context = build_clip_context(styles, VideoRecipe(**settings), encoder, height, width)
            if index == len(clips):
                clips.append(prepare(clip, options.size, options.frames, context))
            rows.append(measure(clips[index], context))
        warp_errors, style_losses, seconds = zip(*rows, strict=True)
        cells = [f"{value:.2f}" for value in (*warp_errors, *style_losses, float(np.mean(seconds)))]
        print(f"| {variant} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
