"""Works on pieces in this process, or in several processes that share the cores."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeAlias

import torch

from impasto.errors import RecipeError
from impasto.machine import available_memory, choose_device, keep_memory, torch_threads, visible_gpus
from impasto.pieces.parcels import Parcels
from impasto.pieces.piece import Files, Needs, Outcome, Piece, PlaceError, Stopped, attempt

__all__ = ["LocalExecutor", "local_executor", "share_out"]

#: Seconds between two reports of a worker, and seconds that workers have for stopping.
REPORT_INTERVAL, GRACE = 0.5, 10.0

#: The outcomes of a parcel in order, and the seconds that it has taken.
Results: TypeAlias = tuple[list[Outcome], float]


@dataclass(frozen=True)
class LocalExecutor:
    """This machine.

    Attributes:
        processes: number of processes; with 1 the work is done in the calling process.
        threads: PyTorch's threads in each.
        gpus: names of the GPUs that the processes take in turn, one each; none: all see what this one sees.
    """

    processes: int
    threads: int
    gpus: tuple[str, ...] = ()

    def run(self, pieces: Iterable[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        """See :class:`impasto.pieces.piece.Executor`."""
        if self.processes == 1:
            return _run_here(pieces, self.threads, report)
        return _run_in_processes(pieces, self, report)


def local_executor(
    pieces: int, *, processes: int = 0, device: str = "auto", needs: Needs | None = None
) -> LocalExecutor:
    """This machine with its cores shared out.

    Args:
        pieces: how many there are.
        processes: see :func:`share_out`; where it is 0, no more than fit into four fifths of the free memory
            of a CPU.
        device: ``auto``, ``cpu``, ``cuda`` …
        needs: what one piece takes; only its memory counts here.
    """
    chosen = choose_device(device)
    cores = os.cpu_count() or 1
    gpus = visible_gpus() if chosen == torch.device("cuda") else ()
    count, threads = share_out(pieces, cores, processes, chosen.type, len(gpus))
    # Several GPUs have one process each, so that nobody shares their memory.
    if not processes and not gpus and needs is not None and needs.memory and count > 1:
        fitting = max(1, int(0.8 * available_memory(chosen) // needs.memory))
        count, threads = share_out(pieces, cores, min(count, fitting), chosen.type, len(gpus))
    if count == 1:  # the work is done in this process, whose threads are the user's choice
        return LocalExecutor(1, torch.get_num_threads())
    return LocalExecutor(count, threads, gpus)


def share_out(pieces: int, cores: int, processes: int, device: str, gpus: int = 1) -> tuple[int, int]:
    """(processes, threads of each). If ``processes`` is 0: no more threads than cores; one process a GPU.

    Many processes with one thread each paint more pictures per hour than one process with many threads.
    """
    if processes < 0:
        raise RecipeError(f"{processes} processes", "0 (as the machine allows) or more")
    wanted = processes or (cores if device == "cpu" else max(1, gpus))
    count = max(1, min(wanted, pieces))
    return count, max(1, cores // count)


def _run_here(
    pieces: Iterable[Piece], threads: int, report: Callable[[int, float], None]
) -> Generator[Outcome]:
    """Work on one piece after the other in this process."""
    keep_memory()
    files = Files()
    for index, piece in enumerate(pieces):
        # Set for each piece, because the caller does other things with its threads between two of them.
        with torch_threads(threads):
            outcome = attempt(index, piece, files, lambda share, index=index: report(index, share))  # type: ignore[misc]
        yield outcome


def _run_in_processes(
    pieces: Iterable[Piece], executor: LocalExecutor, report: Callable[[int, float], None]
) -> Generator[Outcome]:
    """Work on several pieces at a time, each in a process of its own."""
    count = executor.processes
    context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
    messages, stop = context.Queue(), context.Event()
    arguments = (executor, context.Value("i", 0), messages, stop)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=arguments)
    running: set[Future[Results]] = set()
    parcels = Parcels(pieces)
    try:
        while True:
            # No more than two for each process, so that a million pieces are not pickled at once.
            while len(running) < 2 * count and (parcel := parcels.take(count)):
                running.add(pool.submit(_attempt_all, parcel))
            if not running:
                return
            finished, running = wait(running, timeout=0.25, return_when=FIRST_COMPLETED)
            _forward(messages, report)
            for future in finished:
                outcomes, seconds = future.result()
                parcels.ended(len(outcomes), seconds)
                yield from outcomes
    except BrokenProcessPool:
        raise PlaceError(
            "a process was killed, most likely because memory ran out",
            "everything that was finished is kept",
            "run the same command again with fewer processes",
        ) from None
    finally:
        _shut_down(pool, stop, running)


def _shut_down(pool: ProcessPoolExecutor, stop: Any, running: set[Future[Results]]) -> None:
    """End the workers: those that are busy, as after Ctrl-C, at their next report or after a while."""
    stop.set()
    processes = list((pool._processes or {}).values())
    for future in running:
        future.cancel()
    _, busy = wait(running, timeout=GRACE)
    if busy:
        for process in processes:
            process.terminate()
    pool.shutdown(cancel_futures=True)


def _forward(messages: Any, report: Callable[[int, float], None]) -> None:
    """Pass on the progress that the workers have sent since the last call."""
    while True:
        try:
            index, share = messages.get_nowait()
        except queue.Empty:
            return
        report(index, share)


_messages: Any = None
_stop: Any = None


def _begin_worker(executor: LocalExecutor, begun: Any, messages: Any, stop: Any) -> None:
    """Set up a worker process."""
    global _messages, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; workers obey ``stop`` alone
    take_gpu(executor.gpus, begun)
    torch.set_num_threads(executor.threads)
    keep_memory()
    _messages, _stop = messages, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def take_gpu(gpus: Sequence[str], begun: Any) -> None:
    """Let this process see the next of several GPUs only; before it asks for any.

    Args:
        begun: how many processes have taken one, a ``multiprocessing.Value``.
    """
    with begun.get_lock():
        number, begun.value = begun.value, begun.value + 1
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


def _end_with_parent() -> None:
    """End this worker when the process that started it is killed; otherwise it would wait for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait_for([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _attempt_all(parcel: Sequence[tuple[int, Piece]]) -> Results:
    """Work on pieces in a worker, up to the one that is stopped."""
    begin, outcomes = time.monotonic(), []
    for index, piece in parcel:
        try:
            outcomes.append(_attempt(index, piece))
        except Stopped:
            break
    return outcomes, time.monotonic() - begin


def _attempt(index: int, piece: Piece) -> Outcome:
    last = time.monotonic()  # short pieces report nothing

    def report(share: float) -> None:
        nonlocal last
        if _stop.is_set():
            raise Stopped
        if (now := time.monotonic()) - last > REPORT_INTERVAL:
            last = now
            _messages.put((index, share))

    report(0.0)
    return attempt(index, piece, Files(), report)
