"""A recipe's settings as terms: the one place that knows both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import Tensor

from impasto.losses.objective import Objective
from impasto.losses.pixels import TemporalTerm, TotalVariationTerm
from impasto.losses.style import StyleLoss, StyleTerm
from impasto.losses.terms import Term
from impasto.networks.encoder import Encoder
from impasto.recipe import CONTENT_LOSSES, STYLE_LOSSES, Recipe
from impasto.scene import Scene

__all__ = ["balanced", "objective_of", "terms_of"]

#: Content against style at a strength of one half, each on its own scale: about what the defaults give.
BALANCE = 1 / 20


def terms_of(recipe: Recipe) -> tuple[Term, ...]:
    """The terms that a recipe asks for; those of weight 0 are left out.

    With ``strength`` set, content and style have weight 1: see :func:`balanced`.
    """
    balance = recipe.strength is not None
    terms: list[Term] = []
    if recipe.wants_content:
        weight = 1.0 if balance else recipe.content_weight
        build = _resolved(CONTENT_LOSSES[recipe.content_loss])
        terms.append(build(recipe.content_shares(), weight, recipe))
    if recipe.wants_style:
        weight = 1.0 if balance else recipe.style_weight
        for name, share in recipe.style_loss_shares().items():
            terms.append(_style_term(name, recipe.style_shares(), weight * share, recipe))
    if recipe.tv_weight:
        terms.append(TotalVariationTerm(weight=recipe.tv_weight))
    terms.append(TemporalTerm())
    return tuple(terms)


def _style_term(name: str, layer_weights: Mapping[str, float], weight: float, recipe: Recipe) -> Term:
    loss = _resolved(STYLE_LOSSES[name])
    if not isinstance(loss, StyleLoss):
        term: Term = loss(layer_weights, weight, recipe)
        return term
    return StyleTerm(
        weight=weight,
        layers=tuple(layer_weights),
        loss=loss,
        # Recipes and traces have always called the Gram term by its layer alone.
        loss_name="" if name == "gram" else name,
        layer_weights=layer_weights,
        normalisation=recipe.normalisation,
        inside=recipe.mask_spread == "inside",
    )


def _resolved(entry: Any) -> Any:
    """What an entry of a registry stands for: itself, or what "module:name" names."""
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
    content_share: float = 1.0,
) -> Objective:
    """The objective that a recipe asks for, in a scene at one scale.

    Args:
        terms: what the picture is judged by instead.
        tile: see :class:`Objective`.
        content_share: what the content's weight is multiplied by at this scale; not with ``terms``. The less
            ``strength`` is below one half, the more of the content counts at every scale.
    """
    if terms is not None:
        return Objective(encoder, scene, terms, tile=tile)
    objective = Objective(encoder, scene, terms_of(recipe), tile=tile)
    if recipe.strength is not None:
        if scene.content is not None:
            objective = balanced(objective, scene.content, recipe.strength)
        content_share += (1.0 - content_share) * max(0.0, 1.0 - 2.0 * recipe.strength)
    return objective if content_share == 1.0 else objective.reweighted({"content": content_share})


def balanced(objective: Objective, content: Tensor, strength: float) -> Objective:
    """The objective with its weights set so that ``strength`` means the same in every unit, loss and encoder.

    Each side is measured on its own scale: the style's is its loss for the content as it is; the content's,
    its loss for the content turned upside down, which has the same features, all elsewhere. Layers count by
    their geometric mean: one of them may be a thousand times off, which is soon mended.

    Args:
        content: (1, 3, H, W) at the objective's size.
        strength: in (0, 1); at 0 and 1 only one side is left and there is nothing to balance.
    """
    content_losses = _starting_with("content", objective.losses(content.flip((-2, -1))))
    style_losses = _starting_with("style", objective.losses(content))
    if not content_losses or not style_losses:
        return objective
    balance = BALANCE * ((1.0 - strength) / strength) ** 3
    return objective.reweighted({
        "content": balance / _scale(content_losses),
        "style": 1.0 / _scale(style_losses),
    })  # fmt: skip


def _starting_with(kind: str, losses: Mapping[str, float]) -> list[float]:
    return [value for name, value in losses.items() if name.startswith(f"{kind}/")]


def _scale(losses: list[float]) -> float:
    """The sum that equal losses of the same geometric mean would have."""
    return len(losses) * math.exp(math.fsum(math.log(max(value, 1e-9)) for value in losses) / len(losses))
