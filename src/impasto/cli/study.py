"""``impasto reconstruct``, ``texture`` and ``study …``. Light to import: no PyTorch before it is needed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from impasto.cli.progress import waiting
from impasto.cli.study_progress import Bar, numbers, say, seeds_of, setting, words
from impasto.errors import RecipeError
from impasto.recipe import Recipe

if TYPE_CHECKING:
    from impasto.api import Job, Result
    from impasto.studies.conduct import Outcome, Progress
    from impasto.studies.plan import Plan

__all__ = ["register"]

FAILED_CELLS, INTERRUPTED = 1, 130

OUTPUT = Group("Output", sort_key=0)
STUDY = Group("Study", sort_key=0)
RECIPE = Group("Recipe", help="Every setting of the picture; the same names in a recipe file.", sort_key=2)

Output = Annotated[Path, Parameter(name=["--output", "-o"], group=OUTPUT)]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], group=OUTPUT)]
Settings = Annotated[Recipe | None, Parameter(name="*", group=RECIPE)]

study_app = App(
    name="study",
    help="Many pictures that differ in a setting, measured and laid side by side.",
    default_parameter=Parameter(negative=()),
)


class TextureRecipe(Recipe):
    """All settings but the size, which a texture has in width and height."""

    size: Annotated[int | Literal["original"], Parameter(parse=False)] = 512


class _Desk:
    """What the command line lends: its progress bar for one picture."""

    paint: Callable[..., Result]


def register(app: App, paint: Callable[..., Result]) -> None:
    """Add the studies' commands to the program.

    Args:
        paint: runs a job behind a progress bar: ``paint(job, quiet=…)``.
    """
    _Desk.paint = staticmethod(paint)
    app.command(reconstruct)
    app.command(texture)
    app.command(study_app)


# -- one picture -----------------------------------------------------------------------------------------


def reconstruct(
    content: Path,
    *,
    output: Output,
    layers: Annotated[str | None, Parameter(group=OUTPUT)] = None,
    device: Annotated[str, Parameter(group=OUTPUT)] = "auto",
    quiet: Quiet = False,
    settings: Settings = None,
) -> int:
    """Find CONTENT again from what some layers know of it: the content loss alone, from noise.

    Parameters
    ----------
    content
        Picture to be reconstructed.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    layers
        Layers that it is reconstructed from, as relu4_2 or conv1_1,conv4_1; the same as --content-layers.
    device
        auto, cpu, cuda, cuda:1, mps.
    quiet
        Say nothing unless something goes wrong.
    """
    fixed = {"style_weight": 0.0}
    recipe = _recipe(settings, fixed, {"init": "noise", "content_weight": 1.0}, content_layers=layers)
    return _one(output, [content], quiet, lambda api: api.prepare(content, [], recipe, device=device))


def texture(
    style: list[Path],
    *,
    output: Output,
    size: Annotated[str, Parameter(group=OUTPUT)] = "512",
    tile: Annotated[bool, Parameter(group=OUTPUT)] = False,
    layers: Annotated[str | None, Parameter(group=OUTPUT)] = None,
    device: Annotated[str, Parameter(group=OUTPUT)] = "auto",
    quiet: Quiet = False,
    settings: Annotated[TextureRecipe | None, Parameter(name="*", group=RECIPE)] = None,
) -> int:
    """Make a texture of STYLE, of any size: the style loss alone, from noise.

    Parameters
    ----------
    style
        Picture whose strokes, colours and patterns are taken; several are blended.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    size
        Width and height in pixels, as 800x600; one number for a square.
    tile
        The texture repeats without a seam; both sides must be multiples of 16, or less with shallow layers.
    layers
        Layers that it is made from, as relu1_1,relu2_1; the same as --style-layers.
    device
        auto, cpu, cuda, cuda:1, mps.
    quiet
        Say nothing unless something goes wrong.
    """
    width, height = _sides(size)
    fixed = {"content_weight": 0.0, "size": max(width, height)} | ({"padding": "circular"} if tile else {})
    recipe = _recipe(settings, fixed, {"init": "noise"}, style_layers=layers)
    if recipe.init == "content":
        raise RecipeError("a texture from the content", "noise or style-colours", "leave --init out")

    def prepare(api: Any) -> Job:
        job: Job = api.prepare(None, style, recipe, canvas=(height, width), device=device)
        return job

    return _one(output, style, quiet, prepare)


def _one(output: Path, inputs: Sequence[Path], quiet: bool, prepare: Callable[[Any], Job]) -> int:
    begin = time.perf_counter()
    with waiting("loading", quiet):
        from impasto import api, pictures

        pictures.check_output(output, inputs=inputs)
        job = prepare(api)
        pictures.check_output(output, inputs=inputs, size=job.size)
    result = _Desk.paint(job, quiet=quiet)
    path = result.save(output)
    height, width = result.pixels.shape[-2:]
    done = "painted" if result.finished else "stopped: the best picture so far"
    count, seconds = len(result.trace), time.perf_counter() - begin
    say(quiet, f"{done} {path} ({width}×{height}, {count} evaluations, {seconds:.1f} s)")
    return 0 if result.finished else INTERRUPTED


def _recipe(settings: Recipe | None, fixed: dict[str, Any], defaults: dict[str, Any], **given: Any) -> Recipe:
    """The command's defaults, the flags over them, and what the command stands for over all."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return Recipe(**defaults | _flags(settings) | chosen | fixed)


