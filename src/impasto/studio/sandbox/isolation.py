"""A function in a process of its own, with limits on memory and processor time: for bytes of strangers.

The processes are forked from one that has the libraries loaded, so that they start in milliseconds. A child
that takes too much, crashes in a decoder or loops ends by itself; the caller gets one line.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError

__all__ = ["RefusedError", "Task", "run", "start", "warm"]

_PRELOADED = ["__main__", "impasto.studio.sandbox.preparing"]


class RefusedError(ImpastoError):
    """What a client sent cannot be used.

    Attributes:
        status: HTTP status of the answer.
        field: the part of the form, or the setting, that it is about.
    """

    def __init__(
        self, got: str, expected: str = "", remedy: str = "", *, status: int = 422, field: str | None = None
    ) -> None:
        super().__init__(got, expected, remedy)
        self.status, self.field = status, field


def _context() -> Any:
    name = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        context.set_forkserver_preload(_PRELOADED)
    return context


class Task:
    """A call that runs in a child.

    Args:
        function: of a module; its arguments and its answer are pickled.
        memory: bytes that the child may take beyond what it starts with.
        seconds: of processor time; four times as long by the clock.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, memory: int, seconds: int) -> None:
        context = _context()
        self.seconds, self.end = seconds, time.monotonic() + 4 * seconds + 30
        self._answer, answer = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_child, args=(answer, function, arguments, memory, seconds), daemon=True
        )
        self._process.start()
        answer.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended, after ``seconds`` at most."""
        if time.monotonic() > self.end:
            self.stop()
        left = max(0.0, self.end - time.monotonic())
        return self._answer.poll(left if seconds is None else min(seconds, left)) or left == 0.0

    def stop(self) -> None:
        """End it now."""
        self._process.kill()

    def result(self) -> Any:
        """Its answer; raises the project's error that it raised, or ``RefusedError`` where it was ended."""
        while not self.wait():
            pass
        try:
            kind, value = self._answer.recv()
        except (EOFError, OSError):
            kind, value = "ended", None
        finally:
            self._answer.close()
            self._process.join(5.0)
            self._process.close()
        if kind == "answer":
            return value
        if kind == "error":
            got, expected, remedy, status, field = value
            raise RefusedError(got, expected, remedy, status=status, field=field)
        raise RefusedError(
            "the file takes more memory or time to decode than is allowed, or breaks its decoder",
            remedy="export it again, smaller",
        )


def run(function: Callable[..., Any], *arguments: Any, memory: int, seconds: int) -> Any:
    """The same, waited for."""
    return Task(function, *arguments, memory=memory, seconds=seconds).result()


def start() -> None:
    """Have the process begin that children are forked from; returns at once."""
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def warm() -> None:
    """The same, and wait until it is ready: as long as it takes to load PyTorch."""
    run(os.getpid, memory=10**9, seconds=60)


def _child(
    answer: Any, function: Callable[..., Any], arguments: tuple[Any, ...], memory: int, seconds: int
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(memory, seconds)
    import torch

    torch.set_num_threads(1)
    with suppress(OSError):  # the caller is gone
        answer.send(_called(function, arguments))


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "answer", function(*arguments)
    except RefusedError as error:
        return "error", (error.got, error.expected, error.remedy, error.status, error.field)
    except ImpastoError as error:
        return "error", (error.got, error.expected, error.remedy, 422, None)
    except MemoryError:
        return "ended", None
    except Exception as error:  # noqa: BLE001 - decoders raise anything; the caller has one line to show
        return "error", (
            f"the file cannot be read ({type(error).__name__})",
            "",
            "export it again",
            422,
            None,
        )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), 9)


def _limit(memory: int, seconds: int) -> None:
    """Memory beyond the present address space, processor time, and no core dump with pictures in it."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    now = 0
    with suppress(OSError, ValueError):
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    spent = time.process_time()
    for which, limit in (
        (resource.RLIMIT_AS, now + memory),
        (resource.RLIMIT_CPU, int(spent) + seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(which, (limit, limit))
