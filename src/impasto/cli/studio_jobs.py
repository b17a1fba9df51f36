"""``impasto studio jobs|backup|restore``: an operator's work on the queue, whether the studio runs or not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from impasto.errors import RecipeError
from impasto.files import readable_size
from impasto.studio.settings import StudioSettings

if TYPE_CHECKING:
    from impasto.studio.queue.jobs import JobStore, StudioJob

__all__ = ["DEFAULT_DATA", "Data", "backup", "jobs_app", "open_store", "restore"]

State = Literal["queued", "running", "done", "failed", "cancelled"]
Data = Annotated[Path, Parameter(help="Folder for jobs, uploads and results.")]
DEFAULT_DATA: Path = StudioSettings.model_fields["data"].default
_SHORTEST_PREFIX = 4

jobs_app = App(
    name="jobs",
    help="List, retry, cancel or delete the studio's jobs.",
    default_parameter=Parameter(negative=()),
)


def open_store(data: Path) -> JobStore:
    """The queue of a data folder that exists; raises ``RecipeError`` if it does not."""
    from impasto.studio.queue.data_folder import open_data_folder

    if not (data / "studio.db").exists():
        raise RecipeError(f"'{data}' is not a studio's data folder", remedy="name it with --data")
    return open_data_folder(StudioSettings(data=data))


def _find(store: JobStore, ids: Iterable[str]) -> list[StudioJob]:
    """The jobs whose ids are given, or begin so."""
    jobs, found = store.all_jobs(), []
    for name in ids:
        matching = [job for job in jobs if job.id == name or job.id.startswith(name)]
        if len(matching) != 1 or len(name) < _SHORTEST_PREFIX:
            got = f"'{name}' begins the id of {len(matching)} jobs"
            raise RecipeError(got, "an id, or enough of its beginning", "see `impasto studio jobs list`")
        found += matching
    return found


def _require_any(named: object, expected: str) -> None:
    """Raise ``RecipeError`` if no job was named."""
    if not named:
        raise RecipeError("no job was named", expected)


@jobs_app.command(name="list")
def list_jobs(*, state: State | None = None, person: str | None = None, data: Data = DEFAULT_DATA) -> int:
    """List jobs, oldest first: id, state, attempts, when they were accepted, size, and why they failed.

    Parameters
    ----------
    state
        Only jobs in this state.
    person
        Only this person's jobs.

    Examples
    --------
    impasto studio jobs list
    impasto studio jobs list --state failed
    """
    store = open_store(data)
    owner = _person(store, person)
    for job in store.all_jobs():
        if state in (None, job.state) and owner in (None, job.person):
            print(_job_line(job))
    return 0


def _person(store: JobStore, name: str | None) -> int | None:
    """The number of a person; None for no name."""
    from impasto.studio.queue.people import People

    return None if name is None else People(store.database).id_of(name)


def _job_line(job: StudioJob) -> str:
    accepted = datetime.fromtimestamp(job.created).strftime("%Y-%m-%d %H:%M")
    reason = job.last_error if job.failure == "attempts" or job.state == "queued" else job.error
    columns = [
        job.id, f"{job.state:<9}", f"{job.attempts}", accepted, f"{job.kind:<5}",
        f"{job.width}×{job.height}", readable_size(job.bytes) if job.bytes else "-", reason or "",
    ]  # fmt: skip
    return "  ".join(columns).rstrip()


@jobs_app.command
def retry(*ids: str, failed: bool = False, data: Data = DEFAULT_DATA) -> int:
    """Put failed jobs back into the queue.

    Parameters
    ----------
    ids
        Ids, or enough of their beginnings.
    failed
        All that were set aside after too many attempts.

    Examples
    --------
    impasto studio jobs retry 0aF3
    impasto studio jobs retry --failed
    """
    store = open_store(data)
    _require_any(ids or failed, "ids, or --failed")
    jobs = _find(store, ids)
    if failed:
        jobs += [job for job in store.all_jobs() if job.state == "failed" and job.failure == "attempts"]
    for job in jobs:
        if not all(path.exists() for path in job.inputs.files(data / "jobs" / job.id)):
            print(f"{job.id}  its files are gone")
        elif store.retry(job.id):
            print(f"{job.id}  is in the queue again")
        else:
            print(f"{job.id}  is {job.state}: only failed jobs can be tried again")
    return 0


@jobs_app.command
def cancel(*ids: str, data: Data = DEFAULT_DATA) -> int:
    """Cancel jobs; what has been painted is kept.

    Parameters
    ----------
    ids
        Ids, or enough of their beginnings.

    Examples
    --------
    impasto studio jobs cancel 0aF3
    """
    store = open_store(data)
    _require_any(ids, "ids")
    for job in _find(store, ids):
        store.cancel(job.id)
        print(
            f"{job.id}  is cancelled" if job.state in ("queued", "running") else f"{job.id}  is {job.state}"
        )
    return 0


@jobs_app.command
def purge(
    *ids: str,
    state: State | None = None,
    older_than: float | None = None,
    person: str | None = None,
    data: Data = DEFAULT_DATA,
) -> int:
    """Delete jobs with all their files: named ones, or ended ones in a state, of an age, of a person.

    Parameters
    ----------
    ids
        Ids, or enough of their beginnings.
    state
        All ended jobs in this state.
    older_than
        All jobs that ended more than so many days ago; with --state those of them.
    person
        All ended jobs of this person; with --state or --older-than those of them.

    Examples
    --------
    impasto studio jobs purge 0aF3
    impasto studio jobs purge --state failed --older-than 2
    """
    from impasto.studio.queue.jobs import FINAL_STATES

    store = open_store(data)
    chosen = state is not None or older_than is not None or person is not None
    _require_any(ids or chosen, "ids, --state, --older-than or --person")
    jobs = _find(store, ids)
    if chosen:
        owner = _person(store, person)
        latest = time.time() - (older_than or 0.0) * 86400
        jobs += [
            job
            for job in store.all_jobs()
            if job.state in FINAL_STATES
            and (state or job.state) == job.state
            and (job.finished or 0) <= latest
            and owner in (None, job.person)
        ]
    for job in jobs:
        store.mark_deleted(job.id)
    print(f"{len({job.id for job in jobs})} jobs deleted{_delete_files(store, data)}")
    return 0


def _delete_files(store: JobStore, data: Path) -> str:
    """Delete the files of deleted jobs, unless a running studio does."""
    from filelock import FileLock, Timeout

    from impasto.studio.queue.storage import delete_job

    try:
        with FileLock(data / "server.lock").acquire(timeout=0):
            for job_id in store.removable_ids():
                delete_job(job_id, store, StudioSettings(data=data))
    except Timeout:
        return "; the studio removes their files"
    return ""


def backup(target: Path, /, *, data: Data = DEFAULT_DATA) -> int:
    """Copy the studio's jobs and their files into a new folder; the studio may go on meanwhile.

    Parameters
    ----------
    target
        The new folder.

    Examples
    --------
    impasto studio backup /mnt/backup/studio
    """
    from impasto.studio.queue.backup import back_up

    print(f"{back_up(data, target)} jobs are in '{target}'")
    return 0


def restore(source: Path, /, *, data: Data = DEFAULT_DATA) -> int:
    """Make a data folder of a copy; jobs that were being painted go on from there.

    Parameters
    ----------
    source
        What `impasto studio backup` made.

    Examples
    --------
    impasto studio restore /mnt/backup/studio --data restored
    """
    from impasto.studio.queue import backup as backups

    print(f"{backups.restore(source, data)} jobs are in '{data}'")
    return 0
