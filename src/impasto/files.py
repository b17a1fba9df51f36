"""Files that are written whole or not at all, and their sizes in words.

A reader, or a run that continues after a crash, never sees half a file: data goes into a new file beside
the target, is flushed to the disk and only then takes the target's name. Until then an older file stays.
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
        OSError: nothing was written, and what was there before is untouched.
    """
    with replacing(path) as partial, partial.open("xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new path beside ``path`` for someone else's writer; afterwards it takes the place of ``path``.

    The new path has the ending of ``path``, because many writers choose the format by it. It does not exist
    yet, so that the writer creates it with the permissions that the umask allows. When the block raises,
    also by Ctrl-C, it is deleted. A symbolic link stays one: the file that it points to is replaced. The
    writer may also make a folder of it; ``path`` must then not exist.

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
    """A new hidden name beside ``target``, with its ending: ``.picture.1f2e3d4c.partial.png``.

    The stem is cut to 40 characters and a longer ending than 16 left out, so that the name stays within the
    255 bytes that file systems allow even where each character takes four.
    """
    suffix = target.suffix if len(target.suffix) <= 16 else ""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}.partial{suffix}")


def _flush(path: Path) -> None:
    """Wait until the disk has the file: else a power cut could leave the new name on an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
