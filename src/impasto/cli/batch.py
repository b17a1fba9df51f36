"""``impasto batch``: paint many photographs, each once, whatever interrupts it."""

from __future__ import annotations

import glob
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from impasto.cli.checks import check_inputs
from impasto.cli.exit_codes import FAILED_PICTURES, INTERRUPTED
from impasto.cli.flags import OUTPUT, RECIPE, Device, Paths, Preset, Quiet, merge, recipe_flags
from impasto.cli.lists import PATH_LIST
from impasto.cli.messages import count, duration
from impasto.cli.painting import say
from impasto.cli.progress import ProgressBar, working
from impasto.cli.stylize import DEFAULT_MEGAPIXELS, check_values
from impasto.quantities import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from impasto.batch import BatchOutcome, BatchProgress

__all__ = ["batch"]

BATCH = Group("Batch", sort_key=0)
#: Failures that are listed one by one; there may be thousands.
LISTED = 20

BatchFlags = recipe_flags("batch", shown={"size": "512"})


def batch(
    contents: list[str],
    *,
    style: Annotated[list[str], Parameter(name=["--style", "-s"], group=BATCH), PATH_LIST],
    output: Annotated[str, Parameter(name=["--output", "-o"], group=OUTPUT)],
    pair: Annotated[bool, Parameter(group=BATCH)] = False,
    blend: Annotated[bool, Parameter(group=BATCH)] = False,
    name: Annotated[str, Parameter(group=BATCH, metavar="TEMPLATE")] = "{content}-{style}.png",
    processes: Annotated[int, Parameter(group=BATCH)] = 1,
    on: Annotated[str, Parameter(group=BATCH, metavar="PLACE")] = "local",
    gpus_per_piece: Annotated[float, Parameter(group=BATCH)] = 0.0,
    preset: Preset = None,
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    budget: Annotated[str | None, Parameter(group=OUTPUT, metavar="TIME")] = None,
    max_memory: Annotated[str | None, Parameter(group=OUTPUT, metavar="SIZE")] = None,
    tile: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    init_image: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    mask: Paths = None,
    style_mask: Paths = None,
    bit_depth: Annotated[Literal[8, 16], Parameter(group=OUTPUT)] = 8,
    quality: Annotated[int, Parameter(group=OUTPUT)] = 95,
    max_pixels: Annotated[int, Parameter(group=OUTPUT)] = DEFAULT_MEGAPIXELS * 1_000_000,
    device: Device = "auto",
    quiet: Quiet = False,
    settings: Annotated[BatchFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Paint every one of CONTENTS in the manner of every style.

    What an earlier run has finished is skipped, unless the contents of a file or a setting have changed. So
    the same command goes on after it was stopped or killed. Losses and times of all pictures are in
    OUTPUT/results.csv.

    Parameters
    ----------
    contents
        Pictures to paint: files, folders, and patterns in quotes such as 'photos/**/*.jpg'. Also addresses
        such as s3://bucket/photos, or file:///shared/photos on a cluster whose machines share a folder.
    style
        Pictures whose strokes, colours and patterns are used: files, folders and patterns. With --preset
        instant also files of `impasto learn`.
    output
        Folder for the results; made if its parent exists. Or an address, written to where the pictures are
        painted.
    pair
        Paint the first content in the first style, the second in the second, and so on.
    blend
        Paint each content in a blend of all styles, with the shares of --style-blend.
    name
        Names of the results, with {content}, {style}, {folder} (the content's, below the one given) and
        {index}.
    processes
        Number of pictures to paint at the same time; 0: as many as cores and memory allow.
    on
        Where to paint. local: on this machine; ray: the Ray cluster of this machine, or one that is started;
        ray://HOST:PORT: a cluster; auto: a Ray that runs already, or else local.
    gpus_per_piece
        GPUs that a picture takes on a Ray cluster; 0.5 shares one between two.
    preset
        Settings to start from, as for impasto stylize.
    recipe
        Recipe file to use. It overrides the preset, and flags override it.
    budget
        Time to paint each picture for, such as 20s or 5m, instead of a number of iterations.
    max_memory
        Memory that a picture may use, such as 4GB. Default: four fifths of the free memory, shared among the
        processes.
    tile
        Side in pixels of the tiles that large pictures are computed in, to save memory. Default: chosen to
        fit the memory.
    init_image
        Picture to start from instead of the content or noise.
    mask
        Regions of all contents, as for impasto stylize.
    style_mask
        Regions of the styles, as for impasto stylize.
    bit_depth
        Bits per channel; 16 needs .tif.
    quality
        Quality of .jpg, .webp and .avif, 1 to 100.
    max_pixels
        Refuse input files with more pixels, before they are decoded.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto batch photos/ --style wave.jpg oil.jpg -o painted
    impasto batch 'photos/**/*.jpg' --style wave.jpg -o painted --name '{folder}/{content}.jpg' --processes 0
    impasto batch photos/ --style wave.jpg -o painted --on ray://head:10001
    impasto batch s3://holiday/photos --style wave.jpg -o s3://holiday/painted --on ray://head:10001
    """
    chosen = merge(preset, recipe, settings)
    check_values(tile, quality, 0, max_pixels)
    check_inputs(Path(word) for word in (*contents, *style) if not _is_pattern_or_address(word))
    check_inputs([*([init_image] if init_image else []), *(mask or []), *(style_mask or [])])
    options = {
        "init_image": init_image, "mask": tuple(mask or ()), "style_mask": tuple(style_mask or ()),
        "budget": None if budget is None else parse_seconds(budget),
        "max_memory": None if max_memory is None else parse_bytes(max_memory),
        "tile": tile, "max_pixels": max_pixels, "device": device, "bit_depth": bit_depth, "quality": quality,
    }  # fmt: skip
    with working("loading", quiet):
        from impasto.batch.runner import run_batch
    latest: BatchProgress | None = None
    try:
        with ProgressBar(quiet) as bar:

            def show(progress: BatchProgress) -> None:
                nonlocal latest
                latest = progress
                bar.update(progress.share, f"{progress.done}/{progress.pieces} pictures, {progress.label}")

            outcome = run_batch(
                contents, style, output, chosen,
                pair=pair, blend=blend, name=name, on=on, processes=processes, gpus_per_piece=gpus_per_piece,
                on_progress=show, **options,
            )  # fmt: skip
            if latest is not None:
                bar.finish(f"{latest.done}/{latest.pieces} pictures")
    except KeyboardInterrupt:
        kept = "nothing was begun" if latest is None else f"{count(latest.done, 'picture')} kept"
        print(f"impasto: stopped: {kept}; the same command does the rest", file=sys.stderr)
        return INTERRUPTED
    return _summarise(outcome, quiet)


def _is_pattern_or_address(word: str) -> bool:
    """Whether a word is more than a path; web addresses, which cannot be read, do not count."""
    return glob.has_magic(word) or ("://" in word and not word.startswith(("http:", "https:")))


def _summarise(outcome: BatchOutcome, quiet: bool) -> int:
    """Print what failed, also with ``quiet``, and what was done."""
    failures = outcome.failures
    folder = f"{outcome.folder}/"
    listed = {str(path).removeprefix(folder): error for path, error in islice(failures.items(), LISTED)}
    width = max(map(len, listed), default=0)
    for name, error in listed.items():
        print(f"impasto: {name:<{width}}  {error}", file=sys.stderr)
    if len(failures) > LISTED:
        print(f"impasto: and {len(failures) - LISTED} more, see results.csv", file=sys.stderr)
    earlier = len(outcome.pictures) - outcome.painted
    line = f"{count(outcome.painted, 'picture')} painted now, {earlier} earlier, {len(failures)} failed"
    say(quiet, f"{outcome.folder / 'results.csv'} ({line}, {duration(outcome.seconds)})")
    return FAILED_PICTURES if failures else 0
