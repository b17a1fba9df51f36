"""One file from one address: streamed, resumed where it was cut off, one process at a time."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from impasto.errors import WeightsError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Progress", "download", "locked", "readable"]

#: Called with (bytes so far, bytes in all or ``None`` where nobody said).
Progress = Callable[[int, "int | None"], None]

CHUNK = 1 << 18
#: Seconds that a connection may say nothing.
TIMEOUT = 30.0
#: Seconds before a cut connection is taken up again.
PAUSE = 1.0
#: A connection that was cut is taken up again this often, as long as every time brought something.
RESUMPTIONS = 20


def download(url: str, target: Path, *, size: int | None = None, progress: Progress | None = None) -> None:
    """Fetch `url` to `target`; what `target` already holds is taken for the file's beginning.

    A cut connection is resumed with an HTTP Range; a server that ignores Range, or whose file has another
    length now, makes the download start afresh. The content is not checked here: the caller knows a digest.

    Args:
        size: bytes that the whole file must have, where they are known.
        progress: called after every chunk.

    Raises:
        WeightsError: why this address did not give the file, in a few words. What arrived stays in
            `target` for the next try, except when the disk is full.
    """
    for _ in range(RESUMPTIONS):
        before = _length(target)
        try:
            _continue(url, target, size, progress)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                target.unlink(missing_ok=True)  # the space is worth more than the beginning of a file
                raise WeightsError(f"no space left in {target.parent}") from error
            if _length(target) <= before:
                raise WeightsError(_briefly(error)) from error
            time.sleep(PAUSE)
        else:
            return
    raise WeightsError(f"the connection was cut {RESUMPTIONS} times")


def _continue(url: str, target: Path, size: int | None, progress: Progress | None) -> None:
    """One connection: append to `target` until the file is whole, else raise."""
    start = _length(target)
    if size is not None and start > size:
        target.unlink()
        start = 0
    if start and start == size:
        return
    opened = _open(url, start)
    if opened is None:  # nothing beyond `start`: `target` is whole
        return
    response, start, total = opened
    with response:
        if response.headers.get_content_type() == "text/html":
            raise WeightsError("it answers with a web page (HTML)")
        if size is not None and total not in (None, size):
            raise WeightsError(f"it offers {readable(total or 0)} where {readable(size)} are expected")
        whole = size or total
        _require_space(target.parent, (whole or 0) - start)
        done = _append(response, target, start, whole, progress)
    if whole is not None and done < whole:
        raise ConnectionError(f"cut off after {readable(done)} of {readable(whole)}")


def _open(url: str, start: int) -> tuple[HTTPResponse, int, int | None] | None:
    """Open `url` from byte `start` on, or from 0 if the server will not: (response, start, bytes in all);
    ``None`` when the server says that there is nothing beyond `start`."""
    headers = {"User-Agent": "impasto", "Accept-Encoding": "identity"}  # a packed body has other offsets
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code != 416 or not start:
                raise
            _, total = _content_range(error.headers.get("Content-Range"))
        return None if total == start else _open(url, 0)
    if response.status == 206:
        first, total = _content_range(response.headers.get("Content-Range"))
        if first == start:
            return response, start, total
        response.close()
        return _open(url, 0)
    length = response.headers.get("Content-Length", "")
    return response, 0, int(length) if length.isdigit() else None


def _content_range(value: str | None) -> tuple[int | None, int | None]:
    """``bytes 100-199/200`` → (100, 200); ``bytes */200`` → (None, 200)."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", (value or "").strip())
    if match is None:
        return None, None
    return (int(match[1]) if match[1] else None), (int(match[2]) if match[2] != "*" else None)


def _append(
    response: HTTPResponse, target: Path, start: int, whole: int | None, progress: Progress | None
) -> int:
    done = start
    with target.open("ab" if start else "wb") as file:
        while chunk := response.read1(CHUNK):
            done += len(chunk)
            if whole is not None and done > whole:
                file.truncate(0)
                raise WeightsError(f"it sends more than the {readable(whole)} expected")
            file.write(chunk)
            if progress is not None:
                progress(done, whole)
    return done


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(f"no space in {folder}: {readable(needed)} needed, {readable(free)} free")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _briefly(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}".strip()
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _briefly(error.reason)
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, socket.gaierror):
        return "host name not found: offline?"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def readable(count: int) -> str:
    """Bytes for people: 574673361 → ``575 MB``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; while another process or thread holds it, call `waiting` again and again.

    The system frees the lock of a process that dies. Where a file system knows no locks the work goes on
    without: at worst two processes download at once, and the digest tells.
    """
    with path.open("a") as handle:
        while not _lock(handle):
            waiting()
            time.sleep(0.1)
        yield  # closing the file frees the lock


def _lock(handle: IO[Any]) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True
