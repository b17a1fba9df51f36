"""Calls a function in a separate process with limits on memory, processor time, files and system calls.

Untrusted bytes are decoded this way. The processes are forked from one that has the libraries loaded, so
that they start within milliseconds. A child that takes too much, crashes in a decoder or never returns is
ended; the caller gets a one-line error. What the child sends is JSON, and nothing else is read from it: a
pickle from a child that a stranger's file has taken over would run that stranger's code here.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, forkserver
from pathlib import Path
from types import TracebackType
from typing import Any

from impasto.errors import ImpastoError
from impasto.studio.errors import RefusedError
from impasto.studio.queue.attempts import FailureKind, failure_kind
from impasto.studio.sandbox.landlock import Fence, confine_files
from impasto.studio.sandbox.seccomp import forbid_needless_system_calls

__all__ = ["SandboxedCall", "run_sandboxed", "start_forkserver", "wait_for_forkserver"]

_PRELOADED_MODULES = ["__main__", "impasto.studio.sandbox.preloaded"]
_NICE = 5  # below the server, which has to answer meanwhile, and above the workers
_MAX_OPEN_FILES = 256
_MAX_FILE_BYTES = 2_000_000_000  # of each file that is written
_MAX_ANSWER = 4_000_000  # bytes of JSON


def _context() -> Any:
    name = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        context.set_forkserver_preload(_PRELOADED_MODULES)
    return context


class SandboxedCall:
    """A function call that runs in a child process.

    Args:
        function: a module's function, which returns something that JSON can hold.
        arguments: are pickled; they must contain no secret.
        memory: bytes that the child may take beyond what it starts with.
        seconds: processor time that it may take; the wall-clock limit is four times this plus 30 seconds.
        fence: the files that it may use; None: all, for what reads no stranger's file.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        memory: int,
        seconds: int,
        fence: Fence | None = None,
    ) -> None:
        context = _context()
        self._deadline = time.monotonic() + 4 * seconds + 30
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_child_main, args=(sender, function, arguments, memory, seconds, fence), daemon=True
        )
        self._closed = False
        self._process.start()
        sender.close()

    def __enter__(self) -> SandboxedCall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child if it still runs: nobody waits for it any more."""
        if not self._closed:
            self.stop()
            self._close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for at most ``seconds``, or until the wall-clock limit; returns whether the call has ended."""
        if time.monotonic() > self._deadline:
            self.stop()
        remaining = max(0.0, self._deadline - time.monotonic())
        timeout = remaining if seconds is None else min(seconds, remaining)
        return self._receiver.poll(timeout) or remaining == 0.0

    def stop(self) -> None:
        """End the child now."""
        if not self._closed:
            self._process.kill()

    def result(self) -> Any:
        """Wait for the function's return value.

        Raises:
            RefusedError: with the child's message if it raised, or if it exceeded a limit or crashed.
            OSError: the disk is full.
        """
        while not self.wait():
            pass
        answer: Any = None
        # What has begun may not go on: then the end of the child ends the reading.
        ending = threading.Timer(max(0.0, self._deadline - time.monotonic()), self.stop)
        ending.start()
        try:
            with suppress(EOFError, OSError, ValueError):
                answer = json.loads(self._receiver.recv_bytes(_MAX_ANSWER))
        finally:
            ending.cancel()
            self._close()
        kind, value = answer if isinstance(answer, list) and len(answer) == 2 else ("ended", None)
        if kind == "returned":
            return value
        if kind == "disk full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if kind == "raised" and isinstance(value, list) and len(value) == 5:
            got, expected, remedy, status, field = value
            status = status if status in (409, 413, 415, 422) else 422
            raise RefusedError(str(got), str(expected), str(remedy), status=status, field=field)
        raise RefusedError(
            "the file takes more memory or time to decode than is allowed, or breaks its decoder",
            remedy="export it again, smaller",
        )

    def _close(self) -> None:
        self._closed = True
        self._receiver.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def run_sandboxed(
    function: Callable[..., Any], *arguments: Any, memory: int, seconds: int, fence: Fence | None = None
) -> Any:
    """A :class:`SandboxedCall`, waited for."""
    with SandboxedCall(function, *arguments, memory=memory, seconds=seconds, fence=fence) as call:
        return call.result()


def start_forkserver() -> None:
    """Start the process that children are forked from; returns at once."""
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def wait_for_forkserver() -> None:
    """Start the process that children are forked from and wait until it has loaded its libraries."""
    run_sandboxed(os.getpid, memory=10**9, seconds=60)


def _child_main(
    sender: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    memory: int,
    seconds: int,
    fence: Fence | None,
) -> None:
    # Ctrl-C in a terminal reaches every process; the caller ends this one when it ends itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError, OSError):  # Windows has no such call
        os.nice(_NICE)
    if fence is not None:
        confine_files(fence)  # before any other thread is started, which it would not bind
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_resources(memory, seconds)
    forbid_needless_system_calls()
    import torch

    torch.set_num_threads(1)
    with suppress(OSError):  # the caller may have ended
        sender.send_bytes(json.dumps(_outcome(function, arguments)).encode())


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "returned", function(*arguments)
    except Exception as error:  # noqa: BLE001 - decoders raise anything; the client is shown one line
        if failure_kind(error) is FailureKind.DISK_FULL:
            return "disk full", None
        return _described(error)


def _described(error: Exception) -> tuple[str, Any]:
    if isinstance(error, RefusedError):
        return "raised", (error.got, error.expected, error.remedy, error.status, error.field)
    if isinstance(error, ImpastoError):
        return "raised", (error.got, error.expected, error.remedy, 422, None)
    if isinstance(error, MemoryError):
        return "ended", None
    return "raised", (f"the file cannot be read ({type(error).__name__})", "", "export it again", 422, None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), 9)


def _limit_resources(memory: int, seconds: int) -> None:
    """Limit memory beyond the present address space, processor time and files; no core dump of pictures."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    present = 0
    with suppress(OSError, ValueError):
        present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    spent = time.process_time()
    for kind, limit in (
        (resource.RLIMIT_AS, present + memory),
        (resource.RLIMIT_CPU, int(spent) + seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))
