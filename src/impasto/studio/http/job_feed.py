"""``JobFeed``: what event streams send. One thread reads the database for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from impasto.studio.http.views import JobView, job_view
from impasto.studio.queue.jobs import FINAL_STATES, JobStore, StudioJob
from impasto.studio.queue.people import People

__all__ = ["JobFeed"]

_POLL_SECONDS = 0.2  # also limits each stream to five events a second
_LONGEST_PAUSE = 5.0  # seconds after errors of the database

log = logging.getLogger("impasto.studio")

Snapshot = dict[str, JobView | None]  # by id; None: there is no such job any more


class JobFeed:
    """Views of the jobs that somebody follows, as of the last change of the database."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._people = store, People(store.database)
        self._followers: Counter[str] = Counter()
        self._snapshot: Snapshot = {}
        self._credentials: set[str] = set()  # that were valid then
        self._number = 0  # of the snapshot
        self._changed = asyncio.Condition()
        self._joined = asyncio.Event()
        self._last_version: int | None = None
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
                    await self._publish(await read)
                    pause = _POLL_SECONDS
                except Exception as error:  # noqa: BLE001 - the streams have to go on afterwards
                    log.error("events: %s: %s", type(error).__name__, error)
                    pause = min(_LONGEST_PAUSE, 2.0 * pause)
                    if joined:
                        self._joined.set()
                        await asyncio.sleep(pause)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._joined.wait(), pause)

    async def _publish(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            async with self._changed:
                self._snapshot = snapshot
                self._number += 1
                self._changed.notify_all()

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

    async def follow(self, job_id: str, credential: str | None = None) -> AsyncIterator[JobView]:
        """The job now, at each change, and when it ends.

        Ends itself if the job is deleted, or ``credential`` is no longer valid.
        """
        self._followers[job_id] += 1
        self._joined.set()
        last, seen = None, self._number
        try:
            while True:
                async with self._changed:
                    while self._number == seen or job_id not in self._snapshot:
                        await self._changed.wait()
                    seen, view = self._number, self._snapshot[job_id]
                if view is None or (credential is not None and credential not in self._credentials):
                    return
                if view != last:
                    last = view
                    yield view
                if view.state in FINAL_STATES:
                    return
        finally:
            self._followers[job_id] -= 1
            if not self._followers[job_id]:
                del self._followers[job_id]
