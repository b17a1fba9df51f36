"""``JobFeed``: what event streams send. One thread reads the database for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from impasto.studio.http.views import JobView, job_view
from impasto.studio.queue.jobs import FINAL_STATES, JobStore, StudioJob
from impasto.studio.queue.people import People

__all__ = ["JobFeed"]

_POLL_SECONDS = 0.2  # also limits each stream to five events a second
_LONGEST_PAUSE = 5.0  # seconds after errors of the database
_SILENCE_SECONDS = 15.0  # after which a stream has to say that it is still there, for proxies
_LOOK_SECONDS = 1.0  # between two looks for streams that are silent

log = logging.getLogger("impasto.studio")

Snapshot = dict[str, JobView | None]  # by id; None: there is no such job any more


@dataclass(eq=False)
class _Follower:
    """One event stream.

    Attributes:
        credential: what has to be valid for it; None: nothing.
        seen: the view that it knows.
        spoke: when it last gave out something.
        wake: set when there is another view, or after a silence.
    """

    credential: str | None
    seen: JobView | None = None
    spoke: float = field(default_factory=time.monotonic)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class JobFeed:
    """Views of the jobs that somebody follows, as of the last change of the database."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._people = store, People(store.database)
        self._followers: dict[str, set[_Follower]] = {}  # by job
        self._snapshot: Snapshot = {}
        self._credentials: set[str] = set()  # that were valid then
        self._joined = asyncio.Event()
        self._last_version: int | None = None
        self._last_look = 0.0
        self._rows: dict[str, tuple[StudioJob, int | None]] = {}

    async def run(self) -> None:
        """Read the database at each change until cancelled; errors are logged, and it is tried again."""
        pause = _POLL_SECONDS
        # One thread, because SQLite counts changes for each connection, and each thread has its own.
        with ThreadPoolExecutor(1, "job-feed") as pool:
            while True:
                joined = self._joined.is_set()
                self._joined.clear()
                ids = set(self._followers)
                try:
                    read = asyncio.get_running_loop().run_in_executor(pool, self._read, ids, joined)
                    self._publish(await read)
                    pause = _POLL_SECONDS
                except Exception as error:  # noqa: BLE001 - the streams have to go on afterwards
                    log.error("events: %s: %s", type(error).__name__, error)
                    pause = min(_LONGEST_PAUSE, 2.0 * pause)
                    if joined:
                        self._joined.set()
                        await asyncio.sleep(pause)
                self._wake_silent()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._joined.wait(), pause)

    def _wake_silent(self) -> None:
        """Wake those that have said nothing for long: one look at all costs less than a timer for each."""
        now = time.monotonic()
        if now - self._last_look < _LOOK_SECONDS:
            return
        self._last_look = now
        for followers in self._followers.values():
            for follower in followers:
                if follower.seen is not None and now - follower.spoke > _SILENCE_SECONDS:
                    follower.wake.set()

    def _publish(self, snapshot: Snapshot | None) -> None:
        """Wake the followers of jobs that have changed: with hundreds of them, waking all takes long."""
        if snapshot is None:
            return
        self._snapshot = snapshot
        for job_id, view in snapshot.items():
            for follower in self._followers.get(job_id, ()):
                if view is None or view is not follower.seen or not self._may_follow(follower):
                    follower.wake.set()

    def _may_follow(self, follower: _Follower) -> bool:
        return follower.credential is None or follower.credential in self._credentials

    def _read(self, ids: set[str], joined: bool) -> Snapshot | None:
        """Views of these jobs; None if nothing has changed. Runs in the thread."""
        version = self._store.data_version()
        if not ids or (version == self._last_version and not joined):
            return None
        rows, positions = self._store.get_many(ids), self._store.positions()
        snapshot: Snapshot = dict.fromkeys(ids)
        self._credentials = self._people.valid_credentials()
        current = {}
        for job in rows:
            current[job.id] = (job, positions.get(job.id))
            unchanged = self._rows.get(job.id) == current[job.id] and self._snapshot.get(job.id)
            snapshot[job.id] = unchanged or job_view(*current[job.id])
        self._rows = current
        self._last_version = version  # last, so that an error has everything read again
        return snapshot

    async def follow(
        self, job_id: str, credential: str | None = None
    ) -> AsyncGenerator[JobView | None, None]:
        """The job now, at each change, and when it ends; None after some seconds without any.

        Ends itself if the job is deleted, or ``credential`` is no longer valid.
        """
        follower = _Follower(credential)
        self._followers.setdefault(job_id, set()).add(follower)
        self._joined.set()
        try:
            while True:
                await follower.wake.wait()
                follower.wake.clear()
                last, follower.seen = follower.seen, self._snapshot.get(job_id)
                view, now = follower.seen, time.monotonic()
                if view is None or not self._may_follow(follower):
                    return
                changed = view is not last and view != last
                if changed or now - follower.spoke > _SILENCE_SECONDS:
                    follower.spoke = now
                    yield view if changed else None
                if view.state in FINAL_STATES:
                    return
        finally:
            self._followers[job_id].remove(follower)
            if not self._followers[job_id]:
                del self._followers[job_id]
