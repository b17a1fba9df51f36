"""The command line: flags from ``Recipe``, progress on stderr, errors as one line and exit code 2."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from impasto import __version__
from impasto.cli import commands, studio
from impasto.cli import study as studies
from impasto.cli import video as videos
from impasto.cli.progress import Bar, duration, fetching, waiting
from impasto.errors import ImpastoError, PictureError, RecipeError
from impasto.recipe import PRESETS, Recipe

if TYPE_CHECKING:
    from impasto.api import Job, Result
    from impasto.painting.engine import Step

__all__ = ["app", "main"]

BAD_INPUT = 2
INTERRUPTED = 130

app = App(
    name="impasto",
    help="Neural style transfer: a picture painted in the manner of another.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # `main` says what became of the picture
)

OUTPUT = Group("Output", sort_key=0)
RECIPE = Group("Recipe", help="Every setting of the picture; the same names in a recipe file.", sort_key=1)

DEFAULT_MEGAPIXELS = 178


@app.command
def stylize(
    content: Path,
    style: list[Path],
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], group=OUTPUT)],
    preset: Annotated[Literal["draft", "fast", "fine", "reference"], Parameter(group=OUTPUT)] = "fast",
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    budget: Annotated[str | None, Parameter(group=OUTPUT)] = None,
    max_memory: Annotated[str | None, Parameter(group=OUTPUT)] = None,
    tile: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    init_image: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    mask: Annotated[list[Path] | None, Parameter(group=OUTPUT, consume_multiple=True)] = None,
    style_mask: Annotated[list[Path] | None, Parameter(group=OUTPUT, consume_multiple=True)] = None,
    save_run: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    preview_every: Annotated[int, Parameter(group=OUTPUT)] = 0,
    bit_depth: Annotated[Literal[8, 16], Parameter(group=OUTPUT)] = 8,
    quality: Annotated[int, Parameter(group=OUTPUT)] = 95,
    max_pixels: Annotated[int, Parameter(group=OUTPUT)] = DEFAULT_MEGAPIXELS * 1_000_000,
    device: Annotated[str, Parameter(group=OUTPUT)] = "auto",
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=OUTPUT)] = False,
    settings: Annotated[Recipe | None, Parameter(name="*", group=RECIPE)] = None,
) -> int:
    """Paint CONTENT in the manner of STYLE.

    Parameters
    ----------
    content
        Photograph or picture to be painted.
    style
        Picture whose strokes, colours and patterns are taken; several are blended.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    preset
        Settings to begin with; draft: a look at the pair, fine: what belongs together in the style stays
        together, reference: as in the paper of 2015, with the full VGG-19.
    recipe
        Recipe file that goes over the preset; flags given here go over both.
    budget
        Time to spend on the painting, as 20s or 5m, instead of a number of iterations.
    max_memory
        What the process may take, as 4GB; default: four fifths of what is free.
    tile
        Side in pixels of the tiles that a large picture is judged in; default: by the memory.
    init_image
        Picture to start from.
    mask
        Regions of CONTENT: one picture of coloured labels, or a grey mask for each style; black stays.
    style_mask
        The same for STYLE: labels in the same colours for each style, or a grey mask for each mask.
    save_run
        Folder to keep the run in: picture, recipe, trace, environment.
    preview_every
        Write the best picture so far to OUTPUT every so many evaluations; 0: only the finished one.
    bit_depth
        Bits per channel; 16 for .tif.
    quality
        Of .jpg, .webp and .avif, 1 to 100.
    max_pixels
        Larger pictures are refused before they are decoded.
    device
        auto, cpu, cuda, cuda:1, mps.
    quiet
        Say nothing unless something goes wrong.
    """
    with waiting("loading", quiet) as spinner:
        from impasto import api, pictures
        from impasto.painting import planning
        from impasto.pictures import geometry

        full = _merge(preset, recipe, settings)
        seconds = None if budget is None else planning.parse_seconds(budget)
        room = None if max_memory is None else planning.parse_bytes(max_memory)
        if tile is not None and tile < 64:
            raise RecipeError(f"tiles of {tile} pixels", "64 or more", "leave --tile out to have it chosen")
        inputs = [content, *style, *([init_image] if init_image else []), *(mask or []), *(style_mask or [])]
        pictures.check_output(output, inputs=inputs, bit_depth=bit_depth)
        _check_options(quality, preview_every, max_pixels, save_run)
        job = api.prepare(
            content,
            style,
            full,
            init_image=init_image,
            mask=mask or (),
            style_mask=style_mask or (),
            device=device,
            max_pixels=max_pixels,
            max_memory=room,
            tile=tile,
            progress=fetching(spinner),
        )
        height, width = job.size
        pictures.check_output(output, inputs=inputs, bit_depth=bit_depth, size=(height, width))

    def preview(step: Step) -> None:
        if preview_every and step.evaluations % preview_every == 0:
            alpha = None if job.alpha is None else geometry.resample(job.alpha, step.size)
            pictures.save(
                output, step.picture.cpu(), alpha=alpha, quality=quality, bit_depth=bit_depth, inputs=inputs
            )

    if not quiet:
        _announce(job, seconds)
    result = paint(job, quiet=quiet, on_step=preview, budget=seconds)
    path = result.save(output, bit_depth=bit_depth, quality=quality)
    if save_run is not None:
        api.record(result, save_run)
    _say(quiet, _summary(result, path))
    return 0 if result.finished else INTERRUPTED


def _announce(job: Job, budget: float | None) -> None:
    """Say before the start what it will take, if that is more than a moment."""
    from impasto.painting.planning import expected_seconds

    (height, width), tile = job.size, job.forecast.limits.tile
    seconds = budget or expected_seconds(job.recipe, job.encoder, job.sources, tile)
    tiles = "" if tile is None else f" in tiles of {tile} pixels"
    memory = f"{job.forecast.bytes / 1e9:.1f} GB of memory"
    about = f"painting {width}×{height}{tiles}: about {duration(seconds)}, at most {memory}"
    _say(tile is None and seconds < 2, about)


def _merge(preset: str, file: Path | None, settings: Recipe | None) -> Recipe:
    """A preset's settings, over them a recipe file's, over both those given on the command line."""
    given = {name: getattr(settings, name) for name in (settings.model_fields_set if settings else ())}
    base = dict(PRESETS[preset][1])
    if file is None:
        return Recipe(**(base | given))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"the recipe file {str(file)!r} cannot be read: {getattr(error, 'strerror', None) or 'not text'}",
            "a JSON file as --save-run writes it",
        ) from None
    stored = Recipe.from_json(text)
    return Recipe(**(base | {name: getattr(stored, name) for name in stored.model_fields_set} | given))


def _check_options(quality: int, preview_every: int, max_pixels: int, save_run: Path | None) -> None:
    if not 1 <= quality <= 100:
        raise RecipeError(f"quality {quality}", "1 to 100", "95 is the default")
    if preview_every < 0:
        raise RecipeError(f"preview every {preview_every} evaluations", "0 (off) or more")
    if max_pixels < 1:
        raise RecipeError(f"at most {max_pixels} pixels", "1 or more")
    if save_run is not None and (
        not save_run.parent.is_dir() or (save_run.exists() and not save_run.is_dir())
    ):
        raise PictureError(
            f"the run cannot be saved in {str(save_run)!r}",
            "a new or existing folder in a folder that exists",
            f"make {str(save_run.parent)!r} first" if not save_run.parent.is_dir() else "choose another name",
        )


def paint(
    job: Job, *, quiet: bool, on_step: Callable[[Step], None] | None = None, budget: float | None = None
) -> Result:
    """Run a job with a progress bar: scale, losses, ETA; Ctrl-C keeps the best picture."""
    from impasto import api
    from impasto.painting import engine

    plan = engine.sizes(job.recipe, *job.sources.shape)
    # Coarse evaluations are cheap: counted in pixels, the bar moves evenly and its ETA holds.
    budgets = [engine.budget(job.recipe, scale) for scale in range(len(plan))]
    cost = [size[0] * size[1] for size in plan]
    before = [sum(b * c for b, c in zip(budgets[:k], cost[:k], strict=True)) for k in range(len(plan))]
    total = sum(b * c for b, c in zip(budgets, cost, strict=True))
    begin = time.perf_counter()
    with Bar(total, quiet) as bar:

        def show(step: Step) -> None:
            k = step.scale - 1
            done = before[k] + step.iteration * cost[k]
            if budget is not None:
                done = int(min(1.0, (time.perf_counter() - begin) / budget) * total)
            bar.update(done, _describe(step))
            if on_step is not None:
                on_step(step)

        return api.run(job, on_step=show, budget=budget, keep_on_interrupt=True)


def _describe(step: Step) -> str:
    groups: dict[str, float] = {}
    for name, value in step.terms.items():
        group = name.split("/", maxsplit=1)[0]
        groups[group] = groups.get(group, 0.0) + value
    terms = " ".join(f"{name} {value:.3g}" for name, value in groups.items())
    height, width = step.size
    return f"{width}×{height} ({step.scale}/{step.scales})  {terms}"


def _summary(result: Result, path: Path) -> str:
    height, width = result.pixels.shape[-2:]
    done = "painted" if result.finished else "stopped: the best picture so far"
    count = len(result.trace)
    return f"{done} {path} ({width}×{height}, {count} evaluations, {result.seconds:.1f} s)"


def _say(quiet: bool, line: str) -> None:
    if not quiet:
        print(line, flush=True)


@app.command
def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("demo-out"),
    photograph: str = "chelsea",
    size: int = 512,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False,
) -> int:
    """Paint a photograph in every style that Impasto itself can paint, to see what it does.

    Parameters
    ----------
    output
        Folder for the pictures; made if its parent exists.
    photograph
        One of scikit-image's: chelsea (a cat), astronaut, coffee, …
    size
        Long side of the pictures in pixels.
    quiet
        Say nothing unless something goes wrong.
    """
    begin = time.perf_counter()
    with waiting("loading", quiet):
        from impasto import api, pictures, samples
        from impasto.painting import engine
    content, recipe = samples.photograph(photograph), Recipe(size=size)
    engine.sizes(recipe, content.shape[-2], content.shape[-1])  # refused before anything is written
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"no folder {str(output)!r}: {error.strerror}", "a folder in a folder that exists"
        ) from None
    pictures.save(output / f"{photograph}.png", content)
    for name in DEMO_STYLES:
        style = samples.painting(name)
        pictures.save(output / f"style-{name}.png", style)
        job = api.prepare(content, style, recipe)
        result = paint(job, quiet=quiet)
        path = result.save(output / f"{photograph}-{name}.png")
        _say(quiet, _summary(result, path))
        if not result.finished:
            return INTERRUPTED
    _say(
        quiet,
        f"{len(DEMO_STYLES)} pictures in {output.resolve()}, {time.perf_counter() - begin:.0f} s in all",
    )
    return 0


#: Styles of the demonstration: as many as fit in a minute on two cores.
DEMO_STYLES = ("wave", "swirl", "mosaic")


commands.register(app)
studies.register(app, paint)
videos.register(app)
studio.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and ends the process with its exit code."""
    # Read by OpenMP when PyTorch is loaded. Threads that wait actively for one that the system has put aside
    # burn its processor time: on a busy machine a picture took 4 to 14 times as long (LOG.md, 2026-11-20).
    # A short spin before they sleep keeps an idle machine as fast as with active waiting.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
    except ImpastoError as error:
        code = _fail(str(error))
    except CycloptsError as error:
        code = _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        code = _fail("stopped before there was a picture", INTERRUPTED)
    except BrokenPipeError:
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int = BAD_INPUT) -> int:
    print(f"impasto: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