def _flags(settings: Recipe | None) -> dict[str, Any]:
    """The recipe's flags that were given, and only these."""
    return {} if settings is None else {name: getattr(settings, name) for name in settings.model_fields_set}


def _sides(size: str) -> tuple[int, int]:
    """(width, height) of ``800x600``, ``800×600`` or ``512``."""
    parts = size.lower().replace("×", "x").split("x")
    try:
        sides = [int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise RecipeError(f"size {size!r}", "width and height in pixels, as 800x600, or one number")
    return sides[0], sides[-1]


# -- studies ---------------------------------------------------------------------------------------------


@Parameter(name="*")
@dataclass(frozen=True)
class Conduct:
    """How a study is run.

    Attributes
    ----------
    output
        The study's folder; run again, it does only what is missing. Default: the study's name.
    judge
        Encoder that measures and was not optimised: random, compact, vgg19, vgg19-original; auto chooses.
    judge_weights
        File to take the judge's weights from.
    workers
        Cells painted at a time; 0: as many as there are cores.
    device
        auto, cpu, cuda, cuda:1, mps.
    quiet
        Say nothing unless something goes wrong.
    """

    output: Annotated[Path | None, Parameter(name=["--output", "-o"], group=STUDY)] = None
    judge: Annotated[str, Parameter(group=STUDY)] = "auto"
    judge_weights: Annotated[Path | None, Parameter(group=STUDY)] = None
    workers: Annotated[int, Parameter(group=STUDY)] = 0
    device: Annotated[str, Parameter(group=STUDY)] = "auto"
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=STUDY)] = False


