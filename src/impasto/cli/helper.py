"""The helper process of ``--warm``: it has PyTorch loaded, and forks a process for each command.

It computes nothing itself and starts no threads of its own, so that a forked process can use PyTorch as if it
had loaded it. What a command needs from the process that asked for it, see :mod:`impasto.cli.warm`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from impasto.cli.loading import let_threads_sleep, load_engine, without_collection
from impasto.cli.warm import NUMBER, same_user

__all__ = ["LOADED_ON_DEMAND", "listen", "main", "serve"]

#: Modules that `impasto stylize` imports as it goes along.
LOADED_ON_DEMAND = (
    "impasto.cli.main",
    "impasto.cli.stylize",
    "impasto.losses.nearest",
    "impasto.pictures.output",
    "importlib.readers",
    "rich.progress",
    "safetensors.torch",
)


def main() -> None:
    """Serve on the socket given by the arguments: its path, seconds to be idle for, and a pipe to tell."""
    path, idle_seconds, told = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that ended processes need not be waited for
    with listen(path) as listener:
        os.write(told, b"1")
        os.close(told)
        os.chdir("/")  # a folder that is in use cannot be unmounted
        serve(listener, path, idle_seconds)


def _load() -> None:
    """Import what a painting needs, now rather than in each forked process."""
    let_threads_sleep()
    load_engine()
    with without_collection():
        for module in LOADED_ON_DEMAND:
            importlib.import_module(module)
        importlib.import_module("PIL.Image").init()


def listen(path: Path) -> socket.socket:
    """A socket at ``path`` that only this user may connect to, in place of one that was left there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_suffix(f".{os.getpid()}")
    before = os.umask(0o177)
    try:
        listener.bind(str(new))
    finally:
        os.umask(before)
    listener.listen(16)
    new.replace(path)
    return listener


def serve(listener: socket.socket, path: Path, idle_seconds: float) -> None:
    """Fork a process for each command until none has come for ``idle_seconds``; then remove the socket."""
    own = path.stat().st_ino
    listener.settimeout(idle_seconds)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            break
        with connection:
            connection.setblocking(True)
            if same_user(connection):
                with contextlib.suppress(OSError):  # too many processes; the command then runs without help
                    if os.fork() == 0:
                        listener.close()
                        _run(connection)
    with contextlib.suppress(OSError):
        if path.stat().st_ino == own:  # and not that of a helper which was started at the same time
            path.unlink()


def _run(connection: socket.socket) -> None:
    """Run the command that is asked for over the connection, in this forked process, and end it."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        arguments = _take_over(connection)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        connection.sendall(NUMBER.pack(os.getpid()))
        code = _exit_code(arguments)
        connection.sendall(NUMBER.pack(code))
    finally:
        os._exit(code)  # not by way of the helper's own code


def _take_over(connection: socket.socket) -> list[str]:
    """Take over streams, working folder and environment of the process that asks; returns its arguments."""
    connection.settimeout(10.0)
    head, descriptors, _, _ = socket.recv_fds(connection, NUMBER.size, 4)
    data = b""
    while len(data) < NUMBER.unpack(head)[0]:
        data += connection.recv(1 << 16) or _closed()
    connection.settimeout(None)
    request: dict[str, Any] = json.loads(data)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.fchdir(descriptors[3])
    for descriptor in descriptors:
        os.close(descriptor)
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    sys.argv = ["impasto", *request["arguments"]]
    return list(request["arguments"])


def _closed() -> bytes:
    raise EOFError("the connection was closed within a request")


def _stream(number: int) -> io.TextIOWrapper:
    """The standard stream of a number for its present file, as Python makes it at its start."""
    before = (sys.stdin, sys.stdout, sys.stderr)[number]
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(
        os.fdopen(number, "rb" if number == 0 else "wb", closefd=False),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=lines and number > 0,
    )


def _end_with(connection: socket.socket) -> None:
    """End this process when the one that asked for it has ended; it sends nothing after its request."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_code(arguments: list[str]) -> int:
    """Run the command line in this process."""
    from impasto.cli import main as command_line

    code: Any = 0
    try:
        command_line.main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as Python ends a process
        sys.excepthook(*sys.exc_info())
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 120  # as Python does
    return code if isinstance(code, int) else 0
