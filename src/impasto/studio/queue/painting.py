"""One job from its row to its result: previews and progress on the way, saved states to go on from."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from impasto import api, pictures, samples
from impasto.errors import ImpastoError
from impasto.painting import schedule
from impasto.painting.engine import Step
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe
from impasto.studio.queue.jobs import Job, Jobs
from impasto.studio.queue.keeping import borrow, folder_bytes
from impasto.studio.queue.saving import State, plan_from
from impasto.studio.sandbox import isolation
from impasto.studio.sandbox.preparing import Order, clip_job, decode_clip, recipes, thumbnail
from impasto.studio.settings import StudioSettings

__all__ = ["paint", "warm_up"]

_TELL = 0.2  # seconds between two words on progress
_SHOW = 0.5  # and two previews
_SAVE = 5.0  # and two saved states, at least
_SAVE_SHARE = 20.0  # and so many times as long as saving takes
_FIRST_SHOWN = 8  # evaluations after which a picture is worth looking at
_PREVIEW = 1024
_QUICK = {"size": 256, "coarsest": 128, "iterations": (40, 20)}  # of a clip's first frame, to see the style


def warm_up(device: str) -> None:
    """Load what every job needs: the first preview should not wait for it."""
    picture = samples.photograph("chelsea")[..., :128, :128]
    job = api.prepare(picture, picture, Recipe(size=128, iterations=(3,)), device=device)
    api.run(job)


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The client cancelled, or the time for one job is over."""