@study_app.command
def layers(
    picture: str,
    *,
    of: Annotated[Literal["content", "style"], Parameter(group=STUDY)] = "content",
    layers: Annotated[str | None, Parameter(group=STUDY)] = None,
    seeds: Annotated[str, Parameter(group=STUDY)] = "0,1,2",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """Each layer alone and several together, from the same noise.

    Parameters
    ----------
    picture
        A path, photograph:chelsea or painting:wave.
    of
        content: the picture is reconstructed; style: textures are made of it.
    layers
        Columns, joined by commas; several layers in one by +. Default: conv1_1 … conv5_1,
        conv1_1+conv4_1 and all five.
    seeds
        Noise that it starts from; one row each.
    """
    named = _named()
    names = named.DEFAULT_LAYERS if layers is None else tuple(words(layers))
    plan = named.layers(picture, of=of, names=names, seeds=seeds_of(seeds), settings=_flags(settings))
    return _conduct(plan, how)


@study_app.command
def inits(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    seeds: Annotated[str, Parameter(group=STUDY)] = "0,1,2,3",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """Start from the content against start from noise, at equal steps.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    seeds
        Noises to start from.
    """
    return _conduct(_named().inits(content, style, seeds=seeds_of(seeds), settings=_flags(settings)), how)


@study_app.command
def weights(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    x: Annotated[str, Parameter(group=STUDY)] = "content_weight=0.005,0.02,0.08,0.32",
    y: Annotated[str, Parameter(group=STUDY)] = "style_weight=0.1,1,10",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """A grid of content weight × style weight, or of any two settings.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    x
        Setting along the columns and its values, as content_weight=0.1,1.
    y
        Setting down the rows and its values.
    """
    plan = _named().weights(content, style, x=setting(x), y=setting(y), settings=_flags(settings))
    return _conduct(plan, how)


@study_app.command
def content_layers(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    layers: Annotated[str, Parameter(group=STUDY)] = "relu2_2,relu3_2,relu4_2,relu5_1",
    factors: Annotated[str, Parameter(group=STUDY)] = "0.1,1",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """The content held at one layer or another: block3_conv2 with 0.1 against block4_conv2 with 1, and so on.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    layers
        Content layers, one column each.
    factors
        Of the content weight, one row each.
    """
    plan = _named().content_layers(
        content, style, names=tuple(words(layers)), factors=numbers(factors), settings=_flags(settings)
    )
    return _conduct(plan, how)


@study_app.command
def styles(
    *,
    contents: Annotated[str, Parameter(group=STUDY)] = "photograph:chelsea,photograph:coffee",
    styles: Annotated[
        str, Parameter(group=STUDY)
    ] = "painting:facets,painting:swirl,painting:wave,painting:mosaic",
    starts: Annotated[str, Parameter(group=STUDY)] = "content",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """A gallery of contents × styles, and which styles are reached in fewer evaluations.

    Parameters
    ----------
    contents
        Pictures joined by commas, one row each.
    styles
        Pictures joined by commas, one column each.
    starts
        content, noise, style-colours; several joined by commas.
    """
    plan = _named().styles(words(contents), words(styles), inits=words(starts), settings=_flags(settings))
    return _conduct(plan, how)


@study_app.command
def style_of(style: str, *, how: Conduct | None = None, settings: Settings = None) -> int:
    """The style taken apart: its texture at every depth.

    Parameters
    ----------
    style
        A path, or painting:NAME.
    """
    return _conduct(_named().style_of(style, settings=_flags(settings)), how)


@study_app.command
def optimisers(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    start: Annotated[Literal["content", "noise"], Parameter(group=STUDY)] = "content",
    seeds: Annotated[str, Parameter(group=STUDY)] = "0",
    how: Conduct | None = None,
    settings: Settings = None,
) -> int:
    """L-BFGS, Adam and the textbook's: loss against evaluations and seconds, failures counted.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    start
        The content, or noise.
    seeds
        One row each.
    """
    plan = _named().optimisers(content, style, init=start, seeds=seeds_of(seeds), settings=_flags(settings))
    return _conduct(plan, how)


@study_app.command
def custom(plan: Path, *, how: Conduct | None = None) -> int:
    """Any other study, from a file.

    Parameters
    ----------
    plan
        A YAML file: base recipe, what is varied, pictures, seeds; see docs/studies.md.
    """
    from impasto.studies.plan import Plan

    return _conduct(Plan.read(plan), how)


@study_app.command
def claims(*, only: Annotated[str, Parameter(group=STUDY)] = "", how: Conduct | None = None) -> int:
    """Every study behind docs/studies.md, with the project's own pictures; under an hour on two cores.

    Parameters
    ----------
    only
        Names of some of them, joined by commas.
    """
    from impasto.studies.claims import CLAIMS

    how = how or Conduct()
    folder = how.output or Path("studies-out")
    chosen = words(only) or list(CLAIMS)
    for name in chosen:
        if name not in CLAIMS:
            raise RecipeError(f"no study {name!r}", f"possible are {', '.join(CLAIMS)}")
    folder.mkdir(exist_ok=True)
    codes = []
    for name in chosen:
        codes.append(_conduct(CLAIMS[name](), how, folder / name))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def _named() -> Any:
    from impasto.studies import named

    return named


def _conduct(plan: Plan, how: Conduct | None, folder: Path | None = None) -> int:
    """Run a study behind a progress bar over all its cells."""
    how = how or Conduct()
    folder = folder or how.output or Path(plan.name)
    heard: list[Progress] = []
    with waiting("loading", how.quiet):
        from impasto.studies.conduct import conduct
    try:
        with Bar(how.quiet, plan.name) as bar:

            def on_progress(progress: Progress) -> None:
                heard[:] = [progress]
                bar.update(progress)

            outcome = conduct(
                plan,
                folder,
                judge=how.judge,
                judge_weights=how.judge_weights,
                workers=how.workers,
                device=how.device,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        done = f"{heard[0].done} of {heard[0].cells} cells are kept" if heard else "nothing was begun"
        print(f"impasto: stopped: {done}; the same command does the rest", file=sys.stderr)
        return INTERRUPTED
    return _tell(outcome, how.quiet)


def _tell(outcome: Outcome, quiet: bool) -> int:
    for cell, error in outcome.failures.items():
        print(f"impasto: cell {cell} failed: {error}", file=sys.stderr)
    cells, there = len(outcome.tasks), len(outcome.tasks) - outcome.painted - len(outcome.failures)
    line = f"{cells} cells, {outcome.painted} painted now, {there} there before, {outcome.seconds:.0f} s"
    say(quiet, f"{outcome.folder / 'report.html'} ({line})")
    return FAILED_CELLS if outcome.failures else 0
