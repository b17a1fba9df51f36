"""Takes from a process the system calls that decoding does not need (Linux's seccomp).

A stranger's file that takes over a decoder can then reach no network, start no program and look into no other
process. Local sockets are forbidden as well: through the one of the fork server it could start a process that
is bound by nothing. Files are bounded by ``landlock``.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

__all__ = ["forbid_needless_system_calls"]

#: Machine → (audit architecture, number of seccomp, number of socket, numbers of other forbidden calls:
#: execve, execveat, ptrace, process_vm_readv, process_vm_writev, bpf, perf_event_open, io_uring_setup,
#: keyctl, userfaultfd, mount, unshare, setns, kexec_load).
_MACHINES = {
    "x86_64": (0xC000003E, 317, 41, (59, 322, 101, 310, 311, 321, 298, 425, 250, 323, 165, 272, 308, 246)),
    "aarch64": (0xC00000B7, 277, 198, (221, 281, 117, 270, 271, 280, 241, 425, 219, 282, 40, 97, 268, 104)),
}
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_ALLOW, _FORBID = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in the kernel's ``struct seccomp_data``
_X32 = 0x3FFFFFFF  # greater numbers are calls of x86's second set, which has other numbers for the same
_NO_NEW_PRIVILEGES = 38  # of prctl
_SET_FILTER, _ALL_THREADS = 1, 1  # of seccomp


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _filter(architecture: int, socket_call: int, forbidden: tuple[int, ...]) -> bytes:
    """A program of BPF: forbid everything of another architecture, and some calls."""
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _FORBID),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_IF_GREATER, _X32, 0, 1),
        _instruction(_RETURN, _FORBID),
    ]
    for number in (*forbidden, socket_call):
        program += [_instruction(_JUMP_IF_EQUAL, number, 0, 1), _instruction(_RETURN, _FORBID)]
    return b"".join([*program, _instruction(_RETURN, _ALLOW)])


def forbid_needless_system_calls() -> bool:
    """Forbid them to all threads of this process, for good.

    Returns:
        False where this system or machine has no seccomp that is known here.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in _MACHINES:
        return False
    architecture, seccomp_call, socket_call, forbidden = _MACHINES[platform.machine()]
    program = _filter(architecture, socket_call, forbidden)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    loaded = _Program(len(program) // 8, program)
    done = libc.syscall(seccomp_call, _SET_FILTER, _ALL_THREADS, ctypes.byref(loaded))
    return bool(done == 0)
