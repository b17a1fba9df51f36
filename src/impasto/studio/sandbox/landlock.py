"""Takes from a process the files that decoding does not need (Linux's Landlock, from kernel 5.13 on).

A stranger's file that takes over a decoder then finds one job's folder and the installed programs, but
neither the jobs of others nor the database. From kernel 6.12 on it can signal no other process either.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from impasto.networks import weights

__all__ = ["Fence", "confine_files"]

_MACHINES = {"x86_64", "aarch64"}  # where the system calls have these numbers
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, pipes, symbolic links
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
#: What each version of Landlock can forbid beyond the one before.
_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _READ_DIR | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
_BY_VERSION = ((1, _FILES | _MAKE_OTHERS), (2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_CONNECT_AND_BIND, _SIGNALS_AND_SOCKETS = 0b11, 0b11  # versions 4 and 6

_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the others are of folders

#: Programs and what the system tells about itself. Of ``/proc`` only what is this process's own: the
#: environment of the server may hold the token.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self", "/proc/meminfo",
    "/proc/cpuinfo", "/proc/stat", "/sys/fs/cgroup", "/sys/devices/system", "/dev/null", "/dev/zero",
    "/dev/urandom", "/dev/random",
)  # fmt: skip


class Fence(NamedTuple):
    """The files that a call may use, besides the installed programs.

    Attributes:
        writable, readable: folders with all that is in them.
    """

    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()


def confine_files(fence: Fence) -> bool:
    """Forbid all other files to this thread and those that it starts, for good.

    Returns:
        False where there is no Landlock.

    Raises:
        OSError: there is, but it does not do it.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in _MACHINES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < 1:
        return False
    handled = sum(rights for since, rights in _BY_VERSION if version >= since)
    ruleset = _create_ruleset(libc, version, handled)
    try:
        for path in (*map(Path, _SYSTEM), *_installed(), *fence.readable):
            _allow(libc, ruleset, path, _READ & handled)
        for path in fence.writable:
            _allow(libc, ruleset, path, _WRITE & handled)
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _installed() -> Iterable[Path]:
    """Where packages are installed, and where encoders are kept.

    Not all of ``sys.path``: the folder that the studio was started from may be in it, with anything beside.
    """
    packages = [Path(place) for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    own = Path(__file__).parents[2]
    return [Path(sys.prefix), Path(sys.base_prefix), own, weights.cache_dir(), *packages]


def _create_ruleset(libc: ctypes.CDLL, version: int, handled: int) -> int:
    attributes = struct.pack("=Q", handled)
    attributes += struct.pack("=Q", _CONNECT_AND_BIND) if version >= 4 else b""
    attributes += struct.pack("=Q", _SIGNALS_AND_SOCKETS) if version >= 6 else b""
    return _checked(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    """Allow ``rights`` for what is beneath a path; what does not exist is left out."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights &= ~0 if path.is_dir() else _OF_FILES
            rule = struct.pack("=Qi", rights, descriptor)
            _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        finally:
            os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
