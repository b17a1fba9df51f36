"""Runs a study: paints and measures the cells that are not finished yet, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import torch

from impasto.errors import ImpastoError, PictureError, RecipeError, require_extra
from impasto.files import write_atomically
from impasto.machine import choose_device
from impasto.painting.engine import Step
from impasto.studies import cells, sources
from impasto.studies.cells import CellTask
from impasto.studies.judges import choose
from impasto.studies.plan import StudyPlan
from impasto.studies.results import StudyOutcome

__all__ = ["StudyProgress", "run_study", "share_out"]

#: Modules of the extra ``studies``, which plans, charts and pages need.
MODULES = ("matplotlib", "jinja2", "yaml")


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        done, cells: number of finished cells, those of earlier calls included, and of all cells.
        share: share of this call's work that is done, in [0, 1], counted in pixels × iterations.
        label: of the cell that made the latest step.
    """

    done: int
    cells: int
    share: float
    label: str


def run_study(
    plan: StudyPlan,
    folder: Path,
    *,
    judge: str = "auto",
    judge_weights: Path | None = None,
    workers: int = 0,
    device: str = "auto",
    on_progress: Callable[[StudyProgress], None] | None = None,
) -> StudyOutcome:
    """Paint and measure what is missing of a study, then write its results, sheet and page into ``folder``.

    Args:
        folder: of the study; its parent must exist. One run per cell goes into ``folder/cells``.
        judge, judge_weights: the encoder that measures, see :mod:`impasto.studies.judges`.
        workers: number of processes; 0: as many as there are cores, but no more than cells, and one on a GPU.
        device: ``auto``, ``cpu``, ``cuda`` …
        on_progress: called often; must be quick.

    Raises:
        RecipeError, PictureError, WeightsError: the plan cannot be carried out at all. The failure of a
            single cell is reported in the outcome.
    """
    require_extra("studies", MODULES, "a study", RecipeError)
    from impasto.studies import report

    begin = time.perf_counter()
    tasks = tasks_of(plan, folder, judge, judge_weights, device)
    missing = [task for task in tasks if not cells.is_judged(task)]
    to_paint = sum(not cells.is_done(task) for task in missing)
    count, threads = share_out(len(missing), os.cpu_count() or 1, workers, choose_device(device).type)
    progress = ProgressAggregator(missing, len(tasks), on_progress)
    if count == 1:
        finished = _run_here(missing, threads, progress)
    else:
        finished = _run_in_processes(missing, count, threads, progress)
    failures = {missing[index].folder.name: error for index, error in finished if error is not None}
    seconds = time.perf_counter() - begin
    outcome = StudyOutcome(folder, plan, tuple(tasks), failures, to_paint - len(failures), seconds)
    report.write(outcome)
    return outcome


def tasks_of(
    plan: StudyPlan, folder: Path, judge: str, judge_weights: Path | None, device: str
) -> list[CellTask]:
    """The study's cells as tasks; makes its folder. Errors that are certain to occur are raised here."""
    all_cells = plan.cells()
    chosen = choose(judge, judge_weights, {cell.recipe.encoder for cell in all_cells})
    for spec in dict.fromkeys((*plan.contents, *plan.styles, *plan.references)):
        sources.picture(spec)
    _make_folder(folder, plan)
    shown = tuple(name for name, labels in plan.axes.items() if len(labels) > 1) or ("seed",)
    return [CellTask(folder / "cells", cell, shown, chosen, plan.references, device) for cell in all_cells]


def _make_folder(folder: Path, plan: StudyPlan) -> None:
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "plan.yaml").is_file():
            raise PictureError(
                f"{str(folder)!r} holds something other than a study",
                "a new or empty folder, or that of an earlier study",
            )
        folder.mkdir(exist_ok=True)
        (folder / "cells").mkdir(exist_ok=True)
        write_atomically(folder / "plan.yaml", plan.to_yaml())
    except OSError as error:
        raise PictureError(
            f"the study cannot be written to {str(folder)!r}: {error.strerror}",
            "a folder in a folder that exists",
        ) from None


