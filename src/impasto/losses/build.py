"""Builds the terms and the objective that a recipe asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from impasto.losses.colours import COLOUR_FACTOR, ColourTerm
from impasto.losses.details import DETAIL_FACTOR, DetailTerm
from impasto.losses.finishing import FINISHING_LAYERS, FinishingTerm
from impasto.losses.objective import Objective
from impasto.losses.pixels import TemporalTerm, TotalVariationTerm
from impasto.losses.style import StyleLoss, StyleTerm
from impasto.losses.terms import Term
from impasto.networks.encoder import Encoder
from impasto.networks.layers import LAYERS
from impasto.recipe import CONTENT_LOSSES, STYLE_LOSSES, Recipe
from impasto.scene import Scene

__all__ = ["balanced", "objective_of", "terms_of"]

#: Weight of the content against the style's at a strength of one half, with both losses scaled as in
#: :func:`balanced`. The result is then close to that of the default weights.
BALANCE = 1 / 20
#: Weight of the Gram loss in the finishing pass, against that of nearest features. It holds contrast,
#: saturation and the finest marks: with a third of it the dots of a pointillist are lost, with twice as much
#: strokes become thinner.
FINISHING_GRAM = 0.25


def terms_of(recipe: Recipe, *, finishing: bool = False) -> tuple[Term, ...]:
    """The terms that a recipe asks for; those of weight 0 are left out.

    With ``strength`` set, content and style have weight 1, and :func:`balanced` sets their weights once the
    pictures are known. The term for earlier video frames is always there: it applies only to scenes that have
    such frames.

    Args:
        finishing: the terms of the finishing pass: nearest features and a little of the Gram loss replace the
            recipe's style losses.
    """
    has_strength = recipe.strength is not None
    terms: list[Term] = []
    if recipe.wants_content:
        weight = 1.0 if has_strength else recipe.content_weight
        build_term = _resolved(CONTENT_LOSSES[recipe.content_loss])
        terms.append(build_term(recipe.content_shares(), weight, recipe))
        if recipe.keep_details and recipe.wants_style:
            terms.append(
                DetailTerm(
                    weight=weight * recipe.keep_details * DETAIL_FACTOR,
                    layers=tuple(recipe.content_shares()),
                    layer_weights=recipe.content_shares(),
                    normalisation=recipe.normalisation,
                )
            )
        if recipe.keep_colours and recipe.wants_style:
            terms.append(ColourTerm(weight=recipe.keep_colours * COLOUR_FACTOR))
    if recipe.wants_style:
        weight = 1.0 if has_strength else recipe.style_weight
        if finishing:
            terms += _finishing_terms(recipe, weight)
        else:
            for name, share in recipe.style_loss_shares().items():
                terms.append(_style_term(name, recipe.style_shares(), weight * share, recipe))
    if recipe.tv_weight:
        terms.append(TotalVariationTerm(weight=recipe.tv_weight))
    terms.append(TemporalTerm())
    return tuple(terms)


def _finishing_terms(recipe: Recipe, weight: float) -> list[Term]:
    """The style terms of the finishing pass.

    The Gram loss leaves out layers that are deeper than those of finishing: they take a fifth of the time and
    would place motifs anew.
    """
    deepest = LAYERS.index(FINISHING_LAYERS[-1])
    shares = {
        layer: share for layer, share in recipe.style_shares().items() if LAYERS.index(layer) <= deepest
    }
    finishing = FinishingTerm(weight=weight, keep_details=recipe.keep_details)
    return [finishing, *([_style_term("gram", shares, weight * FINISHING_GRAM, recipe)] if shares else [])]


def _style_term(name: str, layer_weights: Mapping[str, float], weight: float, recipe: Recipe) -> Term:
    """The term of a style loss; ``name`` is a key of :data:`impasto.recipe.STYLE_LOSSES`."""
    loss = _resolved(STYLE_LOSSES[name])
    if not isinstance(loss, StyleLoss):
        term: Term = loss(layer_weights, weight, recipe)
        return term
    return StyleTerm(
        weight=weight,
        layers=tuple(layer_weights),
        loss=loss,
        # Traces of earlier versions name the Gram losses by their layers alone.
        loss_name="" if name == "gram" else name,
        layer_weights=layer_weights,
        normalisation=recipe.normalisation,
        inside=recipe.mask_spread == "inside",
    )


def _resolved(entry: Any) -> Any:
    """The object that a registry entry "module:name" refers to; an entry that is no string is returned."""
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)


def objective_of(
    encoder: Encoder,
    scene: Scene,
    recipe: Recipe,
    *,
    terms: Sequence[Term] | None = None,
    tile: int | None = None,
    beside: Sequence[torch.device] = (),
    content_share: float = 1.0,
    finishing: bool = False,
) -> Objective:
    """The objective that a recipe asks for, in a scene at one scale.

    Args:
        scene: at the scale (``Scene.at``), its ``start`` being the canvas as it is now.
        terms: used instead of the recipe's terms.
        tile, beside: see :class:`Objective`.
        content_share: factor ≥ 0 on the content's weight at this scale; ignored if ``terms`` are given. A
            ``strength`` below one half moves a factor below 1 towards 1, which it reaches at strength 0.
        finishing: whether this scale is painted by the finishing pass.
    """
    if terms is not None:
        return Objective(encoder, scene, terms, tile=tile, beside=beside)
    objective = Objective(encoder, scene, terms_of(recipe, finishing=finishing), tile=tile, beside=beside)
    if recipe.strength is not None:
        if scene.content is not None:
            objective = balanced(objective, scene.content, recipe.strength)
        content_share += max(0.0, 1.0 - content_share) * max(0.0, 1.0 - 2.0 * recipe.strength)
    if content_share == 1.0:
        return objective
    # Details are held at every scale, also where the content lets go.
    return objective.reweighted({"content": content_share, "details": max(1.0, content_share)})


def balanced(objective: Objective, content: Tensor, strength: float) -> Objective:
    """The objective with weights such that a ``strength`` means the same for every loss and encoder.

    The style losses are divided by their value for the content picture, the content losses by their value
    for the content picture turned by 180°, which has about the same features, all at wrong places. That
    value is computed from the geometric mean over layers, because at the start a single layer's loss may be
    a thousand times the others', and such a loss falls within the first steps. The content's weight is then
    ``BALANCE`` ((1 − strength) / strength)³, at most 10¹⁸ times ``BALANCE``, the style's is 1.

    Args:
        content: (1, 3, H, W) at the objective's size.
        strength: in [0, 1]. At 0 and at 1 the objective has only one of the two and is returned unchanged.
    """
    content_losses = _losses_of("content", objective.losses(content.flip((-2, -1))))
    style_losses = _losses_of("style", objective.losses(content))
    if not content_losses or not style_losses:
        return objective
    balance = BALANCE * min((1.0 - strength) / strength, 1e6) ** 3
    content_factor = balance / _scale(content_losses)
    return objective.reweighted({
        "content": content_factor,
        "details": content_factor,
        "style": 1.0 / _scale(style_losses),
    })  # fmt: skip


def _losses_of(term: str, losses: Mapping[str, float]) -> list[float]:
    """The losses of the terms named ``term``, one for each layer and region."""
    return [loss for name, loss in losses.items() if name.startswith(f"{term}/")]


def _scale(losses: list[float]) -> float:
    """The number of losses times their geometric mean: their sum if all were equal to that mean."""
    return len(losses) * math.exp(math.fsum(math.log(max(loss, 1e-9)) for loss in losses) / len(losses))
