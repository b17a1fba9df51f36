"""Work on several frames at the same time, in threads, with the results in the order of the frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["computed_ahead"]

T = TypeVar("T")
R = TypeVar("R")


def computed_ahead(function: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R]:
    """``function(item)`` for each item, in order, computed ``threads + 1`` items ahead.

    PyTorch, OpenCV and zlib release Python's lock while they compute. When the iterator is closed, or a call
    raises, calls that have not begun are dropped, and those that have are waited for.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
