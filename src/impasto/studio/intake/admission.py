"""Whose upload is decoded next, and whether another one can be taken at all.

Few uploads are decoded at once. Clients take turns: each upload belongs to a round, the next of its client's,
and earlier rounds go first (start-time fair queueing: Goyal, Vin and Cheng 1996, with each upload of size 1).
An upload that would have to wait for too long is refused before its body is read: its client comes back, and
what waits stays short. Rounds are remembered of whoever was served or refused, so that coming back more often
does not get more than one's turns. How long the uploads ahead will take is expected by their sizes, because a
queue of large ones that is estimated by the number of small ones before it is promised too early.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from impasto.studio.errors import RefusedError

__all__ = ["UPLOADS_POLICY", "Admission", "AdmittedUpload"]

UPLOADS_POLICY = "uploads"  # that refuses those for whom there is no time

# Seconds that 8 MB take until some uploads have been decoded: as measured on two slow, busy cores.
_FIRST_ESTIMATE, _FIRST_BYTES = 2.0, 8_000_000
_ANY_BYTES = 4_000_000  # so many more take as long as what every upload takes, whatever its size
# Weights of the latest interval in that estimate, if it is longer and if it is shorter: one that is too low
# makes everybody wait, one that is too high only sends some away who could have stayed.
_LONGER_WEIGHT, _SHORTER_WEIGHT = 0.1, 0.03
_SILENT_SECONDS = 2.0  # after which a body that does not arrive counts no more among those that will wait
_SLOW_SECONDS = 10.0  # after which it is its client's line that it waits for, and not for the server
# A refused client is expected within so many times its `Retry-After`, and at least within so many seconds.
_RETURN_FACTOR, _LEAST_RETURN = 3.0, 10.0
_SPARE = 1  # while fewer uploads than this for each place are there, nobody is kept out for those to come


@dataclass(eq=False)
class AdmittedUpload:
    """An upload from its admission until it is decoded.

    Attributes:
        round: in which it is decoded.
        number: order within the round.
        work: what it takes, in bytes: its own, and so many for what each takes.
        admitted: when, by the clock of ``Admission``.
        silence: seconds since anything of it has arrived.
        turn: set when it may be decoded; None while it arrives.
        served: whether its turn has come.
    """

    client: str
    round: int
    number: int
    work: float
    admitted: float
    silence: Callable[[], float]
    turn: asyncio.Future[None] | None = None
    served: bool = False

    def counts(self, now: float) -> bool:
        """Whether others wait for it: not if its body has ceased to arrive, or arrives slowly."""
        arrives = self.silence() < _SILENT_SECONDS and now - self.admitted < _SLOW_SECONDS
        return self.turn is not None or arrives


class Admission:
    """Turns of the clients whose uploads are to be decoded. For one event loop.

    Args:
        at_once: uploads that are decoded at the same time.
        longest_wait: seconds that an upload is expected to wait at most.
        clock: seconds that never go back.
    """

    def __init__(
        self, at_once: int, longest_wait: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free, self._at_once, self._longest_wait, self._clock = at_once, at_once, longest_wait, clock
        # Seconds a byte of work between two that are decoded, while enough are there.
        self._pace = _FIRST_ESTIMATE / at_once / _work_of(_FIRST_BYTES)
        self._last_end: float | None = None  # of the latest, if enough others were there already
        self._uploads: set[AdmittedUpload] = set()
        self._round = self._number = 0  # of the latest upload that was decoded; of the latest that came
        self._next_rounds: dict[str, int] = {}  # of clients that had a turn in this round already
        self._refused: dict[str, float] = {}  # clients that are to come back, and until when

    def expected_wait(self, client: str) -> float:
        """Seconds until another upload of a client would have its turn.

        Before it go those of earlier rounds, and what others who were refused may still bring into these.
        """
        now, next_round = self._clock(), self._next_round(client)
        here = [upload for upload in self._uploads if upload.counts(now)]
        ahead = sum(self._is_late(upload, now) or upload.round <= next_round for upload in here)
        if len(here) >= _SPARE * self._at_once:
            self._refused = {name: until for name, until in self._refused.items() if until > now}
            others = (self._next_round(name) for name in self._refused if name != client)
            ahead += sum(max(0, next_round - theirs) for theirs in others)
        work = sum(upload.work for upload in here) / max(1, len(here))  # those who come back send the like
        return max(0, ahead - self._at_once + 1) * work * self._pace

    def _is_late(self, upload: AdmittedUpload, now: float) -> bool:
        """Whether it goes first whatever its round: it has its turn, or waits for longer than was said."""
        return upload.served or now - upload.admitted > self._longest_wait

    def _next_round(self, client: str) -> int:
        return max(self._round, self._next_rounds.get(client, 0))

    def _set_next_round(self, client: str, number: int) -> None:
        """Remember a client's next round, if it is later than that of a client who is not known."""
        self._next_rounds[client] = number
        if number <= self._round:
            del self._next_rounds[client]

    def check(self, client: str) -> None:
        """Refuse another upload of a client if it would have to wait for too long.

        Raises:
            RefusedError: status 429.
        """
        wait = self.expected_wait(client)
        if wait > self._longest_wait:
            got, seconds = "too many uploads are being checked at the moment", math.ceil(wait)
            self._refused[client] = self._clock() + max(_LEAST_RETURN, _RETURN_FACTOR * seconds)
            remedy = f"come back in {seconds} s"
            raise RefusedError(got, remedy=remedy, status=429, retry_after=seconds, policy=UPLOADS_POLICY)

    @contextmanager
    def enter(
        self, client: str, silence: Callable[[], float], size: int | None = None
    ) -> Iterator[AdmittedUpload]:
        """An upload whose body is read, and which then waits for its turn, within the block.

        Args:
            silence: seconds since anything of it has arrived.
            size: its bytes; None: unknown.

        Raises:
            RefusedError: as :meth:`check`.
        """
        self.check(client)
        self._refused.pop(client, None)
        work = _work_of(_FIRST_BYTES if size is None else size)
        upload = AdmittedUpload(client, self._next_round(client), self._number, work, self._clock(), silence)
        self._number += 1
        self._set_next_round(client, upload.round + 1)
        self._uploads.add(upload)
        try:
            yield upload
        finally:
            self._uploads.remove(upload)
            if not upload.served:  # it took no turn
                self._set_next_round(client, self._next_round(client) - 1)

    @asynccontextmanager
    async def turn(self, upload: AdmittedUpload) -> AsyncIterator[None]:
        """Wait for the upload's turn; within the block it is decoded."""
        upload.turn = asyncio.get_running_loop().create_future()
        self._begin_next()
        try:
            await upload.turn
            begin = self._clock()
            try:
                yield
            finally:
                self._learn(upload, begin)
        finally:
            upload.turn.cancel()  # its client may have left while it waited
            if upload.served:
                self._free += 1
                self._begin_next()

    def _learn(self, ended: AdmittedUpload, begin: float) -> None:
        """Correct the pace at the end of an upload, by the interval that is measured.

        While enough are there it is that between two ends, whatever holds them up: decoders, the disk, or the
        reading of bodies; but no longer than this one took, because clients may have sent nothing meanwhile.
        One that had the machine to itself says nothing of how fast it goes when many come.
        """
        now, last_end = self._clock(), self._last_end
        seconds = now - begin
        measured = seconds / self._at_once if last_end is None else min(seconds, now - last_end)
        error = measured / ended.work - self._pace
        if error > 0.0:
            self._pace += error * _LONGER_WEIGHT
        elif last_end is not None:
            self._pace += error * _SHORTER_WEIGHT
        here = sum(upload.counts(now) for upload in self._uploads if upload is not ended)
        self._last_end = now if here >= self._at_once else None

    def _begin_next(self) -> None:
        """Give places that are free to the uploads that are whole, in the order of turns."""
        now = self._clock()
        waiting = [one for one in self._uploads if one.turn is not None and not one.turn.done()]

        def place(upload: AdmittedUpload) -> tuple[bool, int, int]:
            return not self._is_late(upload, now), upload.round, upload.number

        for upload in sorted(waiting, key=place)[: self._free]:
            assert upload.turn is not None
            self._free -= 1
            upload.served = True
            upload.turn.set_result(None)
            if upload.round > self._round:
                self._round = upload.round
                later = {name: at for name, at in self._next_rounds.items() if at > self._round}
                self._next_rounds = later


def _work_of(size: int) -> float:
    """What an upload of so many bytes takes, in bytes."""
    return float(size + _ANY_BYTES)
