"""The studies behind docs/studies.md, which test the claims of a course report and a forum thread.

Pictures are scikit-image's photographs and the project's own paintings, so that everybody can run them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from impasto.studies import named
from impasto.studies.named import single_scale
from impasto.studies.plan import Axis, StudyPlan, Value

__all__ = ["CLAIMS"]

CAT, ROCKET, WOMAN, CUP = (f"photograph:{name}" for name in ("chelsea", "rocket", "astronaut", "coffee"))
RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
#: PyTorch's tutorial counts convolutions from the first to the last: its conv_3 is conv2_1.
TUTORIAL = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_1+conv_4")


def _with(plan: StudyPlan, **fields: Any) -> StudyPlan:
    """A copy with some fields changed."""
    return StudyPlan(**plan.model_dump() | fields)


def _small(size: int, iterations: int) -> dict[str, Any]:
    return {"size": size, "iterations": [iterations]}


def content_blocks() -> StudyPlan:
    """conv1 … conv5 read as the first convolution of each block."""
    return _with(named.layers(CAT, of="content", settings=_small(160, 150)), name="content-blocks")


def content_tutorial() -> StudyPlan:
    """conv_1 … conv_5 as PyTorch's tutorial counts them."""
    plan = named.layers(CAT, of="content", names=TUTORIAL, settings=_small(160, 150))
    return _with(plan, name="content-tutorial", title="Content, the tutorial's layers")


def content_freedom() -> StudyPlan:
    """How much the reconstructions from two seeds differ, by depth: four seeds."""
    plan = named.layers(CAT, of="content", names=RELUS, seeds=range(4), settings=_small(160, 150))
    return _with(
        plan,
        name="content-freedom",
        title="The deeper the layer, the more freedom",
        charts=("pair_psnr_db", "pair_features/*", "content_psnr_db", "content_ssim"),
    )


def style_blocks() -> StudyPlan:
    """Textures from each block, and from all together."""
    plan = named.layers("painting:facets", of="style", settings=_small(160, 150))
    charts = ("stroke_px", "style_palette", "style_judge/*", "pair_style/*")
    return _with(plan, name="style-blocks", charts=charts)


def style_seeds() -> StudyPlan:
    """How much textures from different seeds differ: six seeds of three styles, all layers."""
    paintings = tuple(f"painting:{name}" for name in ("facets", "wave", "pointillist"))
    return StudyPlan(
        name="style-seeds",
        title="Six seeds of one texture",
        question="Do textures that differ in their seed alone have other strokes?",
        base=single_scale(_small(192, 150), {"init": "noise"}),
        styles=paintings,
        seeds=tuple(range(6)),
        columns="seed",
        charts=("stroke_px", "style_judge", "style_palette"),
    )


def style_of() -> StudyPlan:
    """The style from each layer alone, and from all layers up to it."""
    return named.style_of("painting:swirl", settings=_small(192, 150))


def starts() -> StudyPlan:
    """Starts from the content and from noise, for two contents at two content weights."""
    plan = named.inits(CAT, "painting:facets", seeds=(0, 1, 2), settings={"size": 192})
    weights = tuple(
        Value(label=f"content weight {w:g}", settings={"content_weight": w}) for w in (0.05, 0.01)
    )
    return _with(
        plan,
        name="starts",
        contents=(CAT, ROCKET),
        vary=(Axis(name="weight", values=weights), *plan.vary),
    )


def optimisers() -> StudyPlan:
    """All optimisers, from the content and from noise, two seeds."""
    plan = named.optimisers(CAT, "painting:facets", seeds=(0, 1), settings=_small(160, 160))
    starts = tuple(Value(label=f"from {init}", settings={"init": init}) for init in ("content", "noise"))
    return _with(plan, name="optimisers", vary=(Axis(name="start", values=starts), *plan.vary))


def nan() -> StudyPlan:
    """The textbook's L-BFGS with the tutorial's normalisation and weights, compared with Impasto's."""
    kinds_of_loss = {
        "style alone × 1e6": {"style_weight": 1e6, "content_weight": 0.0},
        "style alone × 1": {"style_weight": 1.0, "content_weight": 0.0},
    }
    units = tuple(Value(label=label, settings=settings) for label, settings in kinds_of_loss.items())
    kinds = (Value(label="textbook", painter="textbook", settings={"history": 100}), Value(label="Impasto"))
    return StudyPlan(
        name="nan",
        title="L-BFGS and NaN",
        question="How many of six noises end in a loss that is not finite, explode, or stop early? Units "
        "of neural-style, as in the tutorial.",
        base=single_scale(_small(96, 300), {"init": "noise", "normalisation": "neural-style"}),
        contents=(CAT,),
        styles=("painting:facets",),
        seeds=tuple(range(6)),
        vary=(Axis(name="minimised", values=units), Axis(name="optimiser", values=kinds)),
        columns="seed",
        charts=("non_finite", "style_judge", "content_ssim"),
    )


def styles() -> StudyPlan:
    """Every painting on two contents, from the content and from noise."""
    from impasto.samples import PAINTINGS

    paintings = tuple(f"painting:{name}" for name in PAINTINGS)
    starts = ("content", "noise")
    plan = named.styles((CAT, WOMAN), paintings, inits=starts, settings=_small(160, 120))
    return _with(plan, name="styles")


def content_layers() -> StudyPlan:
    """block3_conv2 × 0.1 against block4_conv2 × 1, and weights around them."""
    factors = (0.01, 0.1, 1.0)
    plan = named.content_layers(WOMAN, "painting:wave", factors=factors, settings=_small(192, 150))
    return _with(plan, name="content-layers")


def small_part() -> StudyPlan:
    """A motif that covers little of the style picture."""
    shares = (0.03, 0.1, 0.25, 0.5, 1.0)
    return StudyPlan(
        name="small-part",
        title="A small part of the style",
        question="A mosaic set into a picture of waves: how much of the result is mosaic when it covers "
        "3 % of the style picture, and how much when it covers all?",
        base=single_scale(_small(192, 150)),
        contents=(CAT,),
        styles=tuple(f"inset:mosaic:wave:{share:g}" for share in shares),
        references=("painting:mosaic", "painting:wave"),
        columns="style",
        charts=("reference/mosaic", "reference/wave", "reference/mosaic/*", "content_ssim"),
    )


def weights() -> StudyPlan:
    """Content weight × style weight."""
    return named.weights(CUP, "painting:swirl", settings=_small(160, 120))


#: Name of the folder → function that builds the plan, in the order of the page.
CLAIMS: dict[str, Callable[[], StudyPlan]] = {
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
