"""A disk that is really full, also while SQLite's log grows, and a process that may open no more files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from faulty_studio import FaultyStudio
from impasto.studio.queue.attempts import FailureKind, failure_kind
from impasto.studio.queue.data_folder import disk_short, open_data_folder
from impasto.studio.settings import StudioSettings
from job_rows import add_job

resource = pytest.importorskip("resource", reason="this system has no limits of open files")


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


class OnFullDisk(FaultyStudio):
    """Its disk fills up and is emptied again; it believes that there is room until a write fails."""

    ballast: Path | None = None

    def befall(self) -> None:
        if self.ballast is None:
            self.ballast = fill(self.settings.data.parent)
        else:
            self.ballast.unlink()
            self.ballast = None


class WithoutFiles(FaultyStudio):
    """It may open no more files for a while: as many as it has, and a few."""

    more: int | None = None
    limited = 0  # how often it did something with that limit

    def befall(self) -> None:
        self.more = self.random.randrange(4) if self.more is None else None

    def work(self) -> None:
        self._limited(super().work)

    def accept(self) -> None:
        self._limited(super().accept)

    def supervise(self) -> None:
        self._limited(super().supervise)

    def _limited(self, act: Callable[[], None]) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self.more is not None:
            highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + self.more, limits[1]))
        try:
            act()
            self.limited += self.more is not None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
def test_the_studio_goes_on_after_a_disk_was_full(small_disk: Path) -> None:
    studio = OnFullDisk(small_disk / "data", 0, 0.0, attempts=10**6, keep_days=10**6)
    studio.run(200)
    (small_disk / "ballast").unlink(missing_ok=True)
    check_recovery(studio)


@pytest.mark.slow
def test_the_studio_goes_on_after_it_could_open_no_files(tmp_path: Path) -> None:
    studio = WithoutFiles(tmp_path / "data", 0, 0.0, attempts=10**6, keep_days=10**6)
    studio.run(200)
    studio.more = None
    check_recovery(studio)
    assert studio.limited > 10


def check_recovery(studio: FaultyStudio) -> None:
    studio.recover()
    studio.check_nothing_lost()
    assert studio.accepted
    studio.close()
    # Other tests of this process may have databases of their own open.
    assert not [file for file in psutil.Process().open_files() if str(studio.settings.data) in file.path]
