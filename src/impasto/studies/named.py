"""The studies that have a command: a plan from a few words, and the reason for each choice.

All of them paint at one scale (``coarsest`` = size), as Gatys et al. did and as the report did: losses of
two sizes cannot be drawn as one curve. Without a margin, so that what is measured is all that was painted;
and in float32, so that numbers do not depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from impasto.errors import RecipeError
from impasto.networks.layers import canonical_layer
from impasto.recipe import Recipe
from impasto.studies.plan import Axis, Plan, Value

__all__ = [
    "NAMED",
    "content_layers",
    "cumulated",
    "inits",
    "layers",
    "optimisers",
    "style_of",
    "styles",
    "weights",
]

Settings = Mapping[str, Any]

#: Convolutions that the report and the lecture name by their block.
BLOCKS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
DEFAULT_LAYERS = (*BLOCKS, "conv1_1+conv4_1", "+".join(BLOCKS))
CONTENT, STYLE = "photograph:chelsea", "painting:wave"


def base(size: int, iterations: int, settings: Settings | None = None) -> dict[str, Any]:
    """What all studies share: one scale, no margin, float32, all iterations; ``settings`` go over it."""
    given = dict(settings or {})
    whole = given.get("size", size)
    shared = {
        "size": whole, "iterations": [iterations], "tolerance": 0.0, "precision": "float32", "margin": 0,
    }  # fmt: skip
    return shared | ({} if whole == "original" else {"coarsest": whole}) | given


def layers(
    picture: str,
    *,
    of: str = "content",
    names: Sequence[str] = DEFAULT_LAYERS,
    seeds: Sequence[int] = (0, 1, 2),
    size: int = 192,
    iterations: int = 200,
    settings: Settings | None = None,
) -> Plan:
    """Each layer alone and several cumulated, from the same noise.

    Args:
        of: ``content`` reconstructs ``picture``, ``style`` makes a texture of it.
        names: layers, several joined by +: ``conv1_1+conv4_1``.
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
    return Plan(
        name=f"layers-{of}",
        title="Content, layer by layer" if content else "Style, layer by layer",
        question=question,
        base=base(size, iterations, {"init": "noise"} | dict(settings or {})),
        contents=(picture,) if content else (),
        styles=() if content else (picture,),
        seeds=tuple(seeds),
        vary=(Axis(name="layers", values=tuple(_at(f"{of}_layers", name) for name in names)),),
        columns="layers",
    )


def _at(field: str, names: str) -> Value:
    """One point on an axis of layers: ``conv1_1+conv4_1``; a long sum is labelled by its ends."""
    found = [canonical_layer(name) for name in names.split("+")]
    label = "+".join(found) if len(found) < 4 else f"{found[0]}…{found[-1]}"
    return Value(label=label, settings={field: found})


def cumulated(names: Sequence[str]) -> tuple[str, ...]:
    """``a, b, c`` → ``a``, ``a+b``, ``a+b+c``."""
    return tuple("+".join(names[: k + 1]) for k in range(len(names)))


def style_of(
    style: str, *, seed: int = 0, size: int = 256, iterations: int = 200, settings: Settings | None = None
) -> Plan:
    """The deconstructed style: its texture at every depth, each layer alone and all up to it (Gatys 2015)."""
    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    depth = tuple(_at("style_layers", name) for name in names)
    up_to = tuple(
        Value(label=value.label, settings={"style_layers": list(names[: k + 1])})
        for k, value in enumerate(depth)
    )
    # The two rows have the same labels and other settings, so that they are two axes of one plan:
    # "depth" picks the column, "which" the layers, and a plan's axes are independent. Hence one axis.
    values = tuple(Value(label=f"only {one.label}", settings=one.settings) for one in depth) + tuple(
        Value(label=f"up to {one.label}", settings=one.settings) for one in up_to[1:]
    )
    return Plan(
        name="style-of",
        title="The style, taken apart",
        question="What does the style look like to each layer alone, and to all layers down to a depth?",
        base=base(size, iterations, {"init": "noise"} | dict(settings or {})),
        styles=(style,),
        seeds=(seed,),
        vary=(Axis(name="depth", values=values),),
        columns="depth",
        charts=("style_judge/*", "style_palette", "stroke_px", "evaluations_to_settle"),
    )


