"""Runs a study: what is missing of its cells, in as many processes as the machine has use for."""

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

from impasto.errors import ImpastoError, PictureError, RecipeError
from impasto.machine import choose_device
from impasto.painting.engine import Step
from impasto.studies import cells, sources
from impasto.studies.cells import Task
from impasto.studies.judges import choose
from impasto.studies.plan import Plan

__all__ = ["Outcome", "Progress", "conduct", "share_out"]


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        done, cells: finished cells, earlier calls included, and all of them.
        share: of this call's work that is behind us, in [0, 1], counted in pixels × evaluations.
        label: the cell that was heard of last.
    """

    done: int
    cells: int
    share: float
    label: str


@dataclass(frozen=True)
class Outcome:
    """A study that has been conducted.

    Attributes:
        failures: cell folder's name → the error's line. They are tried again by the next call.
        painted: cells that this call painted; the others were there.
    """

    folder: Path
    plan: Plan
    tasks: tuple[Task, ...]
    failures: dict[str, str]
    painted: int
    seconds: float


def conduct(
    plan: Plan,
    folder: Path,
    *,
    judge: str = "auto",
    judge_weights: Path | None = None,
    workers: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Do what is missing of a study, then write its results, sheet and page into ``folder``.

    Args:
        folder: of the study; its parent must exist. One run per cell goes into ``folder/cells``.
        judge, judge_weights: the encoder that measures, see ``judges``.
        workers: processes; 0: as many as there are cores and cells, one on a GPU.
        device: ``auto``, ``cpu``, ``cuda`` …
        on_progress: called often; must be quick.

    Raises:
        RecipeError, PictureError, WeightsError: the plan cannot be carried out at all. A cell that fails
            alone is reported in the outcome.
    """
    from impasto.studies import report

    begin = time.perf_counter()
    tasks = tasks_of(plan, folder, judge, judge_weights, device)
    missing = [task for task in tasks if not cells.is_judged(task)]
    to_paint = sum(not cells.is_done(task) for task in missing)
    count, threads = share_out(len(missing), os.cpu_count() or 1, workers, choose_device(device).type)
    tell = _Teller(missing, len(tasks), on_progress)
    work = _here(missing, threads, tell) if count == 1 else _in_processes(missing, count, threads, tell)
    failures = {missing[index].folder.name: error for index, error in work if error is not None}
    outcome = Outcome(
        folder, plan, tuple(tasks), failures, to_paint - len(failures), time.perf_counter() - begin
    )
    report.write(outcome)
    return outcome


def tasks_of(plan: Plan, folder: Path, judge: str, judge_weights: Path | None, device: str) -> list[Task]:
    """The study's cells as tasks; makes its folder and finds out what can be known to fail."""
    all_cells = plan.cells()
    chosen = choose(judge, judge_weights, {cell.recipe.encoder for cell in all_cells})
    for spec in dict.fromkeys((*plan.contents, *plan.styles, *plan.references)):
        sources.picture(spec)
    _make(folder, plan)
    shown = tuple(name for name, labels in plan.axes.items() if len(labels) > 1) or ("seed",)
    return [Task(folder / "cells", cell, shown, chosen, plan.references, device) for cell in all_cells]


def _make(folder: Path, plan: Plan) -> None:
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "plan.yaml").is_file():
            raise PictureError(
                f"{str(folder)!r} holds something else than a study", "a new, empty or earlier study's folder"
            )
        (folder / "cells").mkdir(parents=False, exist_ok=True) if folder.is_dir() else folder.mkdir()
        (folder / "cells").mkdir(exist_ok=True)
        (folder / "plan.yaml").write_text(plan.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise PictureError(
            f"no study can be kept in {str(folder)!r}: {error.strerror}", "a folder in a folder that exists"
        ) from None


def share_out(tasks: int, cores: int, workers: int, device: str) -> tuple[int, int]:
    """(processes, threads of each): never more threads in all than cores. A GPU serves one process.

    One thread each and many processes paint more pictures an hour than the reverse.
    """
    if workers < 0:
        raise RecipeError(f"{workers} workers", "0 (as the machine allows) or more")
    wanted = workers or (cores if device == "cpu" else 1)
    count = max(1, min(wanted, tasks))
    return count, max(1, cores // count)


class _Teller:
    """Turns what is heard of cells into :class:`Progress`."""

    def __init__(self, tasks: list[Task], total: int, listener: Callable[[Progress], None] | None) -> None:
        self.tasks, self.total, self.listener = tasks, total, listener
        self.shares = [0.0] * len(tasks)
        self.ended = total - len(tasks)
        self.cost = sum(task.cost for task in tasks) or 1.0

    def hear(self, index: int, share: float) -> None:
        """Cell ``index`` has this share of its evaluations behind it."""
        self.shares[index] = max(self.shares[index], share)
        self._tell(index)

    def end(self, index: int) -> None:
        """Cell ``index`` needs no more."""
        self.shares[index], self.ended = 1.0, self.ended + 1
        self._tell(index)

    def _tell(self, index: int) -> None:
        if self.listener is not None:
            behind = sum(share * task.cost for share, task in zip(self.shares, self.tasks, strict=True))
            label = ", ".join(self.tasks[index].cell.coordinates[name] for name in self.tasks[index].shown)
            self.listener(Progress(self.ended, self.total, behind / self.cost, label))


def _here(tasks: list[Task], threads: int, tell: _Teller) -> Iterator[tuple[int, str | None]]:
    """One after the other in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for index, task in enumerate(tasks):

            def on_step(step: Step, index: int = index) -> None:
                tell.hear(index, step.evaluations / step.planned)

            error = cells.attempt(task, on_step)
            tell.end(index)
            yield index, error
    finally:
        torch.set_num_threads(before)


def _in_processes(
    tasks: list[Task], count: int, threads: int, tell: _Teller
) -> Iterator[tuple[int, str | None]]:
    """Spawned, not forked: PyTorch's threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    news, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(threads, news, stop))
    try:
        waiting = {pool.submit(_attempt, index, task): index for index, task in enumerate(tasks)}
        while waiting:
            finished, _ = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
            _pass_on(news, tell)
            for future in finished:
                index = waiting.pop(future)
                tell.end(index)
                yield index, _error_of(future)
    finally:
        stop.set()  # at Ctrl-C the cells in work are given up at their next step
        pool.shutdown(cancel_futures=True)


def _error_of(future: Future[str | None]) -> str | None:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ImpastoError(
            "a process of the study was ended from outside, most likely for want of memory",
            "all finished cells are kept",
            "run the same command again, with --workers 1",
        ) from None


def _pass_on(news: Any, tell: _Teller) -> None:
    while True:
        try:
            index, share = news.get_nowait()
        except queue.Empty:
            return
        tell.hear(index, share)


class _StoppedError(Exception):
    """The study was stopped while a cell was in work."""


_news: Any = None
_stop: Any = None


def _begin(threads: int, news: Any, stop: Any) -> None:
    """First thing in a worker process."""
    global _news, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the study itself tells its workers
    torch.set_num_threads(threads)
    _news, _stop = news, stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A study that is killed takes its workers with it: they would wait for work for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait_for([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _attempt(index: int, task: Task) -> str | None:
    last = 0.0

    def on_step(step: Step) -> None:
        nonlocal last
        if _stop.is_set():
            raise _StoppedError
        if (now := time.monotonic()) - last > 0.5:
            last = now
            _news.put((index, step.evaluations / step.planned))

    return None if _stop.is_set() else cells.attempt(task, on_step)
