"""Copies of a data folder, made while the studio runs, and put back later."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from impasto.errors import ImpastoError
from impasto.files import readable_size, replacing
from impasto.studio.queue.data_folder import MARKER
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import files_of, sync_names

__all__ = ["BackupError", "back_up", "restore"]

#: What is made again when it is needed.
_NOT_COPIED = shutil.ignore_patterns("*.work", "*.partial*", "export-*")


class BackupError(ImpastoError):
    """A data folder cannot be copied or put back."""


def back_up(data: Path, target: Path) -> int:
    """Copy the jobs of a data folder, whole or not at all; a studio may use it meanwhile.

    The database is copied first, by SQLite's online backup. A job that is painted meanwhile is in the copy
    as it was then, and goes on from there.

    Args:
        target: a new folder.

    Returns:
        How many jobs were copied.

    Raises:
        BackupError: there is nothing to copy, no room for it, or ``target`` is there already.
    """
    if not (data / "studio.db").exists():
        raise BackupError(f"'{data}' is not a studio's data folder", remedy="name it with --data")
    _require_new(target)
    needed = sum(file.bytes for file in files_of(data / "jobs"))
    free = shutil.disk_usage(target.absolute().parent).free
    if needed > free:
        got = f"the jobs take {readable_size(needed)}, and {readable_size(free)} are free"
        raise BackupError(got, remedy="choose another disk, or `impasto studio jobs purge` first")
    with replacing(target) as partial:
        for folder in (partial, partial / "jobs"):
            folder.mkdir(mode=0o700)  # nobody else on the machine may read other people's pictures
        with (
            closing(sqlite3.connect(data / "studio.db")) as source,
            closing(sqlite3.connect(partial / "studio.db")) as copy,
        ):
            source.backup(copy)
        if (data / MARKER).exists():
            shutil.copy2(data / MARKER, partial / MARKER)
        (partial / "studio.db").chmod(0o600)
        store = JobStore(partial / "studio.db")
        for slot in store.busy_slots():
            store.release(slot, take_back=True)
        copied = sum(_copy_job(job_id, data, partial, store) for job_id in sorted(store.all_ids()))
        store.database.close()
        _sync_disks()
    sync_names(target.absolute().parent)
    return copied


def _copy_job(job_id: str, data: Path, partial: Path, store: JobStore) -> bool:
    """Copy a job's files; if they were deleted meanwhile, its row goes too."""
    source, target = data / "jobs" / job_id, partial / "jobs" / job_id
    for _ in range(2):
        # Single files (a preview, a saved state) may be replaced or deleted while it is read.
        with suppress(FileNotFoundError, shutil.Error):
            shutil.copytree(source, target, ignore=_NOT_COPIED, dirs_exist_ok=True)
            break
    if store.get(job_id) is None or not target.exists():
        shutil.rmtree(target, ignore_errors=True)
        store.delete_row(job_id)
        return False
    return True


def restore(backup: Path, data: Path) -> int:
    """Make a data folder of a copy, whole or not at all.

    Args:
        data: a folder that does not exist, or an empty one.

    Returns:
        How many jobs it has.

    Raises:
        BackupError: ``backup`` is no copy of a data folder, or ``data`` holds something.
    """
    if not (backup / "studio.db").exists() or not (backup / "jobs").is_dir():
        raise BackupError(f"'{backup}' is not a copy that `impasto studio backup` made")
    if data.is_dir() and not any(data.iterdir()):
        data.rmdir()
    _require_new(data)
    data.absolute().parent.mkdir(parents=True, exist_ok=True)
    with replacing(data) as partial:
        partial.mkdir(mode=0o700)
        shutil.copytree(backup, partial, dirs_exist_ok=True)
        partial.chmod(0o700)  # the copy has the mode of what it is a copy of
        store = JobStore(partial / "studio.db")
        jobs = len(store.all_ids())
        store.database.close()
        _sync_disks()
    sync_names(data.absolute().parent)
    return jobs


def _sync_disks() -> None:
    if hasattr(os, "sync"):  # not on Windows
        os.sync()


def _require_new(folder: Path) -> None:
    if folder.exists():
        raise BackupError(
            f"'{folder}' is there already", "a new folder", "choose another name, or move it away"
        )