def share_out(tasks: int, cores: int, workers: int, device: str) -> tuple[int, int]:
    """(processes, threads of each). If ``workers`` is 0: no more threads than cores; on a GPU one process.

    Many processes with one thread each paint more pictures per hour than one process with many threads.
    """
    if workers < 0:
        raise RecipeError(f"{workers} workers", "0 (as the machine allows) or more")
    wanted = workers or (cores if device == "cpu" else 1)
    count = max(1, min(wanted, tasks))
    return count, max(1, cores // count)


class ProgressAggregator:
    """Adds the progress of all cells up to that of the study, and reports it.

    Args:
        tasks: what this call has to do.
        cells: number of all cells of the study, those finished earlier included.
        listener: called at every change.
    """

    def __init__(
        self, tasks: list[CellTask], cells: int, listener: Callable[[StudyProgress], None] | None
    ) -> None:
        self.tasks, self.cells, self.listener = tasks, cells, listener
        self.shares = [0.0] * len(tasks)
        self.done = cells - len(tasks)
        self.cost = sum(task.cost for task in tasks) or 1.0

    def update(self, index: int, share: float) -> None:
        """Record that task ``index`` has made this share of its iterations."""
        self.shares[index] = max(self.shares[index], share)
        self._report(index)

    def finish(self, index: int) -> None:
        """Record that task ``index`` has ended."""
        self.shares[index], self.done = 1.0, self.done + 1
        self._report(index)

    def _report(self, index: int) -> None:
        if self.listener is not None:
            work = sum(share * task.cost for share, task in zip(self.shares, self.tasks, strict=True))
            task = self.tasks[index]
            label = ", ".join(task.cell.coordinates[name] for name in task.shown)
            self.listener(StudyProgress(self.done, self.cells, work / self.cost, label))


def _run_here(
    tasks: list[CellTask], threads: int, progress: ProgressAggregator
) -> Iterator[tuple[int, str | None]]:
    """(index, error or None) of each task, one after the other in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for index, task in enumerate(tasks):

            def on_step(step: Step, index: int = index) -> None:
                progress.update(index, step.evaluations / step.planned)

            error = cells.attempt(task, on_step)
            progress.finish(index)
            yield index, error
    finally:
        torch.set_num_threads(before)


def _run_in_processes(
    tasks: list[CellTask], count: int, threads: int, progress: ProgressAggregator
) -> Iterator[tuple[int, str | None]]:
    """(index, error or None) of each task, in the order in which they end, from ``count`` processes."""
    context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
    messages, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin_worker, initargs=(threads, messages, stop)
    )
    try:
        waiting = {pool.submit(_attempt, index, task): index for index, task in enumerate(tasks)}
        while waiting:
            finished, _ = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
            _forward(messages, progress)
            for future in finished:
                index = waiting.pop(future)
                progress.finish(index)
                yield index, _error_of(future)
    finally:
        stop.set()  # so that at Ctrl-C the cells being painted stop at their next step
        pool.shutdown(cancel_futures=True)


def _error_of(future: Future[str | None]) -> str | None:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ImpastoError(
            "a process of the study was killed, most likely because memory ran out",
            "all finished cells are kept",
            "run the same command again, with --workers 1",
        ) from None


def _forward(messages: Any, progress: ProgressAggregator) -> None:
    """Pass on the progress that the workers have sent since the last call."""
    while True:
        try:
            index, share = messages.get_nowait()
        except queue.Empty:
            return
        progress.update(index, share)


class StudyStoppedError(Exception):
    """The study was stopped while a cell was being painted."""


_messages: Any = None
_stop: Any = None


def _begin_worker(threads: int, messages: Any, stop: Any) -> None:
    """Set up a worker process."""
    global _messages, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; workers obey ``stop`` alone
    torch.set_num_threads(threads)
    _messages, _stop = messages, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the study's process is killed; otherwise it would wait for work for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait_for([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _attempt(index: int, task: CellTask) -> str | None:
    last = 0.0

    def on_step(step: Step) -> None:
        nonlocal last
        if _stop.is_set():
            raise StudyStoppedError
        if (now := time.monotonic()) - last > 0.5:
            last = now
            _messages.put((index, step.evaluations / step.planned))

    return None if _stop.is_set() else cells.attempt(task, on_step)
