"""Runs pieces somewhere, keeps their results, and adds up their progress."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from impasto.errors import ImpastoError
from impasto.pieces.piece import Executor, Outcome, Piece

__all__ = ["PieceProgress", "run_pieces"]


@dataclass(frozen=True)
class PieceProgress:
    """How far a run is.

    Attributes:
        done, pieces: number of finished pieces, those of earlier runs included, and of all pieces.
        share: share of this run's work that is done, in [0, 1], counted in the pieces' cost.
        label: of the piece that made the latest step.
    """

    done: int
    pieces: int
    share: float
    label: str


def run_pieces(
    pieces: Iterable[Piece],
    executor: Executor,
    *,
    count: int | None = None,
    earlier: int | Callable[[], int] = 0,
    on_progress: Callable[[PieceProgress], None] | None = None,
) -> Generator[Outcome]:
    """Work on pieces and keep each result as soon as it is there.

    Args:
        pieces: a sequence; or an iterator, from which a piece is taken when there is room for it, and
            forgotten when it has ended.
        count: number of all pieces, of earlier runs too, where ``pieces`` is an iterator.
        earlier: number of pieces that an earlier run has finished, for the progress; a function where it is
            found out while the pieces are made.
        on_progress: called often; must be quick.

    Yields:
        What became of each piece, in the order in which they end. A result that could not be kept is an
        error too. To stop, stop iterating and close the iterator.
    """
    progress: _Progress
    if isinstance(pieces, Sequence):
        if not pieces:
            return
        progress = _ProgressByCost(pieces, earlier, on_progress)
    else:
        progress = _Progress(count or 0, earlier, on_progress)
    live: dict[int, Piece] = {}
    with closing(executor.run(_handed_out(pieces, live), partial(progress.update, live))) as outcomes:
        for outcome in outcomes:
            kept = _kept(live[outcome.index], outcome)
            progress.finish(live, outcome.index)
            del live[outcome.index]
            yield kept


def _handed_out(pieces: Iterable[Piece], live: dict[int, Piece]) -> Iterator[Piece]:
    """The pieces one by one, each noted in ``live`` by its index."""
    for index, piece in enumerate(pieces):
        live[index] = piece
        yield piece


def _kept(piece: Piece, outcome: Outcome) -> Outcome:
    """The outcome once the piece's result is where it belongs, or the error that prevented it."""
    if outcome.error is not None:
        return outcome
    try:
        piece.keep(outcome.result)
    except ImpastoError as error:
        return replace(outcome, result=None, error=str(error))
    return outcome


class _Progress:
    """Adds the progress of pieces up, each of them the same work, and reports it at every change.

    Args:
        count: number of all pieces, those of earlier runs included.
        earlier: number of those of earlier runs.
    """

    def __init__(
        self,
        count: int,
        earlier: int | Callable[[], int],
        listener: Callable[[PieceProgress], None] | None,
    ) -> None:
        self.count, self.listener = count, listener
        self.earlier = earlier if callable(earlier) else lambda: earlier
        self.shares: dict[int, float] = {}  # of the pieces that are being worked on
        self.ended, self.work = 0, 0.0

    def cost(self, index: int) -> float:
        """How much work a piece is."""
        return 1.0

    def total(self) -> float:
        """The work of this run."""
        return float(self.count - self.earlier())

    def update(self, live: Mapping[int, Piece], index: int, share: float) -> None:
        """Record that a piece has made this share of its work."""
        if index in live:  # its last report may come after its end
            self._advance(index, share)
            self._report(live[index])

    def finish(self, live: Mapping[int, Piece], index: int) -> None:
        """Record that a piece has ended."""
        self._advance(index, 1.0)
        del self.shares[index]
        self.ended += 1
        self._report(live[index])

    def _advance(self, index: int, share: float) -> None:
        before = self.shares.get(index, 0.0)
        self.shares[index] = max(share, before)
        self.work += (self.shares[index] - before) * self.cost(index)

    def _report(self, piece: Piece) -> None:
        if self.listener is not None:
            done = self.ended + self.earlier()
            share = 1.0 if done == self.count else min(1.0, self.work / max(self.total(), 1e-9))
            self.listener(PieceProgress(done, self.count, share, piece.label))


class _ProgressByCost(_Progress):
    """As :class:`_Progress`, with pieces that are known from the beginning and weighed by their cost."""

    def __init__(
        self,
        pieces: Sequence[Piece],
        earlier: int | Callable[[], int],
        listener: Callable[[PieceProgress], None] | None,
    ) -> None:
        super().__init__(0, earlier, listener)
        self.count = self.earlier() + len(pieces)
        self.costs = [piece.cost for piece in pieces]
        self.sum = sum(self.costs) or 1.0

    def cost(self, index: int) -> float:
        return self.costs[index]

    def total(self) -> float:
        return self.sum
