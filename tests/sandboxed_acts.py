"""What tests have a sandboxed process do. It imports this module each time: nothing slow is loaded here."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attempts import attempt
from impasto.studio.sandbox.exports import write_browser_view
from impasto.studio.settings import StudioSettings


def take_memory() -> int:
    return len(bytearray(3_000_000_000))


def never_return() -> None:
    while True:
        pass


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def modules_loaded_for_views(folder: Path) -> list[str]:
    before = set(sys.modules)
    for name in sorted(path.name for path in folder.iterdir()):
        (folder / name).rename(folder / "content")
        write_browser_view(folder, StudioSettings(data=folder))
    return sorted(set(sys.modules) - before)


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def send_and_end(answer: bytes) -> None:
    """What a child that runs a stranger's code may do: write to the pipe whatever it likes."""
    frame = next(frame for frame in inspect.stack() if frame.function == "_child_main").frame
    frame.f_locals["sender"].send_bytes(answer)
    os._exit(0)


def send_half() -> None:
    """Announce an answer, and never send the rest of it."""
    frame = next(frame for frame in inspect.stack() if frame.function == "_child_main").frame
    os.write(frame.f_locals["sender"].fileno(), struct.pack("!i", 1000) + b"[")
    time.sleep(20)


def try_what_is_forbidden() -> dict[str, str]:
    return {
        "network": attempt(lambda: socket.socket(socket.AF_INET)),
        "network 6": attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
        "local": attempt(lambda: socket.socket(socket.AF_UNIX)),
        "program": attempt(lambda: os.execv("/bin/true", ["true"])),
        "thread": threading_result(lambda: attempt(lambda: socket.socket(socket.AF_INET))),
    }


def threading_result(function: Callable[[], str]) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
