"""``--warm``: has a command run by a helper process that has PyTorch loaded, starting it if there is none.

The helper (:mod:`impasto.cli.helper`) forks a process for each command. That process gets the streams,
working folder and environment of this one, so it reads, writes and shows progress as if it were this process,
which only waits, passes signals on and ends with the same exit code. Linux only: on macOS a process that has
loaded PyTorch cannot be forked safely.

Few modules are imported, and late, because every one of them delays the picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import impasto
from impasto.cli.exit_codes import BAD_INPUT, INTERRUPTED
from impasto.errors import ImpastoError

__all__ = ["IDLE_SECONDS", "NUMBER", "configuration", "private_folder", "run", "same_user"]

#: The helper ends when no command has come for so long.
IDLE_SECONDS = 600.0
#: Seconds that a helper may take to load PyTorch; then the command runs in this process.
STARTING_SECONDS = 60.0
#: What the forked process sends: its process id when it begins, its exit code when it ends.
NUMBER = struct.Struct("!i")
#: Killed, as shells report it: the exit code when the forked process ends without one.
KILLED = 137
#: Beginnings of the names of environment variables that are read when Python and libraries are loaded.
READ_AT_LOADING = (
    "ATEN_", "CUDA", "DNNL_", "GLIBC_", "GOMP_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "NPY_",
    "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYDANTIC_", "PYTHON", "PYTORCH", "TORCH",
)  # fmt: skip


def run(arguments: list[str]) -> int:
    """Run a command by the helper, and return its exit code.

    If no helper can be started, the command runs in this process, and a line says so.

    Args:
        arguments: the words after ``impasto``.
    """
    try:
        path = private_folder() / f"warm-{configuration()}.sock"
        connection = _connected(path) or _started(path)
        code = None if connection is None else _run_by_helper(connection, arguments)
    except ImpastoError as error:
        print(f"impasto: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("impasto: stopped", file=sys.stderr)
        return INTERRUPTED
    if code is not None:
        return code
    print("impasto: the helper of --warm could not be started; painting without it", file=sys.stderr)
    from impasto.cli.main import main

    main(arguments)
    return 0


def private_folder() -> Path:
    """The folder of the sockets, in the user's runtime folder or that for temporary files; made if missing.

    Raises:
        ImpastoError: not on this system; or the folder is not private to the user.
    """
    if not sys.platform.startswith("linux"):
        raise ImpastoError("--warm is not possible on this system", "it needs Linux", "leave it out")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir():
        folder = Path(runtime) / "impasto"
    else:
        folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"impasto-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise ImpastoError(f"--warm needs the folder '{folder}': {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ImpastoError(
            f"--warm would use '{folder}', which others may change",
            "a folder of yours with mode 0700",
            "remove it, or set XDG_RUNTIME_DIR",
        )
    return folder


def configuration() -> str:
    """A digest of what a helper has taken over from the process that started it, and cannot change.

    A helper of another version, or with other settings of PyTorch's threads, has another socket.
    """
    import resource

    package = Path(impasto.__file__).parent
    torch = find_spec("torch")
    libraries = Path(torch.origin).parent.parent if torch is not None and torch.origin else package
    sources = [(str(path), path.stat().st_mtime_ns) for path in sorted(package.rglob("*.py"))]
    variables = {k: v for k, v in os.environ.items() if k.startswith(READ_AT_LOADING)}
    limits = [resource.getrlimit(getattr(resource, k)) for k in dir(resource) if k.startswith("RLIMIT_")]
    parts: list[Any] = [
        impasto.__version__, sys.version, sys.executable, sys.flags, sources,
        str(libraries), libraries.stat().st_mtime_ns, sorted(variables.items()),
        os.nice(0), sorted(os.sched_getaffinity(0)), limits,
        [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("mnt", "pid", "user")],
    ]  # fmt: skip
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end of a socket belongs to the user of this one."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid) == os.getuid()


def _connected(path: Path) -> socket.socket | None:
    """A connection to the helper; None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
        if same_user(connection):
            return connection
    except OSError:  # no helper, one that was killed, or a path that is too long for a socket
        pass
    connection.close()
    return None


def _started(path: Path) -> socket.socket | None:
    """A connection to a helper that is started now; None if that fails."""
    import select
    import subprocess

    ready, told = os.pipe()
    # With the search path of this process, so that the helper finds the same packages.
    code = f"import sys; sys.path[:] = {sys.path!r}; from impasto.cli.helper import main; main()"
    try:
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(IDLE_SECONDS), str(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[told],
            start_new_session=True,
        )
        os.close(told)
        readable, _, _ = select.select([ready], [], [], STARTING_SECONDS)
        return _connected(path) if readable and os.read(ready, 1) else None
    except OSError:
        return None
    finally:
        os.close(ready)


def _run_by_helper(connection: socket.socket, arguments: list[str]) -> int | None:
    """The exit code of a command that the helper runs; None if it could not be begun."""
    with connection:
        try:
            _send_request(connection, arguments)
            process = _number(connection)
        except OSError:
            return None
        if process is None:
            return None
        with _signals_passed_on(process) as passed_on:
            code = _number(connection)
    if code is not None:
        return code
    if passed_on:  # it has ended the other process, and would have ended this one
        signal.signal(passed_on[-1], signal.SIG_DFL)
        os.kill(os.getpid(), passed_on[-1])
    print("impasto: the process of --warm was killed", file=sys.stderr)
    return KILLED


def _send_request(connection: socket.socket, arguments: list[str]) -> None:
    """Send the words of a command, and what makes the other process resemble this one."""
    umask = os.umask(0)
    os.umask(umask)
    request = {"arguments": arguments, "environment": dict(os.environ), "umask": umask}
    data = json.dumps(request).encode()
    opened = [os.open(".", os.O_RDONLY | os.O_DIRECTORY)]
    try:
        streams = [fd if _is_open(fd) else os.open(os.devnull, os.O_RDWR) for fd in (0, 1, 2)]
        opened += [fd for fd in streams if fd > 2]
        socket.send_fds(connection, [NUMBER.pack(len(data))], [*streams, opened[0]])
        connection.sendall(data)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _number(connection: socket.socket) -> int | None:
    """The next number that the other process sends; None if it has ended."""
    data = b""
    while len(data) < NUMBER.size:
        try:
            received = connection.recv(NUMBER.size - len(data))
        except ConnectionError:
            return None
        if not received:
            return None
        data += received
    return int(NUMBER.unpack(data)[0])


@contextmanager
def _signals_passed_on(process: int) -> Iterator[list[int]]:
    """Pass signals that would end or suspend this process on to another; yields those that could end it."""
    passed_on: list[int] = []

    def tell(number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    def end(number: int, _: object) -> None:
        if number != signal.SIGINT:  # on Ctrl-C a command saves its picture and returns an exit code
            passed_on.append(number)
        tell(number)

    def suspend(_: int, __: object) -> None:
        tell(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # until the user goes on with it
        tell(signal.SIGCONT)

    handlers: dict[int, Callable[[int, Any], None]] = {
        signal.SIGINT: end, signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGQUIT: end,
        signal.SIGTSTP: suspend,
    }  # fmt: skip
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield passed_on
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
