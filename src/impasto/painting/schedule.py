"""The schedule of a painting: sizes of its scales, and evaluations at each."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.errors import RecipeError
from impasto.losses.finishing import FINISHING_LAYERS
from impasto.losses.terms import Term
from impasto.networks.layers import geometry
from impasto.pictures.geometry import Size, fit, schedule, to_multiple
from impasto.recipe import DEFAULT_SIZE, Recipe

__all__ = [
    "coarse_scales",
    "content_shares",
    "finishing_steps",
    "layers_of",
    "max_evaluations",
    "min_style_side",
    "output_size",
    "painting_size",
    "scale_sizes",
]


def output_size(recipe: Recipe, height: int, width: int, *, enlarge: bool = True) -> Size:
    """(height, width) of the result for a content of ``height`` × ``width``, with the same aspect ratio.

    Args:
        enlarge: whether a small content is enlarged to the default size if the recipe has no size.
    """
    if recipe.size == "original":
        return height, width
    default = DEFAULT_SIZE if enlarge else min(DEFAULT_SIZE, max(height, width))
    return fit(height, width, recipe.size or default)


def painting_size(recipe: Recipe, height: int, width: int) -> Size:
    """(height, width) at which a content of ``height`` × ``width`` is painted: the result's, or larger."""
    size = output_size(recipe, height, width)
    if recipe.paint_size is None or recipe.padding == "circular":
        return size
    side = min(recipe.paint_size, 2 * max(size))
    return fit(height, width, side) if side > max(size) else size


def scale_sizes(
    recipe: Recipe, height: int, width: int, *, terms: Sequence[Term] | None = None
) -> list[Size]:
    """The scales, coarse to fine, for a content of ``height`` × ``width``.

    With ``coarse_finishing`` the largest coarse scale is there twice, to be optimised and then finished.
    Where painting begins with the instant picture it is the first scale, and only finished; without
    ``coarse_finishing`` the next one is the first.

    Args:
        terms: the terms of the objective; None: those of the recipe.

    Raises:
        RecipeError: the picture is too small for the layers, or does not tile with them.
    """
    deepest = max((geometry(layer).stride for layer in layers_of(recipe, terms)), default=1)
    plan = schedule(*painting_size(recipe, height, width), recipe.coarsest, deepest)
    coarse = sum(_small_scales(recipe, plan))
    if terms is None and recipe.wants_finishing and 0 < coarse < len(plan):
        first_finished = coarse - 1 if recipe.coarse_finishing else coarse
        plan = [*plan[: 0 if begins_painted(recipe) else coarse], *plan[first_finished:]]
    if recipe.padding != "circular":
        return plan
    # Pooling drops an odd last row or column, so that opposite edges would no longer be neighbours.
    if plan[-1] != (fitting := to_multiple(plan[-1], deepest)):
        raise RecipeError(
            f"a tile of {plan[-1][1]}×{plan[-1][0]} pixels",
            f"with these layers both sides must be multiples of {deepest}",
            f"take {fitting[1]}×{fitting[0]}",
        )
    return [to_multiple(size, deepest) for size in plan]


def layers_of(recipe: Recipe, terms: Sequence[Term] | None) -> tuple[str, ...]:
    """The layers that the encoder has to compute at some scale."""
    if terms is None:
        return tuple(dict.fromkeys((*recipe.active_layers(), *_finishing_layers(recipe))))
    return tuple(dict.fromkeys(layer for term in terms for layer in term.layers))


def _finishing_layers(recipe: Recipe) -> tuple[str, ...]:
    return FINISHING_LAYERS if recipe.wants_finishing else ()


def min_style_side(recipe: Recipe, terms: Sequence[Term] | None) -> int:
    """Pixels that the shorter side of a style picture needs, so that the deepest layer has a feature."""
    if terms is not None:
        layers = layers_of(recipe, terms)
    else:
        layers = (*(recipe.style_layers if recipe.wants_style else ()), *_finishing_layers(recipe))
    return max((geometry(layer).stride for layer in layers), default=1)


def content_shares(recipe: Recipe, plan: Sequence[Size]) -> list[float]:
    """Factors of the content's weight at the scales of a plan: ``coarse_content``, then ``fine_content``."""
    if not recipe.wants_style:
        return [1.0] * len(plan)
    if recipe.content_until is None:
        return [recipe.coarse_content] * len(plan)
    return [
        recipe.coarse_content if coarse else recipe.fine_content for coarse in coarse_scales(recipe, plan)
    ]


def finishing_steps(recipe: Recipe, plan: Sequence[Size], terms: Sequence[Term] | None = None) -> list[int]:
    """Steps of the finishing pass at each scale of a plan; 0 where the scale is optimised.

    Args:
        terms: the terms of the objective; None: those of the recipe. Finishing does not replace others.
    """
    steps = [0] * len(plan)
    if recipe.wants_style and terms is None:
        first = sum(coarse_scales(recipe, plan))
        repeated = 0 < first < len(plan) and plan[first] == plan[first - 1]
        if repeated or (begins_painted(recipe) and recipe.coarse_finishing and len(plan) > 1):
            steps[first] = recipe.coarse_finishing
            first += 1
        for index, scale in enumerate(range(first, len(plan))):
            steps[scale] = recipe.finishing[min(index, len(recipe.finishing) - 1)]
    return steps


def begins_painted(recipe: Recipe) -> bool:
    """Whether painting begins with the instant picture, of which only the strokes are left to be painted.

    A strength above one half loosens the layout, so it has to be painted. The instant picture does not
    continue at the opposite edge, so one that tiles begins with the content.
    """
    if recipe.init != "instant" or recipe.padding == "circular":
        return False
    layout_stays = recipe.wants_content and (recipe.strength is None or recipe.strength <= 0.5)
    return layout_stays and recipe.wants_finishing


def coarse_scales(recipe: Recipe, plan: Sequence[Size]) -> list[bool]:
    """Which scales paint the layout, and not strokes alone: none, if the picture :func:`begins_painted`."""
    return [False] * len(plan) if begins_painted(recipe) else _small_scales(recipe, plan)


def _small_scales(recipe: Recipe, plan: Sequence[Size]) -> list[bool]:
    """Which scales are small enough for the layout.

    The first one always is, unless it begins with a given picture, whose layout is painted already. A scale
    as large as the one before is there to be finished.
    """
    # Half the final size at most, so that the finest scale of a small picture leaves the style free too. The
    # 5 % allow for the rounding of sizes.
    half = max(plan[-1]) / 2
    limit = 1.05 * (half if recipe.content_until is None else min(recipe.content_until, half))
    return [
        (max(size) <= limit and size != before) or (before is None and recipe.init != "picture")
        for before, size in zip((None, *plan), plan, strict=False)
    ]


def max_evaluations(recipe: Recipe, plan: Sequence[Size], terms: Sequence[Term] | None = None) -> list[int]:
    """Evaluations at each scale of a plan, at least 1: an unevaluated picture has no loss.

    Args:
        terms: the terms of the objective; None: those of the recipe.
    """
    last = len(recipe.iterations) - 1
    return [
        finishing or max(1, recipe.iterations[min(scale, last)])
        for scale, finishing in enumerate(finishing_steps(recipe, plan, terms))
    ]
