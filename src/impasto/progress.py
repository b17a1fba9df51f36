"""How far long work is, from where it is done to whoever shows it, without passing through what lies between.

A function that takes long calls :func:`report`; a caller who wants to know wraps the call in
:func:`listening`. Where nobody listens a report costs nothing and goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Progress", "listening", "report"]


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        task: what is being done, for people: ``downloading vgg19``.
        done: units finished so far.
        total: units in all; None where nobody knows.
        unit: what is counted, in the plural: ``bytes``, ``rounds``.
    """

    task: str
    done: float
    total: float | None = None
    unit: str = ""


_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("impasto_progress", default=None)


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Call ``listener`` for every report made inside the block, in the thread that makes it.

    Listeners do not stack: an inner block's listener takes the place of the outer one. A thread started
    inside the block has a context of its own and is not heard.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(progress: Progress) -> None:
    """Tell the listener, if there is one; an exception that it raises ends the work."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)
