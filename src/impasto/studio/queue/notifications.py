"""Wakes the event streams that follow jobs when the database has changed; one query serves them all."""

from __future__ import annotations

import asyncio

from impasto.studio.queue.jobs import JobStore

__all__ = ["ChangeNotifier"]

_POLL_SECONDS = 0.2  # also limits each stream to five events a second


class ChangeNotifier:
    """Polls the database for changes.

    Attributes:
        version: a number that grows with each change seen.
    """

    def __init__(self, store: JobStore) -> None:
        self._store, self.version = store, 0
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Poll until cancelled."""
        last_seen = -1
        while True:
            data_version = self._store.data_version()
            if data_version != last_seen:
                last_seen = data_version
                async with self._changed:
                    self.version += 1
                    self._changed.notify_all()
            await asyncio.sleep(_POLL_SECONDS)

    async def wait_for_change(self, version: int) -> None:
        """Return once ``self.version`` differs from ``version``."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.version != version)
