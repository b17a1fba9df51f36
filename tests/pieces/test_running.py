"""Results are kept as soon as they are there, and progress adds up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Outcome, Piece
from impasto.pieces.running import PieceProgress, run_pieces
from small_pieces import Squared, results, squares

HERE = LocalExecutor(1, 1)


def test_what_is_done_is_kept_when_the_next_one_begins(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 3)
    outcomes = run_pieces(pieces, HERE)
    assert next(outcomes).index == 0
    assert results(pieces) == [0, None, None]
    outcomes.close()
    assert results(pieces) == [0, None, None]
    assert list(run_pieces([], HERE)) == []


def test_what_cannot_be_kept_is_an_error_of_that_piece(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 3, _0="refuse", _1="full")
    assert [each.error for each in run_pieces(pieces, HERE)] == ["this one not", "the disk is full", None]
    assert results(pieces) == [None, None, 4]


class Told:
    """An executor that reports what it is told."""

    def __init__(self, reports: Sequence[tuple[int, float]]) -> None:
        self.reports = reports

    def run(self, pieces: Sequence[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        pieces = list(pieces)
        for index, share in self.reports:
            report(index % len(pieces), share)
        for index in range(len(pieces)):
            yield Outcome(index, error="none")


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=20))
def test_progress_never_runs_back_and_ends_at_one(count: int, reports: list[tuple[int, float]]) -> None:
    seen: list[PieceProgress] = []
    pieces = [Squared(Path("a"), Path(f"{k}.out")) for k in range(count)]
    list(run_pieces(pieces, Told(reports), earlier=2, on_progress=seen.append))
    assert [each.share for each in seen] == sorted(each.share for each in seen)
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert seen[-1] == PieceProgress(count + 2, count + 2, 1.0, f"{count - 1}.out")


def test_progress_weighs_pieces_by_their_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = squares(tmp_path, 2)
    monkeypatch.setattr(Squared, "cost", property(lambda self: 3.0 if self is pieces[0] else 1.0))
    seen: list[float] = []
    list(run_pieces(pieces, HERE, on_progress=lambda progress: seen.append(progress.share)))
    assert seen == [0.375, 0.75, 0.875, 1.0]
