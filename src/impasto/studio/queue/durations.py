"""How long jobs waited and were painted, counted by length for histograms.

They are counted apart from the jobs: a histogram's counts must never fall, and jobs are deleted.
"""

from __future__ import annotations

import math
import sqlite3
from itertools import accumulate
from typing import NamedTuple

__all__ = ["PAINT", "WAIT", "Durations", "count_duration", "durations_of"]

#: What is counted: from acceptance to the first painting, and the painting of what was finished.
WAIT, PAINT = "wait", "paint"
#: Upper bounds of the lengths in seconds.
_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, math.inf)


class Durations(NamedTuple):
    """All that was counted under a name.

    Attributes:
        buckets: (upper bound in seconds, how many were at most as long), in rising order; the last is all.
        total: in seconds.
    """

    buckets: list[tuple[float, int]]
    total: float


def count_duration(db: sqlite3.Connection, name: str, seconds: float) -> None:
    """Count one more; a negative length, after the clock was moved back, as none."""
    seconds = max(0.0, seconds)
    bound = next(bound for bound in _BOUNDS if seconds <= bound)
    db.execute(
        "INSERT INTO durations (name, bound, count, total) VALUES (?, ?, 1, ?) "
        "ON CONFLICT (name, bound) DO UPDATE SET count = count + 1, total = total + excluded.total",
        (name, bound, seconds),
    )


def durations_of(db: sqlite3.Connection, name: str) -> Durations:
    """What was counted since the data folder was made."""
    rows = db.execute("SELECT bound, count, total FROM durations WHERE name = ?", (name,)).fetchall()
    counts = {bound: count for bound, count, _ in rows}
    cumulative = accumulate(counts.get(bound, 0) for bound in _BOUNDS)
    return Durations(list(zip(_BOUNDS, cumulative, strict=True)), sum(row[2] for row in rows))