class _Easel:
    """One claimed job: its folder, and the way to tell how it goes."""

    def __init__(self, job: Job, jobs: Jobs, settings: StudioSettings, slot: str) -> None:
        self.job, self.jobs, self.settings, self.slot = job, jobs, settings, slot
        self.folder = settings.folder(job.id)
        self.begin = time.monotonic()
        self.previews = job.preview
        self.told = self.shown = 0.0
        self.wanted = True
        self.latest: dict[str, Any] = {}
        files = job.files
        self.order = Order(
            job.recipe, job.video, tuple(one["id"] for one in files["styles"]),
            files["masks"], files["style_masks"],
        )  # fmt: skip

    @property
    def spent(self) -> float:
        """Seconds of painting, those of earlier workers included."""
        return (self.job.seconds or 0.0) + time.monotonic() - self.begin

    def tell(self, *, force: bool = False, **columns: Any) -> bool:
        """Write progress down, five times a second at most; False: stop."""
        self.latest |= columns
        if force or time.monotonic() - self.told > _TELL:
            self.told = time.monotonic()
            columns |= {"preview": self.previews, "seconds": self.spent}
            self.wanted = self.jobs.update(self.job.id, self.slot, **columns)
        return self.wanted and self.spent < self.settings.job_seconds

    def show(self, picture: Image.Image | Tensor) -> None:
        """A new preview."""
        if isinstance(picture, Tensor):
            picture = Image.fromarray(pictures.to_uint8(picture))
        picture.thumbnail((_PREVIEW, _PREVIEW))
        partial = Path("preview.partial")
        picture.convert("RGB").save(partial, "JPEG", quality=85)
        partial.replace("preview.jpg")
        self.previews, self.shown = self.previews + 1, time.monotonic()

    def due(self) -> bool:
        """Whether it is time for another preview."""
        return time.monotonic() - self.shown > _SHOW

    def end(self, result: str | None, error: str | None = None) -> None:
        """Tidy up and finish."""
        for pattern in ("style-*.png", "mask-*.png", "style_mask-*.png", "state.*", "*.partial"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        state = "failed" if error else "done" if self.wanted else "cancelled"
        self.jobs.finish(
            self.job.id, self.slot, state, **self.latest, result=result, error=error, preview=self.previews,
            seconds=self.spent, bytes=folder_bytes(self.folder),
        )  # fmt: skip


def paint(job: Job, jobs: Jobs, settings: StudioSettings, slot: str, device: str) -> None:
    """Paint a claimed job to its end; whatever goes wrong with it becomes its one line."""
    easel = _Easel(job, jobs, settings, slot)
    twin = jobs.twin(job.digest)
    if twin is not None and borrow(twin, easel.folder, settings):
        easel.previews = max(1, easel.previews)
        easel.end(twin.result)
        return
    try:
        with _inside(easel.folder):
            result = (_paint_clip if job.kind == "video" else _paint_picture)(easel, device)
            if result is not None:
                thumbnail(Path("preview.jpg"), Path("thumb.webp"))
        easel.end(result)
    except ImpastoError as error:
        easel.end(None, str(error))
    except Exception:
        logging.exception("job %s…", job.id[:6])
        easel.end(None, "the studio failed at this job; its log says why")


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# -- pictures ------------------------------------------------------------------------------------------


def _prepared(easel: _Easel, recipe: Recipe, device: str) -> api.PreparedRun:
    order = easel.order
    clip = easel.job.kind == "video"
    return api.prepare(
        "content.png",
        [f"style-{n}.png" for n in range(len(order.styles))],
        recipe,
        mask=[] if clip else [f"mask-{n}.png" for n in range(order.masks)],
        style_mask=[f"style_mask-{n}.png" for n in range(order.style_masks)],
        device=device,
    )


def _paint_picture(easel: _Easel, device: str) -> str:
    recipe, _ = recipes(easel.order)
    whole = _prepared(easel, recipe.replace(size=max(easel.job.height, easel.job.width)), device)
    state = State.load(Path("state.safetensors"))
    plan = schedule.scale_sizes(whole.recipe, *whole.scene.size)
    first, left = plan_from(whole.recipe, plan, state)
    job = whole
    if state is not None:
        job = replace(whole, recipe=left, scene=replace(whole.scene, start=state.picture))
    watch = _Watch(easel, whole.recipe, plan, first, state)
    result = api.run(job, on_step=watch.step, stop=lambda: watch.over)
    replace(result, recipe=recipe).save("result.png")
    easel.show(result.image)
    return "result.png"


class _Watch:
    """Follows the steps of a picture: progress in pixels painted, previews, saved states."""

    def __init__(
        self, easel: _Easel, recipe: Recipe, plan: list[tuple[int, int]], first: int, state: State | None
    ) -> None:
        self.easel, self.first, self.over = easel, first, False
        self.scales = len(plan)
        budgets = [schedule.max_evaluations(recipe, scale) for scale in range(len(plan))]
        self.cost = [height * width for height, width in plan]
        self.before = [
            sum(b * c for b, c in zip(budgets[:k], self.cost[:k], strict=True)) for k in range(len(plan))
        ]
        self.total = sum(b * c for b, c in zip(budgets, self.cost, strict=True))
        resumed = state is not None and state.scale == first
        self.skipped = state.iteration if resumed and state is not None else 0
        self.evaluations = state.evaluations if state is not None else 0
        self.start: float | None = None
        self.begin = self.saved = time.monotonic()
        self.pause = _SAVE
        self.newest: tuple[int, int, int, Tensor] | None = None

    def step(self, step: Step) -> None:
        scale = self.first + step.scale - 1
        iteration = step.iteration + (self.skipped if step.scale == 1 else 0)
        evaluation = self.evaluations + step.evaluations
        progress = min(1.0, (self.before[scale] + iteration * self.cost[scale]) / max(1, self.total))
        self.start = progress if self.start is None else self.start
        turned = self.newest is not None and self.newest[0] != scale
        if turned and self.newest is not None:
            self._save(self.newest[0] + 1, 0, self.newest[2], self.newest[3])
        elif time.monotonic() - self.saved > self.pause:
            self._save(scale, iteration, evaluation, step.picture)
        self.newest = (scale, iteration, evaluation, step.picture)
        first = self.easel.previews == 0 and step.evaluations >= _FIRST_SHOWN
        if first or turned or (self.easel.previews and self.easel.due()):
            self.easel.show(step.picture)
        finite = step.loss if abs(step.loss) < float("inf") else None
        self.over = not self.easel.tell(
            force=first, progress=progress, eta=self._eta(progress), scale=scale + 1, scales=self.scales,
            evaluation=evaluation, loss=finite,
        )  # fmt: skip

    def _eta(self, progress: float) -> float | None:
        done = progress - (self.start or 0.0)
        passed = time.monotonic() - self.begin
        return None if done < 0.01 or passed < 0.5 else passed / done * (1.0 - progress)

    def _save(self, scale: int, iteration: int, evaluations: int, picture: Tensor) -> None:
        """Seldom enough that saving a large picture costs a twentieth of the time at most."""
        begin = time.monotonic()
        State(scale, iteration, evaluations, picture).save(Path("state.safetensors"))
        self.saved = time.monotonic()
        self.pause = max(_SAVE, _SAVE_SHARE * (self.saved - begin))


# -- clips ---------------------------------------------------------------------------------------------


def _paint_clip(easel: _Easel, device: str) -> str | None:
    settings, files = easel.settings, easel.job.files
    task = isolation.Task(
        decode_clip, easel.folder, easel.order, files["copy"], settings.frames,
        memory=settings.decode_bytes, seconds=settings.clip_seconds,
    )  # fmt: skip
    try:
        if not easel.previews:
            with suppress(ImpastoError):  # a look, no more: what is wrong with it the clip will say
                _first_look(easel, device)
        while not task.wait(_TELL):
            if not easel.tell(progress=0.0):
                raise _Stopped
    except _Stopped:
        task.stop()
        return None
    frames = task.result()
    job = clip_job(easel.order, files["copy"], device, settings.frames)
    easel.tell(force=True, frames=frames, progress=0.05)
    from impasto.video.stages import run_video

    try:
        run_video(job, on_moment=_follow(easel, job, frames))
    except _Stopped:
        return _so_far(job, frames)
    return "result.mp4"


def _first_look(easel: _Easel, device: str) -> None:
    """The first frame painted small, while the others are being decoded."""
    recipe, _ = recipes(easel.order)
    size = min(256, max(easel.job.height, easel.job.width))
    job = _prepared(easel, recipe.replace(**(_QUICK | {"size": size})), device)

    def stop() -> bool:
        return not easel.tell(progress=0.0)

    result = api.run(job, stop=stop)
    easel.show(resample(result.pixels, (easel.job.height, easel.job.width)))
    if not easel.tell(force=True, progress=0.0):
        raise _Stopped


def _follow(easel: _Easel, job: Any, frames: int) -> Callable[[Any], None]:
    def moment(at: Any) -> None:
        share = at.done / max(1, at.total)
        eta = at.seconds / at.fresh * (at.total - at.done) if at.fresh and at.stage == "paint" else None
        progress = {"decode": 0.05, "paint": 0.05 + 0.9 * share}.get(at.stage, 0.95)
        if (at.stage == "paint" and at.fresh and easel.due()) or (at.stage == "encode" and not at.done):
            newest = job.store.newest(f"pass{job.recipe.passes}") or job.store.newest("pass1")
            if newest is not None:
                with Image.open(newest) as picture:
                    easel.show(picture)
        frame = min(at.done, frames) if at.stage != "encode" else frames
        if not easel.tell(progress=progress, eta=eta, frame=frame, frames=frames):
            raise _Stopped

    return moment


def _so_far(job: Any, frames: int) -> str | None:
    """A cancelled clip up to the last frame that was painted; its sound would be longer than it."""
    from impasto.video.stages import finished_frames
    from impasto.video.writing import write

    last = f"pass{job.recipe.passes}"
    there = next((n for n in range(frames) if not job.store.has(last, n)), frames)
    if not there or job.codec is None:
        job.store.remove()
        return None
    write(job.output, islice(finished_frames(job), there), job.clip, job.codec, quality=job.quality, copy=())
    job.store.remove()
    return "result.mp4"
