"""Progress bars and spinners, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from impasto.cli.messages import duration
from impasto.files import readable_size
from impasto.progress import Progress, listening

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["ProgressBar", "working"]


class ProgressBar:
    """A context manager that shows a bar with the time left; if stderr is no terminal, a line at every tenth.

    Args:
        quiet: show nothing.
        title: what is being done, for a command that does several things.
    """

    def __init__(self, quiet: bool, title: str = "") -> None:
        self.quiet, self.title = quiet, title
        self._begin, self._last_tenth = time.perf_counter(), -1
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        if not self.quiet and sys.stderr.isatty():
            self._bar = _rich_bar()
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=1.0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, share: float, text: str) -> None:
        """Show that ``share`` of the work, in [0, 1], is done."""
        share = min(1.0, max(0.0, share))
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, description=self._titled(text))
            return
        tenth = int(10 * share + 1e-9)
        # `finish` prints the line of the last tenth.
        if not self.quiet and self._last_tenth < tenth < 10:
            self._last_tenth = tenth
            self._print(share, text)

    def finish(self, text: str) -> None:
        """Show that the work is done, even if ``update`` never reached 1: scales may end early."""
        self.update(1.0, text)
        if not self.quiet and self._bar is None:
            self._print(1.0, text)

    def _titled(self, text: str) -> str:
        return f"{self.title}: {text}" if self.title else text

    def _print(self, share: float, text: str) -> None:
        elapsed = time.perf_counter() - self._begin
        left = ""
        if 0.05 < share < 1.0 and elapsed > 2.0:
            left = f", about {duration(elapsed / share - elapsed)} left"
        print(f"impasto: {100 * share:.0f}% {self._titled(text)}{left}", file=sys.stderr, flush=True)


def _rich_bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.percentage:>3.0f}%"),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def working(what: str, quiet: bool) -> Iterator[None]:
    """Show a spinner while the block runs, and the progress that is reported by :mod:`impasto.progress`.

    If stderr is no terminal, only reported progress is shown: a line at every tenth.

    Args:
        what: text beside the spinner until progress is reported.
        quiet: show nothing.
    """
    if quiet:
        yield
    elif sys.stderr.isatty():
        from rich.console import Console

        spinner = Console(stderr=True).status(what)
        with spinner, listening(lambda progress: spinner.update(_described(progress))):
            yield
    else:
        with listening(_TenthPrinter().show):
            yield


class _TenthPrinter:
    """Prints a line for every tenth of a task."""

    def __init__(self) -> None:
        self.shown: tuple[str, int] = ("", -1)

    def show(self, progress: Progress) -> None:
        tenth = int(10 * progress.done / progress.total) if progress.total else 0
        if (progress.task, tenth) != self.shown:
            self.shown = (progress.task, tenth)
            print(f"impasto: {_described(progress)}", file=sys.stderr, flush=True)


def _described(progress: Progress) -> str:
    """``downloading vgg19: 12.3 MB of 80.2 MB``; ``cutting out: 3 of 5 rounds``."""
    if progress.unit == "bytes":
        done = readable_size(int(progress.done))
        total = "" if progress.total is None else f" of {readable_size(int(progress.total))}"
        return f"{progress.task}: {done}{total}"
    total = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.task}: {progress.done:g}{total} {progress.unit}".rstrip()
