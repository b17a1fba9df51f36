"""Writes files atomically, and formats their sizes for people.

Readers, and runs that resume after a crash, never see half a file: data is written to a new file beside the
target and flushed to the disk, and only then renamed to the target. Until then an older file stays.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal as readable_size

__all__ = ["partial_path", "readable_size", "replacing", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write bytes, or text as UTF-8, to ``path``; see :func:`replacing`.

    Raises:
        OSError: the file cannot be written; an older one is untouched.
    """
    with replacing(path) as partial, partial.open("xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end of the block it is renamed to ``path``.

    The temporary path lies beside ``path`` and has its ending, because many writers choose the format by it.
    It does not exist yet, so that the writer creates it with the permissions of the umask. It is deleted if
    the block raises, even on Ctrl-C. If ``path`` is a symbolic link, the file that it points to is replaced.
    The writer may also create a folder; then ``path`` must not exist.

    Example:
        >>> with replacing("picture.png") as partial:  # doctest: +SKIP
        ...     image.save(partial)

    Raises:
        OSError: the file could not be flushed or renamed.
    """
    target = Path(os.path.realpath(path))
    partial = partial_path(target)
    try:
        yield partial
        if partial.is_file():
            _flush(partial)
        os.replace(partial, target)  # noqa: PTH105 - the one call that is atomic on every system
    finally:
        _remove(partial)


def partial_path(target: Path) -> Path:
    """A new hidden path beside ``target``, with its ending: ``.picture.1f2e3d4c.partial.png``.

    The stem is cut to 40 characters, and an ending of more than 16 is left out, so that the name stays within
    the 255 bytes of most file systems even if each character takes four.
    """
    suffix = target.suffix if len(target.suffix) <= 16 else ""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}.partial{suffix}")


def _flush(path: Path) -> None:
    """Wait until the file is on the disk: after a power cut, ``path`` could otherwise be an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
