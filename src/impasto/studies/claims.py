"""The studies behind docs/studies.md: the claims of a course report and a forum thread, each to be run again.

Pictures are scikit-image's photographs and the project's own paintings, so that anybody has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from impasto.studies import named
from impasto.studies.plan import Axis, Plan, Value

__all__ = ["CLAIMS"]

CAT, ROCKET, WOMAN, CUP = (f"photograph:{name}" for name in ("chelsea", "rocket", "astronaut", "coffee"))
RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
#: The tutorial counts convolutions from the first to the last: its conv_3 is conv2_1.
TUTORIAL = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_1+conv_4")


def _renamed(plan: Plan, **fields: Any) -> Plan:
    return Plan(**plan.model_dump() | fields)


def content_blocks() -> Plan:
    """conv1 … conv5 read as the first convolution of each block."""
    return _renamed(named.layers(CAT, of="content", size=160, iterations=150), name="content-blocks")


def content_tutorial() -> Plan:
    """The same names read as the tutorial counts them."""
    plan = named.layers(CAT, of="content", names=TUTORIAL, size=160, iterations=150)
    return _renamed(plan, name="content-tutorial", title="Content, the tutorial's layers")


def content_freedom() -> Plan:
    """How far two seeds' reconstructions lie apart, by depth: four seeds."""
    plan = named.layers(CAT, of="content", names=RELUS, seeds=range(4), size=160, iterations=150)
    return _renamed(
        plan,
        name="content-freedom",
        title="The deeper the layer, the more freedom",
        charts=("pair_psnr_db", "pair_features/*", "content_psnr_db", "content_ssim"),
    )


def style_blocks() -> Plan:
    """Textures at each block and all together."""
    plan = named.layers("painting:facets", of="style", size=160, iterations=150)
    charts = ("stroke_px", "style_palette", "style_judge/*", "pair_style/*")
    return _renamed(plan, name="style-blocks", charts=charts)


def style_seeds() -> Plan:
    """Is one seed's texture another's? Six seeds of three styles, all layers."""
    paintings = tuple(f"painting:{name}" for name in ("facets", "wave", "pointillist"))
    return Plan(
        name="style-seeds",
        title="Six seeds of one texture",
        question="Do textures that differ in their seed alone have other strokes?",
        base=named.base(192, 150, {"init": "noise"}),
        styles=paintings,
        seeds=tuple(range(6)),
        columns="seed",
        charts=("stroke_px", "style_judge", "style_palette"),
    )


def style_of() -> Plan:
    """The deconstructed style."""
    return named.style_of("painting:swirl", size=192, iterations=150)


def starts() -> Plan:
    """Content against noise on two contents, at two content weights."""
    plan = named.inits(CAT, "painting:facets", seeds=(0, 1, 2), size=192)
    weights = tuple(
        Value(label=f"content weight {w:g}", settings={"content_weight": w}) for w in (0.05, 0.01)
    )
    return _renamed(
        plan,
        name="starts",
        contents=(CAT, ROCKET),
        vary=(Axis(name="weight", values=weights), *plan.vary),
    )


def optimisers() -> Plan:
    """From the content and from noise, two seeds."""
    plan = named.optimisers(CAT, "painting:facets", seeds=(0, 1), size=160, iterations=160)
    init = tuple(Value(label=f"from {one}", settings={"init": one}) for one in ("content", "noise"))
    return _renamed(plan, name="optimisers", vary=(Axis(name="start", values=init), *plan.vary))


def nan() -> Plan:
    """The textbook's L-BFGS at the tutorial's units and weights, and Impasto's beside it."""
    kinds_of_loss = {
        "style alone × 1e6": {"style_weight": 1e6, "content_weight": 0.0},
        "style alone × 1": {"style_weight": 1.0, "content_weight": 0.0},
    }
    units = tuple(Value(label=label, settings=settings) for label, settings in kinds_of_loss.items())
    kinds = (Value(label="textbook", painter="textbook", settings={"history": 100}), Value(label="Impasto"))
    return Plan(
        name="nan",
        title="L-BFGS and NaN",
        question="How many of six noises end in a loss that is not finite, explode, or stop early? Units "
        "of neural-style, as in the tutorial.",
        base=named.base(96, 300, {"init": "noise", "normalisation": "neural-style"}),
        contents=(CAT,),
        styles=("painting:facets",),
        seeds=tuple(range(6)),
        vary=(Axis(name="minimised", values=units), Axis(name="optimiser", values=kinds)),
        columns="seed",
        charts=("non_finite", "style_judge", "content_ssim"),
    )


def styles() -> Plan:
    """Every painting on two contents, from the content and from noise."""
    from impasto.samples import PAINTINGS

    paintings = tuple(f"painting:{name}" for name in PAINTINGS)
    plan = named.styles((CAT, WOMAN), paintings, inits=("content", "noise"), size=160, iterations=120)
    return _renamed(plan, name="styles")


def content_layers() -> Plan:
    """block3_conv2 × 0.1 against block4_conv2 × 1, and weights around them."""
    plan = named.content_layers(WOMAN, "painting:wave", factors=(0.01, 0.1, 1.0), size=192, iterations=150)
    return _renamed(plan, name="content-layers")


def small_part() -> Plan:
    """A motif that covers little of the style picture."""
    shares = (0.03, 0.1, 0.25, 0.5, 1.0)
    return Plan(
        name="small-part",
        title="A small part of the style",
        question="A mosaic set into a picture of waves: how much of the result is mosaic when it covers "
        "3 % of the style picture, and how much when it covers all?",
        base=named.base(192, 150),
        contents=(CAT,),
        styles=tuple(f"inset:mosaic:wave:{share:g}" for share in shares),
        references=("painting:mosaic", "painting:wave"),
        columns="style",
        charts=("reference/mosaic", "reference/wave", "reference/mosaic/*", "content_ssim"),
    )


def weights() -> Plan:
    """Content weight × style weight."""
    return named.weights(CUP, "painting:swirl", size=160, iterations=120)


#: name of the folder → builder, in the order of the page.
CLAIMS: dict[str, Callable[[], Plan]] = {
    "content-blocks": content_blocks,
    "content-tutorial": content_tutorial,
    "content-freedom": content_freedom,
    "style-blocks": style_blocks,
    "style-seeds": style_seeds,
    "style-of": style_of,
    "starts": starts,
    "optimisers": optimisers,
    "nan": nan,
    "styles": styles,
    "content-layers": content_layers,
    "small-part": small_part,
    "weights": weights,
}
