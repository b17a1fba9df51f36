"""What painting a clip will take: timed on two iterations, or one instant frame."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from impasto.painting import engine, schedule
from impasto.pictures.geometry import fit
from impasto.recipe import Recipe
from impasto.scene import Scene
from impasto.video.clip_context import following_recipes, frame_recipe
from impasto.video.decoding import shots_of
from impasto.video.instant_painting import build_instant_clip
from impasto.video.job import VideoJob
from impasto.video.parts import parts_of

__all__ = ["VideoEstimate", "estimate"]


@dataclass(frozen=True)
class VideoEstimate:
    """What a run will take.

    Attributes:
        seconds: of painting on this machine.
        painted_bytes: of the painted frames in the work folder, of all passes.
        bytes: of the whole work folder, with the filmed frames.
    """

    frames: int
    shots: int
    seconds: float
    painted_bytes: int
    bytes: int


def estimate(job: VideoJob) -> VideoEstimate:
    """What painting will take at most, extrapolated from two iterations that are timed, or one instant frame.

    Call it after :func:`decode` has run to its end.
    """
    shots, parts = shots_of(job), parts_of(job)
    frames = sum(shot.length for shot in shots)
    painted = sum(part.frames.length for part in parts)
    if job.recipe.picture.method == "instant":
        seconds = painted * _seconds_per_instant_frame(job)
    else:
        seconds = _iterations_of_clip(job, painted, len(parts)) * _seconds_per_iteration(job)
    frame_bytes = job.size[0] * job.size[1] * 3 * (1 if job.store.levels == 255 else 2)
    painted_bytes = painted * job.recipe.passes * frame_bytes
    return VideoEstimate(
        frames,
        len(shots),
        seconds / min(job.processes, len(parts)),
        painted_bytes,
        frames * frame_bytes + painted_bytes,
    )


def _seconds_per_instant_frame(job: VideoJob) -> float:
    """Seconds that the network takes for a frame, measured on a grey one."""
    clip = build_instant_clip(job.styles, job.recipe, job.encoder, *job.size, saved=job.saved_styles)
    grey = torch.full((1, 3, *job.size), 0.5)
    moments = clip.moments(grey)
    clip.begin(grey, moments)  # the first one takes longer
    begin = time.perf_counter()
    clip.finish(clip.begin(grey, moments, grey), grey)
    return time.perf_counter() - begin


def _iterations_of_clip(job: VideoJob, frames: int, shots: int) -> float:
    """Iterations that all frames take at most, counted at full size."""
    alone, following = _iterations(job)
    painted_alone = frames if job.recipe.independent else shots
    later_passes = frames * (job.recipe.passes - 1)
    return painted_alone * alone + (frames - painted_alone + later_passes) * following


def _seconds_per_iteration(job: VideoJob) -> float:
    """Seconds per iteration at full size, measured at half the size, where a pixel costs the same."""
    height, width = job.size
    small = fit(height, width, max(64, max(height, width) // 2))
    scene = Scene(torch.full((1, 3, *small), 0.5), job.styles)
    recipe = frame_recipe(job.recipe).replace(
        size=max(small), coarsest=max(small), iterations=(2,), finishing=(0,), init="content",
        keep_colours=0.0, clean_chroma=None,
    )  # fmt: skip
    begin = time.perf_counter()
    for _ in engine.steps(scene, recipe, job.encoder):
        pass
    # Two iterations, and the style statistics, which take about as long as one.
    seconds = (time.perf_counter() - begin) / 3.0
    return seconds * height * width / (small[0] * small[1])


def _iterations(job: VideoJob) -> tuple[float, float]:
    """Iterations of a frame painted by itself and of one that follows another, counted at full size."""
    area = job.size[0] * job.size[1]

    def cost(recipe: Recipe) -> float:
        sizes = schedule.scale_sizes(recipe, *job.size)
        iterations = schedule.max_evaluations(recipe, sizes)
        return sum(n * height * width / area for n, (height, width) in zip(iterations, sizes, strict=True))

    following = sum(cost(recipe) for recipe in following_recipes(job.recipe, *job.size))
    return cost(frame_recipe(job.recipe)), following
