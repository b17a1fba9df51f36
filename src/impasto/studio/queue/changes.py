"""Tells those who follow a job that something has changed: one look at the database serves them all."""

from __future__ import annotations

import asyncio

from impasto.studio.queue.jobs import Jobs

__all__ = ["Changes"]

_EVERY = 0.2  # seconds: five events a second at most


class Changes:
    """A number that grows with each change of the database, and waiting for it."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self.number = jobs, 0
        self._changed = asyncio.Condition()

    async def watch(self) -> None:
        """Runs as long as the server does."""
        before = -1
        while True:
            now = self._jobs.version()
            if now != before:
                before = now
                async with self._changed:
                    self.number += 1
                    self._changed.notify_all()
            await asyncio.sleep(_EVERY)

    async def after(self, seen: int) -> None:
        """Returns when the number is another than ``seen``."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.number != seen)
