"""A disk that is really full: a small file system in memory, filled while SQLite's log grows."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from impasto.studio.queue.attempts import FailureKind, failure_kind
from impasto.studio.queue.data_folder import disk_short, open_data_folder
from impasto.studio.settings import StudioSettings
from job_rows import add_job


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None or os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([unmount, "-l", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Write until nothing fits any more."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def test_a_full_disk_loses_no_row_and_the_queue_goes_on_when_there_is_room(small_disk: Path) -> None:
    settings = StudioSettings(data=small_disk / "data", free_bytes=100_000)
    store = open_data_folder(settings)
    jobs = [add_job(store).id for _ in range(5)]
    assert store.claim("w") is not None
    ballast = fill(small_disk)
    assert disk_short(settings)
    added, full = [], None
    for _ in range(2000):  # SQLite's log has some room left; then it is at its end as well
        try:
            added.append(add_job(store).id)
        except sqlite3.OperationalError as error:
            full = error
            break
    assert full is not None
    assert failure_kind(full) is FailureKind.DISK_FULL
    with pytest.raises(sqlite3.OperationalError):
        add_job(store)
    assert store.get(jobs[0]) is not None  # reading goes on
    ballast.unlink()
    assert not disk_short(settings)
    store.release("w", take_back=True)
    later = add_job(store).id
    assert store.all_ids() == {*jobs, *added, later}
    claimed = [job.id for job in iter(lambda: store.claim("w"), None)]
    assert claimed == [*jobs, *added, later]
