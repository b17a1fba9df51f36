"""Downloads a file from a URL, resuming after a lost connection."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from impasto.errors import WeightsError
from impasto.files import readable_size
from impasto.progress import Progress, report

__all__ = ["download"]

#: Bytes read at a time.
CHUNK = 1 << 18
#: Seconds without data after which a connection counts as dead.
TIMEOUT = 30.0
#: Seconds to wait before a lost connection is resumed.
PAUSE = 1.0
#: Number of attempts, as long as each brings new data.
RESUMPTIONS = 20


def download(url: str, target: Path, *, size: int | None = None) -> None:
    """Download ``url`` to ``target``. If ``target`` exists, it is taken for the beginning of the file.

    A lost connection is resumed with an HTTP Range. If the server ignores Range, or its file has another
    length now, the download starts again. The content is not checked here; compare its digest afterwards.
    Progress is reported in bytes (:mod:`impasto.progress`).

    Args:
        size: length of the whole file in bytes, if it is known.

    Raises:
        WeightsError: the download failed; the message says why in a few words, without the URL. The part
            that arrived stays in ``target`` for the next attempt, unless the disk is full.
    """
    for _ in range(RESUMPTIONS):
        before = _length(target)
        try:
            _resume(url, target, size)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                target.unlink(missing_ok=True)  # other programs need the space more than a resumed download
                raise WeightsError(f"no space left in {target.parent}") from error
            if _length(target) <= before:
                raise WeightsError(_reason(error)) from error
            time.sleep(PAUSE)
        else:
            return
    raise WeightsError(f"the connection was cut {RESUMPTIONS} times")


def _resume(url: str, target: Path, size: int | None) -> None:
    """Open one connection and append to ``target``; raises unless the file is complete afterwards."""
    start = _length(target)
    if size is not None and start > size:
        target.unlink()
        start = 0
    if start and start == size:
        return
    connection = _open(url, start)
    if connection is None:  # the server has nothing beyond `start`, so `target` is complete
        return
    response, start, total = connection
    with response:
        if response.headers.get_content_type() == "text/html":
            raise WeightsError("it answers with a web page (HTML)")
        if size is not None and total not in (None, size):
            raise WeightsError(
                f"it offers {readable_size(total or 0)} where {readable_size(size)} are expected"
            )
        expected = size or total
        _require_space(target.parent, (expected or 0) - start)
        done = _append(response, target, start, expected, task=f"downloading {url.rsplit('/', 1)[-1]}")
    if expected is not None and done < expected:
        raise ConnectionError(f"cut off after {readable_size(done)} of {readable_size(expected)}")


def _open(url: str, start: int) -> tuple[HTTPResponse, int, int | None] | None:
    """Request ``url`` from byte ``start`` on, or the whole file if the server cannot resume.

    Returns:
        (response, its first byte, length of the whole file or None), or ``None`` if the server says that
        there is nothing beyond ``start``.
    """
    # "identity", because offsets in a compressed body would not be offsets in the file.
    headers = {"User-Agent": "impasto", "Accept-Encoding": "identity"}
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
    """First byte and file length: ``bytes 100-199/200`` → (100, 200), ``bytes */200`` → (None, 200)."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", (value or "").strip())
    if match is None:
        return None, None
    return (int(match[1]) if match[1] else None), (int(match[2]) if match[2] != "*" else None)


def _append(response: HTTPResponse, target: Path, start: int, expected: int | None, *, task: str) -> int:
    """Write the response's body to ``target`` from byte ``start`` on; returns the new length of the file."""
    done = start
    with target.open("ab" if start else "wb") as file:
        while chunk := response.read1(CHUNK):
            done += len(chunk)
            if expected is not None and done > expected:
                file.truncate(0)
                raise WeightsError(f"it sends more than the {readable_size(expected)} expected")
            file.write(chunk)
            report(Progress(task, done, expected, "bytes"))
    return done


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"no space in {folder}: {readable_size(needed)} needed, {readable_size(free)} free"
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    """Why a connection failed, in a few words."""
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}".strip()
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, socket.gaierror):
        return "host name not found: offline?"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
