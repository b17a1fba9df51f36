"""Webhooks that wait to be sent: one for each end of a job whose client asked for it.

The rows are written by triggers of the database (``database``), in the transaction in which the job ends:
none is lost, however a job ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields

from impasto.studio.queue.database import Database

__all__ = ["Deliveries", "Delivery"]


@dataclass(frozen=True)
class Delivery:
    """A webhook that was not delivered yet.

    Attributes:
        id: the same at each attempt.
        job: id of the job that ended, in ``state``.
        created: when it ended, in seconds since the epoch.
        attempts: that failed.
    """

    id: str
    job: str
    state: str
    url: str
    created: float
    attempts: int


_COLUMNS = ", ".join(column.name for column in fields(Delivery))


class Deliveries:
    """All webhooks of a data folder that wait to be sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self) -> list[Delivery]:
        """Those whose time has come, oldest first."""
        query = f"SELECT {_COLUMNS} FROM deliveries WHERE not_before <= ? ORDER BY not_before, created"
        return [Delivery(*row) for row in self._database.connection().execute(query, (time.time(),))]

    def remove(self, delivery: Delivery) -> None:
        """Forget one that was delivered, or given up."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Try one again later."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE deliveries SET attempts = attempts + 1, not_before = ? WHERE id = ?",
                (time.time() + seconds, delivery.id),
            )
