"""Progress of long tasks, reported to a listener without a callback in the functions between.

A function that takes long calls :func:`report`; a caller that shows progress wraps the call in
:func:`listening`. Without a listener a report does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Progress", "listening", "report"]


@dataclass(frozen=True)
class Progress:
    """The progress of a task.

    Attributes:
        task: what is being done, to be shown: ``downloading vgg19``.
        done: units finished so far.
        total: units in total; None if unknown.
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

    In a nested block, the inner listener replaces the outer one. Threads started inside the block do not
    inherit the listener.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(progress: Progress) -> None:
    """Call the listener, if there is one; an exception that it raises propagates and so ends the task."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)
