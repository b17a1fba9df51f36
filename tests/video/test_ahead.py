"""Frames computed ahead: in order, not too far, and no longer than they are wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from impasto.video.ahead import computed_ahead


def test_results_come_in_order_whatever_takes_longest() -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 * (3 - number % 4))
        return number * number

    assert list(computed_ahead(slow, range(12), 3)) == [n * n for n in range(12)]
    assert list(computed_ahead(slow, [], 3)) == []


def test_only_so_many_items_are_taken() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = computed_ahead(lambda number: number, items(), 2)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) == 2 + 3
    results.close()
    assert len(taken) == 2 + 3


def test_an_error_comes_where_its_item_is() -> None:
    results = computed_ahead(lambda number: 6 // number, [3, 2, 0, 1], 4)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
