"""The ready-made studies: functions that return a plan.

All of them paint at one scale (``coarsest`` = ``size``, or more), as Gatys et al. did, because losses at two
sizes cannot be drawn as one curve. There is no margin, so that all that was painted is measured. Precision
is float32, so that numbers do not depend on the processor, and all iterations are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from impasto.errors import RecipeError
from impasto.networks.layers import canonical_layer
from impasto.recipe import Recipe
from impasto.studies.plan import Axis, StudyPlan, Value, distinct

__all__ = [
    "DEFAULTS",
    "DEFAULT_LAYERS",
    "SHARED",
    "content_layers",
    "cumulated",
    "inits",
    "layers",
    "optimisers",
    "single_scale",
    "style_of",
    "styles",
    "weights",
]

Settings = Mapping[str, Any]

SHARED: Settings = {"tolerance": 0.0, "precision": "float32", "margin": 0}
#: Name of the study → its settings beside the shared ones.
DEFAULTS: dict[str, Settings] = {
    "layers": {"size": 192, "iterations": (200,), "init": "noise"},
    "inits": {"size": 256, "iterations": (300,)},
    "weights": {"size": 192, "iterations": (150,)},
    "content-layers": {"size": 256, "iterations": (200,)},
    "styles": {"size": 256, "iterations": (200,)},
    "style-of": {"size": 256, "iterations": (200,), "init": "noise"},
    "optimisers": {"size": 192, "iterations": (250,)},
}

#: ``coarsest`` where the size is not known: there is one scale at every size.
LARGEST = 65536

#: The first convolution of each block; courses and lectures call them conv1 to conv5.
BLOCKS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
DEFAULT_LAYERS = (*BLOCKS, "conv1_1+conv4_1", "+".join(BLOCKS))
CONTENT, STYLE = "photograph:chelsea", "painting:wave"


def single_scale(*settings: Settings, sizes: bool = False) -> dict[str, Any]:
    """The shared settings, overridden by each of ``settings``; one scale, unless they set ``coarsest``.

    Args:
        sizes: whether the study varies the size.
    """
    merged = dict(SHARED)
    for overriding in settings:
        merged |= overriding
    size = merged.get("size")
    merged.setdefault("coarsest", size if isinstance(size, int) and not sizes else LARGEST)
    return merged


def layers(
    picture: str,
    *,
    of: str = "content",
    names: Sequence[str] = DEFAULT_LAYERS,
    seeds: Sequence[int] = (0, 1, 2),
    settings: Settings | None = None,
) -> StudyPlan:
    """Each layer alone and several together, from the same noise.

    Args:
        of: ``content`` reconstructs ``picture``, ``style`` makes a texture of it.
        names: layers, several joined by +: ``conv1_1+conv4_1``.
        settings: of the recipe; they override those of the study.
    """
    content = of == "content"
    if of not in ("content", "style"):
        raise RecipeError(f"a study of {of!r}", "content or style")
    question = (
        "What does each layer know of the picture? It is reconstructed from noise by its content loss alone: "
        "what looks different was not in the layer."
        if content
        else "What does each layer know of the style? A texture from noise by its style loss alone."
    )
    return StudyPlan(
        name=f"layers-{of}",
        title="Content, layer by layer" if content else "Style, layer by layer",
        question=question,
        base=single_scale(DEFAULTS["layers"], settings or {}),
        contents=(picture,) if content else (),
        styles=() if content else (picture,),
        seeds=tuple(seeds),
        vary=(Axis(name="layers", values=_at_layers(f"{of}_layers", names)),),
        columns="layers",
    )


def _at_layers(setting: str, names: Sequence[str]) -> tuple[Value, ...]:
    """Points on an axis of layers, from names such as ``conv1_1+conv4_1``.

    The label of four or more layers is the first and the last, unless another has the same ones.
    """
    chosen = [[canonical_layer(name) for name in each.split("+")] for each in names]
    short = ["+".join(layers) if len(layers) < 4 else f"{layers[0]}…{layers[-1]}" for layers in chosen]
    labels = distinct(short, ["+".join(layers) for layers in chosen])
    return tuple(
        Value(label=label, settings={setting: layers}) for label, layers in zip(labels, chosen, strict=True)
    )


def cumulated(names: Sequence[str]) -> tuple[str, ...]:
    """``a, b, c`` → ``a``, ``a+b``, ``a+b+c``."""
    return tuple("+".join(names[: k + 1]) for k in range(len(names)))


def style_of(style: str, *, seed: int = 0, settings: Settings | None = None) -> StudyPlan:
    """The style taken apart: its texture from each layer alone and from all layers up to it (Gatys 2015).

    "Only relu3_1" and "up to relu3_1" are points on one axis, because a plan combines its axes freely.
    """
    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    alone = [Value(label=f"only {name}", settings={"style_layers": [name]}) for name in names]
    up_to = [
        Value(label=f"up to {name}", settings={"style_layers": list(names[: k + 1])})
        for k, name in enumerate(names)
    ]
    return StudyPlan(
        name="style-of",
        title="The style, taken apart",
        question="What does the style look like to each layer alone, and to all layers down to a depth?",
        base=single_scale(DEFAULTS["style-of"], settings or {}),
        styles=(style,),
        seeds=(seed,),
        vary=(Axis(name="depth", values=(*alone, *up_to[1:])),),  # the first of both is the same
        columns="depth",
        charts=("style_judge/*", "style_palette", "stroke_px", "evaluations_to_settle"),
    )


def inits(
    content: str = CONTENT,
    style: str = STYLE,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    settings: Settings | None = None,
) -> StudyPlan:
    """A start from the content against several starts from noise, after the same number of iterations."""
    starts = [Value(label="content", settings={"init": "content"})]
    starts += [Value(label=f"noise, seed {seed}", settings={"init": "noise", "seed": seed}) for seed in seeds]
    return StudyPlan(
        name="inits",
        title="Where to start: the content or noise",
        question="Does noise need more iterations to come as far, does it end at another picture, and where "
        "does a part of the content never appear?",
        base=single_scale(DEFAULTS["inits"], settings or {}),
        contents=(content,),
        styles=(style,),
        vary=(Axis(name="start", values=tuple(starts)),),
        columns="start",
        charts=(
            "evaluations_to_equal_loss",
            "content_ssim",
            "content_edges",
            "style_judge",
            "stroke_px",
            "style_palette",
        ),
    )


def weights(
    content: str = CONTENT,
    style: str = STYLE,
    *,
    x: tuple[str, Sequence[Any]] = ("content_weight", (0.005, 0.02, 0.08, 0.32)),
    y: tuple[str, Sequence[Any]] = ("style_weight", (0.1, 1.0, 10.0)),
    seed: int = 0,
    settings: Settings | None = None,
) -> StudyPlan:
    """A grid of any two settings. Of the two weights only the ratio matters: cells on a diagonal are alike.

    Args:
        x, y: setting and its values, along the columns and down the rows.
    """
    for name, _ in (x, y):
        if name not in Recipe.model_fields:
            raise RecipeError(f"unknown setting {name!r}", f"possible are {', '.join(Recipe.model_fields)}")
    if x[0] == y[0]:
        raise RecipeError(f"{x[0]} along the columns and down the rows", "two settings", "give both axes")
    return StudyPlan(
        name="weights",
        title=f"{x[0].replace('_', ' ').capitalize()} × {y[0].replace('_', ' ')}",
        question="How much of the content and how much of the style is left for each pair of settings?",
        base=single_scale(DEFAULTS["weights"], settings or {}, sizes="size" in (x[0], y[0])),
        contents=(content,),
        styles=(style,),
        seeds=(seed,),
        vary={y[0]: list(y[1]), x[0]: list(x[1])},
        columns=x[0],
        charts=("content_ssim", "content_edges", "style_judge", "style_palette"),
    )


def content_layers(
    content: str = CONTENT,
    style: str = STYLE,
    *,
    names: Sequence[str] = ("relu2_2", "relu3_2", "relu4_2", "relu5_1"),
    factors: Sequence[float] = (0.1, 1.0),
    seed: int = 0,
    settings: Settings | None = None,
) -> StudyPlan:
    """The content loss at one layer or another: block3_conv2 with 0.1 against block4_conv2 with 1, and so on.

    Args:
        factors: by which the recipe's content weight is multiplied.
    """
    weight = float((settings or {}).get("content_weight", 1.0))
    scaled = tuple(
        Value(label=f"content × {factor:g}", settings={"content_weight": weight * factor})
        for factor in factors
    )
    return StudyPlan(
        name="content-layers",
        title="Which layer holds the content",
        question="A deeper content layer leaves more freedom: how much more, and what does its weight do?",
        base=single_scale(DEFAULTS["content-layers"], settings or {}),
        contents=(content,),
        styles=(style,),
        seeds=(seed,),
        vary=(
            Axis(name="factor", values=scaled),
            Axis(name="layer", values=_at_layers("content_layers", names)),
        ),
        columns="layer",
        charts=("content_ssim", "content_edges", "content_judge", "style_judge"),
    )


def styles(
    contents: Sequence[str] = (CONTENT, "photograph:coffee"),
    pictures: Sequence[str] = ("painting:facets", "painting:swirl", "painting:wave", "painting:mosaic"),
    *,
    inits: Sequence[str] = ("content",),
    seed: int = 0,
    settings: Settings | None = None,
) -> StudyPlan:
    """Contents × styles, and which styles are reached in fewer iterations."""
    starts = tuple(Value(label=f"from {init}", settings={"init": init}) for init in inits)
    return StudyPlan(
        name="styles",
        title="Contents × styles",
        question="Which styles are reached in fewer iterations? A cell has settled when nine tenths of its "
        "loss's fall, on a log scale, are behind it.",
        base=single_scale(DEFAULTS["styles"], settings or {}),
        contents=tuple(contents),
        styles=tuple(pictures),
        seeds=(seed,),
        vary=(Axis(name="start", values=starts),),
        columns="style",
        charts=("evaluations_to_settle", "style_judge", "content_ssim", "style_palette"),
    )


#: (label, settings, painter) of each optimiser, with the settings that are most often debated. The painter
#: ``textbook`` is PyTorch's L-BFGS as its tutorial uses it.
OPTIMISERS: tuple[tuple[str, Settings, str], ...] = (
    ("L-BFGS, 5 remembered", {"optimiser": "lbfgs", "history": 5}, "impasto"),
    ("L-BFGS, 20", {"optimiser": "lbfgs", "history": 20}, "impasto"),
    ("L-BFGS, 50", {"optimiser": "lbfgs", "history": 50}, "impasto"),
    ("Adam 0.005", {"optimiser": "adam", "learning_rate": 0.005}, "impasto"),
    ("Adam 0.02", {"optimiser": "adam", "learning_rate": 0.02}, "impasto"),
    ("Adam 0.05", {"optimiser": "adam", "learning_rate": 0.05}, "impasto"),
    ("textbook L-BFGS", {"history": 100}, "textbook"),
)


def optimisers(
    content: str = CONTENT,
    style: str = STYLE,
    *,
    init: str = "content",
    seeds: Sequence[int] = (0,),
    settings: Settings | None = None,
) -> StudyPlan:
    """Loss against iterations and seconds, and how often something was not finite."""
    values = tuple(
        Value(label=label, settings=dict(options), painter=painter) for label, options, painter in OPTIMISERS
    )
    return StudyPlan(
        name="optimisers",
        title="L-BFGS, Adam and the textbook",
        question="Which optimiser comes farthest in the same number of iterations, which in the same time, "
        "and which fails?",
        base=single_scale(DEFAULTS["optimisers"], {"init": init}, settings or {}),
        contents=(content,),
        styles=(style,),
        seeds=tuple(seeds),
        vary=(Axis(name="optimiser", values=values),),
        columns="optimiser",
        charts=("loss", "evaluations_to_equal_loss", "style_judge", "content_ssim"),
    )