def inits(
    content: str = CONTENT,
    style: str = STYLE,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    size: int = 256,
    iterations: int = 300,
    settings: Settings | None = None,
) -> Plan:
    """Content start against several noise starts, at equal steps."""
    starts = [Value(label="content", settings={"init": "content"})]
    starts += [Value(label=f"noise, seed {seed}", settings={"init": "noise", "seed": seed}) for seed in seeds]
    return Plan(
        name="inits",
        title="Where to start: the content or noise",
        question="Does noise need more evaluations to come as far, does it end at another picture, and where "
        "does a part of the content never appear?",
        base=base(size, iterations, settings),
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
    size: int = 192,
    iterations: int = 150,
    settings: Settings | None = None,
) -> Plan:
    """A grid of any two settings. Only the ratio of content and style weight counts: diagonals are alike."""
    for name, _ in (x, y):
        if name not in Recipe.model_fields:
            raise RecipeError(f"unknown setting {name!r}", f"possible are {', '.join(Recipe.model_fields)}")
    return Plan(
        name="weights",
        title=f"{x[0].replace('_', ' ').capitalize()} × {y[0].replace('_', ' ')}",
        question="How much of the content and how much of the style is left for each pair of settings?",
        base=base(size, iterations, settings),
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
    size: int = 256,
    iterations: int = 200,
    settings: Settings | None = None,
) -> Plan:
    """The thread's question: block3_conv2 with 0.1 against block4_conv2 with 1, and the rest.

    The factors are of the recipe's content weight, whatever that is.
    """
    full = float((settings or {}).get("content_weight", 1.0))
    given = [canonical_layer(name) for name in names]
    return Plan(
        name="content-layers",
        title="Which layer holds the content",
        question="A deeper content layer leaves more freedom: how much more, and what does its weight do?",
        base=base(size, iterations, settings),
        contents=(content,),
        styles=(style,),
        seeds=(seed,),
        vary=(
            Axis(
                name="factor",
                values=tuple(
                    Value(label=f"content × {f:g}", settings={"content_weight": full * f}) for f in factors
                ),
            ),
            Axis(name="layer", values=tuple(_at("content_layers", name) for name in given)),
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
    size: int = 256,
    iterations: int = 200,
    settings: Settings | None = None,
) -> Plan:
    """Contents × styles, and which styles are reached in fewer evaluations."""
    starts = tuple(Value(label=f"from {one}", settings={"init": one}) for one in inits)
    return Plan(
        name="styles",
        title="Contents × styles",
        question="Which styles are reached in fewer evaluations? A cell has settled when nine tenths of its "
        "loss's fall, on a log scale, are behind it.",
        base=base(size, iterations, settings),
        contents=tuple(contents),
        styles=tuple(pictures),
        seeds=(seed,),
        vary=(Axis(name="start", values=starts),),
        columns="style",
        charts=("evaluations_to_settle", "style_judge", "content_ssim", "style_palette"),
    )


#: Optimisers and the settings that people argue about; the textbook rows are PyTorch's L-BFGS as the
#: tutorial drives it, in the units that the tutorial's weights make of the same loss.
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
    size: int = 192,
    iterations: int = 250,
    settings: Settings | None = None,
) -> Plan:
    """Loss against evaluations and seconds, and how often something was not finite."""
    values = tuple(
        Value(label=label, settings=dict(given), painter=painter) for label, given, painter in OPTIMISERS
    )
    return Plan(
        name="optimisers",
        title="L-BFGS, Adam and the textbook",
        question="Which optimiser comes farthest in the same number of evaluations, which in the same time, "
        "and which fails?",
        base=base(size, iterations, {"init": init} | dict(settings or {})),
        contents=(content,),
        styles=(style,),
        seeds=tuple(seeds),
        vary=(Axis(name="optimiser", values=values),),
        columns="optimiser",
        charts=("loss", "evaluations_to_equal_loss", "style_judge", "content_ssim"),
    )


#: name of the command → builder.
NAMED: dict[str, Callable[..., Plan]] = {
    "layers": layers,
    "inits": inits,
    "weights": weights,
    "content-layers": content_layers,
    "styles": styles,
    "style-of": style_of,
    "optimisers": optimisers,
}
