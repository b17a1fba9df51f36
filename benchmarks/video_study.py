"""Study: what temporal weight, J, passes and evaluations a frame do to warp error, style and time.

    python benchmarks/video_study.py CLIP STYLE --size 256 --frames 8

One setting at a time is changed from the defaults; whole jobs are run, lossless, and measured as
`impasto video-report` does. Style: the style loss of the last frame over that of the same frame as a picture.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from video import judge, one_by_one

from impasto.scales import resample
from impasto.video import report, sequence
from impasto.video.frames import open_clip, read
from impasto.video.job import VideoJob, prepare_video
from impasto.video.settings import VideoRecipe
from impasto.video.stages import run_video
from impasto.video.store import from_pixels

VARIANTS: dict[str, dict[str, object]] = {
    "defaults": {},
    "temporal weight 0": {"temporal_weight": 0.0},
    "temporal weight 0.1": {"temporal_weight": 0.1},
    "temporal weight 3": {"temporal_weight": 3.0},
    "temporal weight 30": {"temporal_weight": 30.0},
    "J = 1, 2, 4": {"long_term": (1, 2, 4)},
    "6 evaluations": {"evaluations": 6},
    "12 evaluations": {"evaluations": 12},
    "48 evaluations": {"evaluations": 48},
    "2 passes": {"passes": 2},
    "3 passes": {"passes": 3},
    "nothing copied": {"still_tolerance": 0.0},
    "drift free": {"drift": "free"},
}


def style(job: VideoJob, output: Path, frames: int) -> float:
    """Style loss of the last frame over that of the same frame as a picture."""
    studio = sequence.open_studio(job.styles, job.recipe, job.encoder, *job.size)
    *_, painted = read(open_clip(output))
    *_, filmed = islice(read(job.clip), frames)
    film = resample(from_pixels(filmed.pixels)[:, :3], job.size)
    (single,) = one_by_one([film], studio, "content")
    return judge(from_pixels(painted.pixels), film, studio) / judge(single, film, studio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args()
    print("| variant | warp error × film's | style × picture's | contrast, last / first | CPU s a frame |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in VARIANTS.items():
            recipe = VideoRecipe(**settings)
            recipe = recipe.replace(picture=recipe.picture.replace(size=options.size))
            output = Path(folder) / "out.mkv"
            job = prepare_video(
                options.clip, options.style, output, recipe, codec="ffv1", limit=options.frames, restart=True
            )
            begin = time.process_time()
            run_video(job)
            spent = (time.process_time() - begin) / options.frames
            found = report.measure(options.clip, output, limit=options.frames)
            film, result = found.tracks
            contrast = np.array(result.contrasts)
            ratio, kept = result.error / film.error, contrast[-1] / contrast[0]
            strength = style(job, output, options.frames)
            print(f"| {name} | {ratio:.2f} | {strength:.2f} | {kept:.3f} | {spent:.2f} |", flush=True)


if __name__ == "__main__":
    main()
