"""The files of a job, all in one folder.

Uploads, unchanged: ``content``, ``style-<n>``, ``mask-<n>``, ``style_mask-<n>``.
Written by the sandbox: the same names with ``.png``, decoded and scaled; ``content.jpg``; ``style-<n>.webp``
(thumbnails of uploaded styles).
Written by the worker: ``preview.jpg``, ``state.safetensors`` (where to resume), ``thumb.webp`` and
``result.png`` or ``result.mp4``. Names with ``.partial`` are being written.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.settings import StudioSettings

__all__ = ["delete_job", "folder_size", "link_cached_result"]

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
            with suppress(FileNotFoundError):
                (folder / path.name).unlink(missing_ok=True)
                os.link(path, folder / path.name)
    return (folder / duplicate.result).exists()


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder and its subfolders."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def delete_job(job_id: str, store: JobStore, settings: StudioSettings) -> None:
    """Delete a job's files, then its row: if this is interrupted, the row is still there to try again."""
    shutil.rmtree(settings.job_folder(job_id), ignore_errors=True)
    store.delete_row(job_id)
