"""``impasto study …``: each command turns its flags into a plan, which :mod:`study_run` carries out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import (
    CONTENT_SETTINGS,
    MASK_SETTINGS,
    NOTHING,
    RECIPE,
    STYLE_SETTINGS,
    flag,
    recipe_flags,
    typed,
)
from impasto.cli.lists import PATH_LIST, VALUE_LIST
from impasto.cli.study_run import STUDY, StudyOptions, run
from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.studies import named

__all__ = ["study_app"]

study_app = App(
    name="study",
    help="Paint many pictures that differ in a setting, measure them and lay them side by side.",
    default_parameter=Parameter(negative=()),
)

Seeds = Annotated[tuple[int, ...], Parameter(group=STUDY), VALUE_LIST]
Numbers = Annotated[tuple[float, ...], Parameter(group=STUDY), VALUE_LIST]
Words = Annotated[tuple[str, ...], Parameter(group=STUDY), VALUE_LIST]
Pictures = Annotated[tuple[str, ...], Parameter(group=STUDY), PATH_LIST]

SEEDS = {"seed": "the study varies it, see --seeds"}


def study_flags(
    study: str,
    *,
    without: Mapping[str, str] = NOTHING,
    varied: Iterable[str] = (),
    init: Any = Literal["content", "noise", "style-colours"],
) -> type[Recipe]:
    """The recipe's flags for a study: its own defaults, without what does not apply and what it varies.

    Args:
        init: the starts that are possible; there is no --init-image.
    """
    reasons = dict.fromkeys(MASK_SETTINGS, "there are no masks in a study")
    reasons["method"] = "a study paints by optimisation"
    reasons |= {**dict.fromkeys(varied, "the study varies it"), **without}
    return recipe_flags(
        f"study {study}",
        defaults={**named.SHARED, **named.DEFAULTS[study]},
        shown={"coarsest": "the size: one scale"},
        choices={"init": init},
        without=reasons,
    )


LayersFlags = study_flags(
    "layers",
    varied=("content_layers", "style_layers", "content_layer_weights", "style_layer_weights"),
    without=SEEDS | dict.fromkeys(("strength", "colours", "match_content"), "there is one picture alone"),
    init=Literal["noise", "style-colours"],
)
InitsFlags = study_flags("inits", varied=("init",), without=SEEDS)
WeightsFlags = study_flags("weights")
ContentLayersFlags = study_flags(
    "content-layers",
    varied=("content_layers", "content_layer_weights"),
    without={"strength": "see --factors"},
)
StylesFlags = study_flags("styles", without={"init": "the study varies it, see --starts"})
StyleOfFlags = study_flags(
    "style-of",
    varied=("style_layers", "style_layer_weights"),
    without=dict.fromkeys(CONTENT_SETTINGS, "there is no content"),
    init=Literal["noise", "style-colours"],
)
OptimisersFlags = study_flags(
    "optimisers",
    varied=("optimiser", "history", "learning_rate"),
    without=SEEDS | {"init": "see --start"},
)


@study_app.command
def layers(
    picture: str,
    *,
    of: Annotated[Literal["content", "style"], Parameter(group=STUDY)] = "content",
    layers: Words = named.DEFAULT_LAYERS,
    seeds: Seeds = (0, 1, 2),
    options: StudyOptions | None = None,
    settings: Annotated[LayersFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Reconstruct a picture, or make textures of it, from each layer alone and from several together.

    Parameters
    ----------
    picture
        A path, photograph:chelsea or painting:wave.
    of
        content: the picture is reconstructed; style: textures are made of it.
    layers
        Columns of the study; + joins the layers of one column.
    seeds
        Noise to start from; one row each.

    Examples
    --------
    impasto study layers photo.jpg
    impasto study layers painting.jpg --of style --layers relu1_1,relu3_1,relu1_1+relu3_1 --seeds 0,1
    """
    chosen = typed(settings)
    useless = set(STYLE_SETTINGS if of == "content" else CONTENT_SETTINGS) & set(chosen)
    if useless:
        raise RecipeError(
            f"{flag(min(useless))} with --of {of}", f"only the {of} loss is used there", "leave it out"
        )
    return run(named.layers(picture, of=of, names=layers, seeds=seeds, settings=chosen), options)


