"""``impasto study …``: each command turns its flags into a plan, which :mod:`impasto.cli.study_run` runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from impasto.cli.checks import make_folder
from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import (
    CONTENT_SETTINGS,
    EMPTY,
    MASK_SETTINGS,
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
    help="Compare settings: paint many pictures, measure them, and write a report with all of them.",
    default_parameter=Parameter(negative=()),
)

Seeds = Annotated[tuple[int, ...], Parameter(group=STUDY), VALUE_LIST]
Numbers = Annotated[tuple[float, ...], Parameter(group=STUDY), VALUE_LIST]
Words = Annotated[tuple[str, ...], Parameter(group=STUDY), VALUE_LIST]
Pictures = Annotated[tuple[str, ...], Parameter(group=STUDY), PATH_LIST]

NO_SEED = {"seed": "the study varies it, see --seeds"}


def study_flags(
    study: str,
    *,
    without: Mapping[str, str] = EMPTY,
    varied: Iterable[str] = (),
    init: Any = Literal["content", "instant", "noise", "style-colours"],
) -> type[Recipe]:
    """The flags of a study for the recipe's settings, with the study's defaults.

    Args:
        study: its name, as typed.
        without: setting → why the study has no flag for it.
        varied: settings that have no flag because the study varies them.
        init: type of ``--init``, without ``picture``, as studies have no ``--init-image``.
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
    without=NO_SEED | dict.fromkeys(("strength", "colours", "match_content"), "there is only one picture"),
    init=Literal["noise", "style-colours"],
)
InitsFlags = study_flags("inits", varied=("init",), without=NO_SEED)
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
    without=NO_SEED | {"init": "see --start"},
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
    """Reconstruct a picture, or make textures of it, from single layers and from several together.

    Parameters
    ----------
    picture
        A path, photograph:NAME or painting:NAME.
    of
        content: reconstruct the picture; style: make textures of it.
    layers
        Layers to compare, one column each; + joins several layers in one column.
    seeds
        Seeds of the noise to start from, one row each.

    Examples
    --------
    impasto study layers photo.jpg
    impasto study layers painting.jpg --of style --layers relu1_1,relu3_1,relu1_1+relu3_1 --seeds 0,1
    """
    chosen = typed(settings)
    without_effect = set(STYLE_SETTINGS if of == "content" else CONTENT_SETTINGS) & set(chosen)
    if without_effect:
        raise RecipeError(
            f"{flag(min(without_effect))} with --of {of}", f"only the {of} loss is used there", "leave it out"
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
    """Compare starting from the content with starting from noise.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    seeds
        Seeds of the noise to start from, one column each.

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
    """Vary two settings on a grid, by default content weight and style weight.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    x
        Setting that differs between the columns, and its values; + joins several layers in one value.
    y
        Setting that differs between the rows, and its values.

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
    """Compare content layers, each at several content weights.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    layers
        Content layers, one column each.
    factors
        Factors to multiply the content weight by, one row each.

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
        tuple[Literal["content", "instant", "noise", "style-colours"], ...],
        Parameter(group=STUDY),
        VALUE_LIST,
    ] = ("content",),
    options: StudyOptions | None = None,
    settings: Annotated[StylesFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Paint every content in every style, and compare how many iterations the styles need.

    Parameters
    ----------
    contents
        Content pictures, one row each.
    styles
        Style pictures, one column each.
    starts
        What to start from, one row each.

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
    """Make textures of a style from each layer alone, and from all layers down to a depth.

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
    """Compare optimisers by loss, time and failures: L-BFGS, Adam, and PyTorch's L-BFGS as in its tutorial.

    Parameters
    ----------
    content
        A path, or photograph:NAME.
    style
        A path, or painting:NAME.
    start
        What to start from.
    seeds
        Seeds, one row each; they matter for a start from noise.

    Examples
    --------
    impasto study optimisers photo.jpg painting.jpg
    impasto study optimisers --start noise --seeds 0,1
    """
    plan = named.optimisers(content, style, init=start, seeds=seeds, settings=typed(settings))
    return run(plan, options)


@study_app.command
def custom(plan: Path, *, options: StudyOptions | None = None) -> int:
    """Run a study that is described in a YAML file.

    Parameters
    ----------
    plan
        YAML file with the pictures, the settings, what is varied and the seeds; see docs/studies.md.

    Examples
    --------
    impasto study custom plan.yaml -o strokes
    """
    from impasto.studies.plan import StudyPlan

    return run(StudyPlan.read(plan), options)


@study_app.command
def claims(*, only: Words = (), options: StudyOptions | None = None) -> int:
    """Run the studies of docs/studies.md with sample pictures, in less than an hour on two cores.

    Parameters
    ----------
    only
        Names of the studies to run. Default: all.

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
    make_folder(folder)
    codes = []
    for name in chosen:
        codes.append(run(CLAIMS[name](), options, folder / name))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def setting_and_values(words: Sequence[str]) -> tuple[str, list[Any]]:
    """``content_weight=0.1``, ``1`` → ("content_weight", [0.1, 1]); + joins several layers in one value.

    Raises:
        RecipeError: the words are not a setting and its values, or there is no such setting.
    """
    name, equals, first = words[0].partition("=") if words else ("", "", "")
    if not (name and equals and first):
        raise RecipeError(f"{','.join(words)!r}", "a setting and its values, as content_weight=0.1,1")
    setting = name.strip().replace("-", "_")
    if setting not in Recipe.model_fields:
        raise RecipeError(f"unknown setting {setting!r}", f"possible are {', '.join(Recipe.model_fields)}")
    return setting, [_value(word) for word in (first, *words[1:])]


def _value(word: str) -> Any:
    """A number, a list of layers, or the word itself."""
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return word.split("+") if "+" in word else word
