"""The data folder: how it is recognised, what may be removed from it, and how much space is left on its disk.

A marker file says that a folder belongs to a studio, and the same random name stands in the database. Without
that, a wrong ``--data`` or a database of another day would have the studio remove folders that it does not
know.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from impasto.errors import RecipeError
from impasto.files import write_atomically
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import sync_names
from impasto.studio.settings import StudioSettings

__all__ = ["disk_short", "move_unknown_to_trash", "open_data_folder", "purge_trash", "room_for_jobs"]

MARKER = ".impasto-studio"
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{22}")
#: Names of what requests leave in ``incoming`` when the server is killed: folders of views, spooled uploads,
#: and the folder of Python's fork server.
_INCOMING = re.compile(r"[0-9a-f]{16}|tmp\w+|pymp-\w+")
_FOLDER_ID = "folder id"
_TRASH_DAYS = 1.0


def open_data_folder(settings: StudioSettings) -> JobStore:
    """Create the data folder, or check that it is a studio's, and open its database.

    Raises:
        RecipeError: the folder cannot be used, or holds jobs of which the database knows nothing.
    """
    try:
        return _open(settings)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        got = f"the folder '{settings.data}' cannot be used: {reason}"
        raise RecipeError(got, remedy="choose another --data") from None


def _open(settings: StudioSettings) -> JobStore:
    # Nobody else on the machine may read other people's pictures.
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, marker = settings.data / "studio.db", settings.data / MARKER
    if not path.exists() and (marker.exists() or _holds_anything(settings.data / "jobs")):
        raise RecipeError(
            f"the folder '{settings.data}' holds jobs, but not their database studio.db",
            "a folder of the studio's, or a new one",
            "choose another --data, or put the database back (`impasto studio restore`)",
        )
    for name in ("jobs", "incoming"):
        (settings.data / name).mkdir(exist_ok=True, mode=0o700)
        with suppress(OSError):  # the folder may be older, or somebody else's
            (settings.data / name).chmod(0o700)
    store = JobStore(path)
    with suppress(OSError):
        path.chmod(0o600)
    _check_marker(store, marker)
    for folder in (settings.data, *settings.data.absolute().parents):
        with suppress(PermissionError):  # of a folder above, which then existed before
            sync_names(folder)  # a power cut must not take the whole folder, if it is new
    return store


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _check_marker(store: JobStore, marker: Path) -> None:
    """Compare the marker with the database; a folder of a version that had neither gets both."""
    known = store.recall(_FOLDER_ID)
    found = marker.read_text(encoding="utf-8").strip() if marker.exists() else None
    if known is None:
        known = found or secrets.token_hex(16)
        store.remember(_FOLDER_ID, known)
    if found is None:
        write_atomically(marker, f"{known}\n")
    elif found != known:
        raise RecipeError(
            f"the database in '{marker.parent}' belongs to another data folder",
            "the database that was written here",
            "choose another --data, or delete the file .impasto-studio if the database is the right one",
        )


def move_unknown_to_trash(store: JobStore, settings: StudioSettings) -> int:
    """Move aside folders of requests that were not accepted because the server was killed in between.

    Only folders that are named as a job's are touched, and they stay in ``trash`` for a day. Only safe before
    the server accepts requests: a request that is being accepted has a folder but no row.

    Returns:
        How many folders were moved.
    """
    known, trash, moved = store.all_ids(), settings.data / "trash", 0
    for folder in (settings.data / "jobs").glob("*"):
        if folder.name not in known and _JOB_ID.fullmatch(folder.name):
            trash.mkdir(exist_ok=True, mode=0o700)
            folder.replace(trash / f"{int(time.time())}-{folder.name}")
            moved += 1
    for leftover in (settings.data / "incoming").glob("*"):
        if _INCOMING.fullmatch(leftover.name):
            _remove(leftover)
    return moved


def purge_trash(settings: StudioSettings, *, everything: bool = False) -> None:
    """Delete what has been in the trash for a day; with ``everything`` all of it, because space is short."""
    for entry in (settings.data / "trash").glob("*-*"):
        moved = entry.name.partition("-")[0]
        if everything or (moved.isdigit() and abs(time.time() - int(moved)) > _TRASH_DAYS * 86400):
            _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def room_for_jobs(settings: StudioSettings) -> int:
    """Bytes on the data folder's disk that jobs may take; negative if the disk is short of space."""
    return shutil.disk_usage(settings.data).free - settings.free_bytes


def disk_short(settings: StudioSettings) -> bool:
    """Whether the queue has to pause because there is too little space on the disk."""
    return room_for_jobs(settings) < 0