@study_app.command
def inits(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    seeds: Seeds = (0, 1, 2, 3),
    options: StudyOptions | None = None,
    settings: Annotated[InitsFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Compare a start from the content with starts from noise, after the same number of iterations.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    seeds
        Noise to start from.

    Examples
    --------
    impasto study inits photo.jpg painting.jpg
    impasto study inits --seeds 0,1 --iterations 100
    """
    return run(named.inits(content, style, seeds=seeds, settings=typed(settings)), options)


@study_app.command
def weights(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    x: Words = ("content_weight=0.005", "0.02", "0.08", "0.32"),
    y: Words = ("style_weight=0.1", "1", "10"),
    options: StudyOptions | None = None,
    settings: Annotated[WeightsFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Vary content weight and style weight, or any two settings, on a grid.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    x
        Setting along the columns and its values. Layers of one value are joined by +.
    y
        Setting down the rows and its values.

    Examples
    --------
    impasto study weights photo.jpg painting.jpg
    impasto study weights photo.jpg painting.jpg --x content_weight=0.01,0.1 --y style_scale=0.5,1,2
    """
    chosen = typed(settings)
    columns, rows = setting_and_values(x), setting_and_values(y)
    for axis, (name, _) in (("--x", columns), ("--y", rows)):
        if name in chosen:
            raise RecipeError(
                f"{flag(name)} and {axis} {name}", "one or the other", f"leave out {flag(name)}"
            )
    seed = chosen.pop("seed", 0)
    return run(named.weights(content, style, x=columns, y=rows, seed=seed, settings=chosen), options)


@study_app.command
def content_layers(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    layers: Words = ("relu2_2", "relu3_2", "relu4_2", "relu5_1"),
    factors: Numbers = (0.1, 1.0),
    options: StudyOptions | None = None,
    settings: Annotated[ContentLayersFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Compare content layers: block3_conv2 with 0.1 against block4_conv2 with 1, and so on.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    layers
        Content layers, one column each.
    factors
        What the content weight is multiplied by, one row each.

    Examples
    --------
    impasto study content-layers photo.jpg painting.jpg
    impasto study content-layers photo.jpg painting.jpg --layers block3_conv2,block4_conv2 --factors 0.1,1
    """
    chosen = typed(settings)
    seed = chosen.pop("seed", 0)
    plan = named.content_layers(content, style, names=layers, factors=factors, seed=seed, settings=chosen)
    return run(plan, options)


@study_app.command
def styles(
    *,
    contents: Pictures = ("photograph:chelsea", "photograph:coffee"),
    styles: Pictures = ("painting:facets", "painting:swirl", "painting:wave", "painting:mosaic"),
    starts: Annotated[
        tuple[Literal["content", "noise", "style-colours"], ...], Parameter(group=STUDY), VALUE_LIST
    ] = ("content",),
    options: StudyOptions | None = None,
    settings: Annotated[StylesFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Paint every content in every style, and count which styles need fewer iterations.

    Parameters
    ----------
    contents
        Content pictures, one row each.
    styles
        Style pictures, one column each.
    starts
        Starts to compare.

    Examples
    --------
    impasto study styles
    impasto study styles --contents a.jpg,b.jpg --styles wave.jpg,swirl.jpg --starts content,noise
    """
    chosen = typed(settings)
    seed = chosen.pop("seed", 0)
    return run(named.styles(contents, styles, inits=starts, seed=seed, settings=chosen), options)


@study_app.command
def style_of(
    style: str,
    *,
    options: StudyOptions | None = None,
    settings: Annotated[StyleOfFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Take a style apart: its texture from each layer alone, and from all layers down to a depth.

    Parameters
    ----------
    style
        A path, or painting:NAME.

    Examples
    --------
    impasto study style-of painting.jpg
    impasto study style-of painting:swirl --size 192
    """
    chosen = typed(settings)
    return run(named.style_of(style, seed=chosen.pop("seed", 0), settings=chosen), options)


@study_app.command
def optimisers(
    content: str = "photograph:chelsea",
    style: str = "painting:wave",
    *,
    start: Annotated[Literal["content", "noise"], Parameter(group=STUDY)] = "content",
    seeds: Seeds = (0,),
    options: StudyOptions | None = None,
    settings: Annotated[OptimisersFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Compare L-BFGS, Adam and PyTorch's L-BFGS as its tutorial uses it: loss, seconds, failures.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    start
        The picture to start from.
    seeds
        Noise to start from; one row each.

    Examples
    --------
    impasto study optimisers photo.jpg painting.jpg
    impasto study optimisers --start noise --seeds 0,1
    """
    plan = named.optimisers(content, style, init=start, seeds=seeds, settings=typed(settings))
    return run(plan, options)


@study_app.command
def custom(plan: Path, *, options: StudyOptions | None = None) -> int:
    """Run any other study, from a file.

    Parameters
    ----------
    plan
        A YAML file: base recipe, what is varied, pictures, seeds; see docs/studies.md.

    Examples
    --------
    impasto study custom plan.yaml -o strokes
    """
    from impasto.studies.plan import StudyPlan

    return run(StudyPlan.read(plan), options)


@study_app.command
def claims(*, only: Words = (), options: StudyOptions | None = None) -> int:
    """Run every study behind docs/studies.md, with sample pictures; under an hour on two cores.

    Parameters
    ----------
    only
        Names of the studies to run. Default: all of them.

    Examples
    --------
    impasto study claims -o studies-out
    impasto study claims --only starts,weights
    """
    from impasto.studies.claims import CLAIMS

    options = options or StudyOptions()
    folder = options.output or Path("studies-out")
    chosen = only or tuple(CLAIMS)
    for name in chosen:
        if name not in CLAIMS:
            raise RecipeError(f"no study {name!r}", f"possible are {', '.join(CLAIMS)}")
    folder.mkdir(exist_ok=True)
    codes = []
    for name in chosen:
        codes.append(run(CLAIMS[name](), options, folder / name))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def setting_and_values(words: Sequence[str]) -> tuple[str, list[Any]]:
    """``content_weight=0.1``, ``1`` → ("content_weight", [0.1, 1]); layers of one value are joined by +."""
    name, equals, first = words[0].partition("=") if words else ("", "", "")
    if not (name and equals and first):
        raise RecipeError(f"{','.join(words)!r}", "a setting and its values, as content_weight=0.1,1")
    setting = name.strip().replace("-", "_")
    if setting not in Recipe.model_fields:
        raise RecipeError(f"unknown setting {setting!r}", f"possible are {', '.join(Recipe.model_fields)}")
    return setting, [_value(word) for word in (first, *words[1:])]


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word.split("+") if "+" in word else word
