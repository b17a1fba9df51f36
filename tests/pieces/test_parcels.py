"""Pieces are taken when there is room for them, and together when they are short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.pieces.local import LocalExecutor
from impasto.pieces.parcels import LARGEST_PARCEL, LOOK_AHEAD, Parcels
from impasto.pieces.running import PieceProgress, run_pieces
from small_pieces import Squared, squares


def nothing(count: int, taken: list[int]) -> Iterator[Squared]:
    for number in range(count):
        taken.append(number)
        yield Squared(Path("a"), Path(str(number)))


def test_long_pieces_are_taken_one_by_one() -> None:
    taken: list[int] = []
    parcels = Parcels(nothing(1000, taken))
    for number in range(20):
        assert [index for index, _ in parcels.take(4)] == [number]
        parcels.ended(1, 10.0)
    assert len(taken) == 20


def test_no_more_go_together_than_is_allowed() -> None:
    parcels = Parcels(nothing(1000, []))
    parcels.ended(1000, 1e-3)
    assert [len(parcels.take(1, largest)) for largest in (1, 3, 100)] == [1, 3, LARGEST_PARCEL]


def test_short_pieces_go_together_and_the_last_ones_alone() -> None:
    taken: list[int] = []
    parcels = Parcels(nothing(1000, taken))
    parcels.take(2)
    parcels.ended(1, 0.001)
    sizes = []
    while parcel := parcels.take(2):
        sizes.append(len(parcel))
        parcels.ended(len(parcel), 0.001 * len(parcel))
    assert sum(sizes) == 999
    assert sizes[0] == 14  # 2,000 pieces a second in 150 parcels
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


@pytest.mark.parametrize(("capacity", "seconds"), [(1, 1e-6), (2, 0.1), (40, 0.1), (100_000, 1e-3)])
def test_no_parcel_is_too_large_and_little_is_taken_in_advance(capacity: int, seconds: float) -> None:
    taken: list[int] = []
    parcels = Parcels(nothing(30_000, taken))
    parcels.ended(1, seconds)
    assert 1 <= len(parcels.take(capacity)) <= LARGEST_PARCEL
    assert len(taken) <= LOOK_AHEAD


def test_an_iterator_of_pieces_is_not_held(tmp_path: Path) -> None:
    pieces, made = squares(tmp_path, 40), 0

    def one_by_one() -> Iterator[Squared]:
        nonlocal made
        for piece in pieces:
            made += 1
            yield piece

    seen: list[PieceProgress] = []
    earlier = 0
    outcomes = run_pieces(
        one_by_one(), LocalExecutor(1, 1), count=43, earlier=lambda: earlier, on_progress=seen.append
    )
    for number in range(10):
        assert next(outcomes).index == number
        assert made == number + 1
    assert (seen[-1].done, seen[-1].pieces, seen[-1].share) == (10, 43, 10 / 43)
    earlier = 3  # found out on the way
    assert len(list(outcomes)) == 30
    assert seen[-1] == PieceProgress(43, 43, 1.0, "39.out")
    assert [each.share for each in seen] == sorted(each.share for each in seen)
