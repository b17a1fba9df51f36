"""What the command line shows of work under way, on stderr: bars and spinners."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.status import Status

__all__ = ["Bar", "Download", "duration", "fetching", "timed_bar", "waiting"]


def duration(seconds: float) -> str:
    """A time to come, in words: ``12 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def timed_bar(first: str) -> Progress:
    """A bar on stderr behind a first column, with time gone, time left and the task's description."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn(first),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    )


class Bar:
    """A progress bar on stderr, or one line per scale where stderr is no terminal."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.total, self.quiet, self.last = total, quiet, ""
        self.progress: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> Bar:
        if not self.quiet and sys.stderr.isatty():
            self.progress = timed_bar("{task.percentage:>3.0f}%")
            self.progress.start()
            self.task = self.progress.add_task("", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def update(self, done: int, description: str) -> None:
        """Show that ``done`` of ``total`` is behind us."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=done, description=description)
        elif not self.quiet:
            scale = description.split("  ", maxsplit=1)[0]
            if scale != self.last:
                print(f"impasto: {100 * done // max(self.total, 1)}% {description}", file=sys.stderr)
            self.last = scale


def waiting(what: str, quiet: bool) -> AbstractContextManager[Status | None]:
    """A spinner while libraries and pictures are loaded: PyTorch alone takes over a second."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)


def fetching(spinner: Status | None) -> Callable[[int, int | None], None] | None:
    """Shows how far a download is, in the spinner's line."""
    if spinner is None:
        return None

    def show(done: int, total: int | None) -> None:
        of = f" of {total / 1e6:.0f}" if total else ""
        spinner.update(f"fetching the encoder's weights, once: {done / 1e6:.0f}{of} MB")

    return show


class Download:
    """A progress bar for a download."""

    def __enter__(self) -> Download:
        self.bar = Bar(0, quiet=not sys.stderr.isatty()).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.__exit__()

    def __call__(self, done: int, total: int | None) -> None:
        if self.bar.progress is not None and self.bar.task is not None:
            self.bar.progress.update(
                self.bar.task, total=total, completed=done, description=f"{done / 1e6:.0f} MB"
            )
