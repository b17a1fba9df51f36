"""Painting with a progress bar, and the lines printed before and after it, for all commands that paint."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.messages import count, duration
from impasto.cli.progress import ProgressBar
from impasto.files import readable_size

if TYPE_CHECKING:
    from impasto.api import PreparedRun, Result
    from impasto.painting.engine import Step

__all__ = ["SMALL", "announce", "note", "paint", "say", "summary"]

#: Pixels of a picture that is painted within a minute or two on two cores.
SMALL = 1024 * 1024


def say(quiet: bool, line: str) -> None:
    """Print a line of the command's result on stdout unless ``quiet``."""
    if not quiet:
        print(line, flush=True)


def note(quiet: bool, line: str) -> None:
    """Print a hint, which is not an error, on stderr unless ``quiet``."""
    if not quiet:
        print(f"impasto: {line}", file=sys.stderr, flush=True)


def announce(run: PreparedRun, budget: float | None, quiet: bool) -> None:
    """Print the expected time and memory unless the picture is quick or small.

    Nothing is said of a picture of at most ``SMALL`` pixels with the compact encoder: the bar shows soon how
    much time is left, and to measure it in advance takes half a second.

    Args:
        budget: seconds to paint for; None: until the iterations are done.
    """
    from impasto.painting.planning import expected_seconds

    (height, width), tile = run.size, run.memory.limits.tile
    small = tile is None and height * width <= SMALL and run.recipe.encoder == "compact"
    if quiet or (small and budget is None):
        return
    seconds = budget or expected_seconds(run.recipe, run.encoder, run.scene, tile=tile, terms=run.terms)
    if tile is None and seconds < 2:
        return
    tiles = "" if tile is None else f" in tiles of {tile} pixels"
    memory = readable_size(int(run.memory.bytes))
    print(
        f"painting {width}×{height}{tiles}: about {duration(seconds)}, at most {memory} of memory", flush=True
    )


def paint(
    run: PreparedRun,
    *,
    quiet: bool,
    on_step: Callable[[Step], None] | None = None,
    budget: float | None = None,
) -> Result:
    """Paint with a progress bar that shows scale, losses and time left. Ctrl-C keeps the best picture.

    Args:
        on_step: called after the bar is updated.
        budget: seconds to paint for; None: until the iterations are done.
    """
    from impasto import api

    share_of = _share_of_time(budget) if budget is not None else _share_of_work(run)
    with ProgressBar(quiet) as bar:
        text = ""

        def show(step: Step) -> None:
            nonlocal text
            text = _describe(step)
            bar.update(share_of(step), text)
            if on_step is not None:
                on_step(step)

        result = api.run(run, on_step=show, budget=budget, keep_on_interrupt=True)
        if result.finished:
            bar.finish(text)
        return result


def _share_of_time(budget: float) -> Callable[[Step], float]:
    begin = time.perf_counter()
    return lambda step: (time.perf_counter() - begin) / budget


def _share_of_work(run: PreparedRun) -> Callable[[Step], float]:
    """A function that gives the share of the work in [0, 1] that is done after a step.

    An iteration counts as many units of work as its scale has pixels, so that the bar moves evenly.
    """
    from impasto.painting import schedule

    sizes = schedule.scale_sizes(run.recipe, *run.scene.size)
    pixels = [height * width for height, width in sizes]
    counts = schedule.max_evaluations(run.recipe, sizes, run.terms)
    work = [count * area for count, area in zip(counts, pixels, strict=True)]
    total = max(1, sum(work))

    def share(step: Step) -> float:
        scale = step.scale - 1
        return (sum(work[:scale]) + step.iteration * pixels[scale]) / total

    return share


def _describe(step: Step) -> str:
    """``256×192 (2/3)  content 0.02 style 0.1``: the losses of all layers are summed up."""
    sums: dict[str, float] = {}
    for name, value in step.terms.items():
        loss = name.split("/", maxsplit=1)[0]
        sums[loss] = sums.get(loss, 0.0) + value
    losses = " ".join(f"{name} {value:.3g}" for name, value in sums.items())
    height, width = step.size
    return f"{width}×{height} ({step.scale}/{step.scales})  {losses}"


def summary(result: Result, path: Path) -> str:
    """One line about a finished or stopped picture."""
    height, width = result.pixels.shape[-2:]
    done = "painted" if result.finished else "stopped: the best picture so far"
    iterations = count(len(result.trace), "iteration")
    return f"{done} {path} ({width}×{height}, {iterations}, {result.seconds:.1f} s)"
