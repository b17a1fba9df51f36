"""Runs pieces somewhere, keeps their results, and adds up their progress."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

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
    pieces: Sequence[Piece],
    executor: Executor,
    *,
    earlier: int = 0,
    on_progress: Callable[[PieceProgress], None] | None = None,
) -> Generator[Outcome]:
    """Work on pieces and keep each result as soon as it is there.

    Args:
        earlier: number of pieces that an earlier run has finished, for the progress.
        on_progress: called often; must be quick.

    Yields:
        What became of each piece, in the order in which they end. A result that could not be kept is an
        error too. To stop, stop iterating and close the iterator.
    """
    if not pieces:
        return
    progress = _Progress(pieces, earlier, on_progress)
    with closing(executor.run(pieces, progress.update)) as outcomes:
        for outcome in outcomes:
            kept = _kept(pieces[outcome.index], outcome)
            progress.finish(outcome.index)
            yield kept


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
    """Adds the progress of all pieces up, and reports it at every change."""

    def __init__(
        self, pieces: Sequence[Piece], earlier: int, listener: Callable[[PieceProgress], None] | None
    ) -> None:
        self.pieces, self.listener = pieces, listener
        self.costs = [piece.cost for piece in pieces]
        self.shares = [0.0] * len(pieces)
        self.total, self.work = sum(self.costs) or 1.0, 0.0
        self.done, self.all = earlier, earlier + len(pieces)

    def update(self, index: int, share: float) -> None:
        """Record that a piece has made this share of its work."""
        self._advance(index, share)
        self._report(index)

    def finish(self, index: int) -> None:
        """Record that a piece has ended."""
        self._advance(index, 1.0)
        self.done += 1
        self._report(index)

    def _advance(self, index: int, share: float) -> None:
        if share > self.shares[index]:
            self.work += (share - self.shares[index]) * self.costs[index]
            self.shares[index] = share

    def _report(self, index: int) -> None:
        if self.listener is not None:
            share = min(1.0, self.work / self.total) if self.done < self.all else 1.0
            self.listener(PieceProgress(self.done, self.all, share, self.pieces[index].label))
