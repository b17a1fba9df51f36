"""What the studies' commands say on stderr, and how lists are written as one word."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from impasto.cli.progress import timed_bar
from impasto.errors import RecipeError

if TYPE_CHECKING:
    from impasto.studies.conduct import Progress

__all__ = ["Bar", "numbers", "say", "seeds_of", "setting", "words"]


class Bar:
    """Progress over all cells on stderr with the time left; a line per cell where it is no terminal."""

    def __init__(self, quiet: bool, name: str) -> None:
        self.quiet, self.name, self.done = quiet, name, -1
        self.begin = time.perf_counter()
        self.rich: Any = None

    def __enter__(self) -> Bar:
        if not self.quiet and sys.stderr.isatty():
            self.rich = timed_bar("{task.fields[cells]} cells")
            self.rich.start()
            self.task = self.rich.add_task(self.name, total=1.0, cells="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.rich is not None:
            self.rich.stop()

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        cells = f"{progress.done}/{progress.cells}"
        if self.rich is not None:
            description = f"{self.name}: {progress.label}"
            self.rich.update(self.task, completed=progress.share, cells=cells, description=description)
        elif not self.quiet and progress.done > max(self.done, 0):
            gone = time.perf_counter() - self.begin
            left = gone / progress.share - gone if progress.share > 0 else 0.0
            print(f"impasto: {self.name} {cells} cells, about {left:.0f} s left", file=sys.stderr)
        self.done = progress.done


def say(quiet: bool, line: str) -> None:
    if not quiet:
        print(line, flush=True)


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in words(text)]
    except ValueError:
        raise RecipeError(f"{text!r}", "numbers joined by commas, as 0.1,1") from None


def seeds_of(text: str) -> list[int]:
    try:
        return [int(word) for word in words(text)]
    except ValueError:
        raise RecipeError(f"seeds {text!r}", "whole numbers joined by commas, as 0,1,2") from None


def setting(text: str) -> tuple[str, list[Any]]:
    """``content_weight=0.1,1`` → ("content_weight", [0.1, 1]); layers of one value are joined by +."""
    name, _, values = text.partition("=")
    if not values:
        raise RecipeError(f"{text!r}", "a setting and its values, as content_weight=0.1,1")
    return name.strip().replace("-", "_"), [_value(word) for word in words(values)]


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word.split("+") if "+" in word else word
