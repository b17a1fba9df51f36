"""The files of a job, all in one folder.

Uploads, unchanged: ``content``, ``style-<n>``, ``mask-<n>``, ``style_mask-<n>``.
Written by the sandbox: the same names with ``.png``, decoded and scaled; ``content.jpg``; ``style-<n>.webp``
(thumbnails of uploaded styles); ``style-<n>.safetensors`` of a learned style.
Written by the worker: ``preview.jpg``, ``state.safetensors`` (where to resume), ``thumb.webp`` and
``result.png`` or ``result.mp4``. Names with ``.partial`` are being written.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from impasto.files import replacing
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.settings import StudioSettings

__all__ = [
    "INPUTS", "TEMPORARY_FILES", "File", "delete_files", "delete_job", "delete_work_files", "files_of",
    "folder_size", "link_cached_result", "sync_folder", "sync_names",
]  # fmt: skip

#: Files that a finished job needs no more. A failed one keeps those that another attempt would need.
TEMPORARY_FILES, INPUTS = (
    ("state.*", "*.partial*", "*.work"),
    ("style-*.png", "style-*.safetensors", "mask-*.png", "style_mask-*.png", "key-*.png"),
)
#: What a finished job shares with a duplicate: everything that the page shows.
_SHARED_FILES = ("content.png", "content.jpg", "preview.jpg", "thumb.webp", "result.*", "style-*.webp")


def link_cached_result(duplicate: StudioJob, folder: Path, settings: StudioSettings) -> bool:
    """Hard-link the result of a finished job into the folder of one with equal files and settings.

    Returns:
        False if the finished job was deleted in the meantime.
    """
    assert duplicate.result is not None
    for pattern in _SHARED_FILES:
        for path in settings.job_folder(duplicate.id).glob(pattern):
            with suppress(FileNotFoundError), replacing(folder / path.name) as partial:
                os.link(path, partial)  # what it replaces may be needed if the other job is deleted now
    return (folder / duplicate.result).exists()


class File(NamedTuple):
    """A file on the disk, however many names (hard links) it has."""

    device: int
    inode: int
    bytes: int


def files_of(folder: Path) -> set[File]:
    """The files in a folder and its subfolders; hard links to the same file are one."""
    files = set()
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                facts = path.stat()
                files.add(File(facts.st_dev, facts.st_ino, facts.st_size))
    return files


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder and its subfolders."""
    return sum(file.bytes for file in files_of(folder))


def sync_folder(folder: Path) -> None:
    """Wait until the files in a folder, their names, and the folder's own name are on the disk.

    Raises:
        OSError: the disk reports that they are not.
    """
    for path in [path for path in folder.iterdir() if path.is_file()]:
        _sync(path)
    sync_names(folder)
    sync_names(folder.parent)


def sync_names(folder: Path) -> None:
    """Wait until the names of what is in a folder are on the disk; raises ``OSError`` if they are not."""
    if os.name != "nt":  # Windows cannot open folders, and writes their entries through
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete_work_files(folder: Path, state: str) -> None:
    """Delete what a job that has ended in ``state`` needs no more."""
    delete_files(folder, (*TEMPORARY_FILES, *(() if state == "failed" else INPUTS)))


def delete_files(folder: Path, patterns: tuple[str, ...]) -> None:
    """Delete the files and folders in ``folder`` that match."""
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def delete_job(job_id: str, store: JobStore, settings: StudioSettings) -> None:
    """Delete a job's files, then its row: if this fails, the row is still there to try again."""
    folder = settings.job_folder(job_id)
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        store.delete_row(job_id)
