"""Takes pieces from their source as there is room for them, several at a time if they are short."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from impasto.pieces.piece import Piece

__all__ = ["LARGEST_PARCEL", "Parcels"]

#: Parcels that a process can send and receive in a second: each takes it 3 ms on Ray, and it has other work.
PARCELS_PER_SECOND = 150.0
#: Pieces in a parcel at most, because all of their files travel with it.
LARGEST_PARCEL = 32
#: Pieces that are taken from their source in advance at most, to share out the last ones fairly.
LOOK_AHEAD = 20_000


class Parcels:
    """Pieces in parcels, usually of one.

    Args:
        pieces: taken one by one, and not before they are needed.
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._source = iter(enumerate(pieces))
        self._ahead: deque[tuple[int, Piece]] = deque()
        self._exhausted = False
        self._done, self._seconds = 0, 0.0

    def ended(self, count: int, seconds: float) -> None:
        """Record that ``count`` pieces have taken ``seconds`` where they were worked on."""
        self._done, self._seconds = self._done + count, self._seconds + seconds

    def take(self, capacity: int, largest: int = LARGEST_PARCEL) -> list[tuple[int, Piece]]:
        """The next parcel, pieces with their indices; an empty one at the end.

        Args:
            capacity: number of parcels that are worked on at a time.
            largest: pieces in it at most.
        """
        size = self.size(capacity, largest)
        self._look_ahead(1 if size == 1 else min(4 * capacity * size, LOOK_AHEAD))
        if self._exhausted:  # a large parcel at the end would keep one machine busy while the others wait
            size = min(size, max(1, len(self._ahead) // (4 * capacity)))
        return [self._ahead.popleft() for _ in range(min(size, len(self._ahead)))]

    def size(self, capacity: int, largest: int = LARGEST_PARCEL) -> int:
        """As many pieces as it takes for this process to keep up; see :meth:`take`."""
        if not self._done:
            return 1
        pieces_per_second = capacity * self._done / max(self._seconds, 1e-3)
        return max(1, min(math.ceil(pieces_per_second / PARCELS_PER_SECOND), LARGEST_PARCEL, largest))

    def _look_ahead(self, count: int) -> None:
        while len(self._ahead) < count and not self._exhausted:
            following = next(self._source, None)
            if following is None:
                self._exhausted = True
            else:
                self._ahead.append(following)
