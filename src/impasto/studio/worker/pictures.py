"""Paints a picture job, with progress reports, previews, and saved states to resume from."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError

from impasto import api
from impasto.machine import available_memory, choose_device
from impasto.painting import engine, schedule
from impasto.painting.engine import Progress, Step
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.saved_state import load_state, save_state

__all__ = ["paint_picture", "prepare_run"]

log = logging.getLogger("impasto.studio")

_STATE_FILE = Path("state.safetensors")
_DECODE_SHARE = 0.2  # of the free memory, left for decoding at most
_FIRST_PREVIEW_AFTER = 8  # evaluations; the picture has hardly changed before


def prepare_run(claimed: ClaimedJob, recipe: Recipe, device: str) -> api.PreparedRun:
    """The run that paints ``content.png`` of the working directory; of a clip that is its first frame."""
    inputs = claimed.inputs
    masks = 0 if claimed.job.kind == "video" else inputs.masks
    return api.prepare(
        "content.png",
        inputs.style_files(),
        recipe,
        mask=[f"mask-{number}.png" for number in range(masks)],
        style_mask=[f"style_mask-{number}.png" for number in range(inputs.style_masks)],
        device=device,
        max_memory=_max_memory(claimed, device),
    )


def _max_memory(claimed: ClaimedJob, device: str) -> float:
    """Bytes that painting may take: four fifths of what is free, less what decoding an upload may take.

    On a cluster what was asked for is all there is.
    Uploads are decoded at the same time, in processes of the same service and with the same limit of memory.
    """
    if claimed.max_memory is not None:
        return claimed.max_memory
    chosen = choose_device(device)
    free = available_memory(chosen)
    decoding = min(claimed.settings.decode_bytes, _DECODE_SHARE * free) if chosen.type == "cpu" else 0.0
    return 0.8 * free - decoding


def paint_picture(claimed: ClaimedJob, device: str) -> str:
    """Paint or resume the picture in the working directory; returns the name of the result's file."""
    recipe = claimed.inputs.complete_recipe()
    job = claimed.job
    run = prepare_run(claimed, recipe.replace(size=max(job.height, job.width)), device)
    state = load_state(_STATE_FILE) if recipe.method == "optimise" else None  # others are not worth resuming
    follower = _StepFollower(claimed, run.recipe, schedule.scale_sizes(run.recipe, *run.scene.size))
    result = api.run(
        run,
        on_step=follower.on_step,
        stop=lambda: follower.stopped,
        step_fn=None if state is None else partial(engine.steps, after=state),
    )
    # The picture carries the recipe that was asked for, not the one with its size.
    replace(result, recipe=recipe).save("result.png")
    claimed.publish_preview(result.image)
    return "result.png"


class _StepFollower:
    """Turns a picture's steps into progress reports, previews and saved states.

    Progress is measured in pixels painted: an evaluation costs as much time as its picture has pixels.

    Attributes:
        stopped: whether the run should end.
    """

    def __init__(self, claimed: ClaimedJob, recipe: Recipe, sizes: list[Size]) -> None:
        self.stopped = False
        self._claimed = claimed
        self._pixels = [height * width for height, width in sizes]
        iterations = schedule.max_evaluations(recipe, sizes)
        costs = [n * pixels for n, pixels in zip(iterations, self._pixels, strict=True)]
        self._cost_before = [sum(costs[:scale]) for scale in range(len(sizes))]
        self._total_cost = max(1, sum(costs))
        self._first_progress: float | None = None
        self._started = self._last_save = time.monotonic()
        self._save_interval = claimed.intervals.save
        self._newest: Progress | None = None

    def on_step(self, step: Step) -> None:
        position = Progress(step.scale - 1, step.iteration, step.evaluations, step.picture)
        new_scale = self._newest is not None and self._newest.scale != position.scale
        if self._claimed.draining.is_set():
            self._save(position)
        elif self._newest is not None and new_scale:
            self._save(replace(self._newest, scale=self._newest.scale + 1, iteration=0))
        elif time.monotonic() - self._last_save > self._save_interval:
            self._save(position)
        self._newest = position
        published = self._claimed.preview_count > 0
        first_preview = not published and step.evaluations >= _FIRST_PREVIEW_AFTER
        if first_preview or new_scale or (published and self._claimed.preview_due()):
            self._claimed.publish_preview(step.picture)
        self._report(step, position, force=first_preview)

    def _report(self, step: Step, position: Progress, *, force: bool) -> None:
        cost = self._cost_before[position.scale] + position.iteration * self._pixels[position.scale]
        progress = min(1.0, cost / self._total_cost)
        self._first_progress = progress if self._first_progress is None else self._first_progress
        self.stopped = not self._claimed.report_progress(
            force=force, progress=progress, eta=self._eta(progress), scale=position.scale + 1,
            scales=len(self._pixels), evaluation=position.evaluations,
            loss=step.loss if math.isfinite(step.loss) else None,
        )  # fmt: skip

    def _eta(self, progress: float) -> float | None:
        """Seconds left at the pace of this run so far; None until the pace is known."""
        done = progress - (self._first_progress or 0.0)
        elapsed = time.monotonic() - self._started
        return None if done < 0.01 or elapsed < 0.5 else elapsed / done * (1.0 - progress)

    def _save(self, position: Progress) -> None:
        """Save a state; the next one waits until saving costs a small share of the time at most."""
        begin = time.monotonic()
        try:
            save_state(position, _STATE_FILE)
        except (OSError, SafetensorError) as error:  # such as a full disk: painting can go on all the same
            log.warning("job %s…: its state is not saved: %s", self._claimed.job.id[:6], error)
        self._last_save = time.monotonic()
        intervals = self._claimed.intervals
        self._save_interval = max(intervals.save, intervals.save_cost_factor * (self._last_save - begin))
