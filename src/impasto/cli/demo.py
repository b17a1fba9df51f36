"""``impasto demo``: paint a sample photograph in sample styles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.checks import make_folder
from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import OUTPUT, Output, Quiet
from impasto.cli.messages import duration
from impasto.cli.painting import paint, say, summary
from impasto.cli.progress import working
from impasto.recipe import DEFAULT_PRESET, preset

__all__ = ["DEMO_STYLES", "demo"]

#: Three of the built-in paintings, which take about a minute on two cores.
DEMO_STYLES = ("wave", "swirl", "mosaic")


def demo(
    *,
    output: Output = Path("demo-out"),
    photograph: Annotated[str, Parameter(group=OUTPUT, metavar="NAME")] = "chelsea",
    size: Annotated[int, Parameter(group=OUTPUT)] = 512,
    quiet: Quiet = False,
) -> int:
    """Paint a sample photograph in three sample styles: wave, swirl and mosaic.

    Parameters
    ----------
    output
        Folder for the pictures; created if its parent exists.
    photograph
        Sample photograph, from scikit-image: astronaut, chelsea (a cat), coffee, hubble or rocket.
    size
        Long side of the pictures in pixels.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto demo
    impasto demo --photograph coffee --size 256 -o coffee-out
    """
    start = time.perf_counter()
    recipe = preset(DEFAULT_PRESET).replace(size=size)
    with working("loading", quiet):
        from impasto import api, pictures, samples
        from impasto.painting import schedule
    content = samples.photograph(photograph)
    # Refuses an unsuitable --size before anything is written.
    schedule.scale_sizes(recipe, *content.shape[-2:])
    make_folder(output)
    pictures.save(output / f"{photograph}.png", content)
    for name in DEMO_STYLES:
        style = samples.painting(name)
        pictures.save(output / f"style-{name}.png", style)
        result = paint(api.prepare(content, style, recipe), quiet=quiet)
        say(quiet, summary(result, result.save(output / f"{photograph}-{name}.png")))
        if not result.finished:
            return INTERRUPTED
    elapsed = duration(time.perf_counter() - start)
    say(quiet, f"{len(DEMO_STYLES)} pictures in {output.resolve()}, {elapsed} in all")
    return 0
