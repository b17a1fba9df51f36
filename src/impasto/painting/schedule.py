"""The schedule of a painting: sizes of its scales, and evaluations at each."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.errors import RecipeError
from impasto.losses.terms import Term
from impasto.networks.layers import geometry
from impasto.pictures.geometry import Size, fit, schedule, to_multiple
from impasto.recipe import DEFAULT_SIZE, Recipe

__all__ = [
    "content_share",
    "layers_of",
    "max_evaluations",
    "min_style_side",
    "output_size",
    "rounds",
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


def scale_sizes(
    recipe: Recipe, height: int, width: int, *, terms: Sequence[Term] | None = None
) -> list[Size]:
    """The scales, coarse to fine, for a content of ``height`` × ``width``.

    Args:
        terms: the terms of the objective; None: those of the recipe.

    Raises:
        RecipeError: the picture is too small for the layers, or does not tile with them.
    """
    deepest = max((geometry(layer).stride for layer in layers_of(recipe, terms)), default=1)
    plan = schedule(*output_size(recipe, height, width), recipe.coarsest, deepest)
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
    """The layers that the encoder has to compute."""
    if terms is None:
        return recipe.active_layers()
    return tuple(dict.fromkeys(layer for term in terms for layer in term.layers))


def min_style_side(recipe: Recipe, terms: Sequence[Term] | None) -> int:
    """Pixels that the shorter side of a style picture needs, so that the deepest layer has a feature."""
    if terms is not None:
        layers = layers_of(recipe, terms)
    else:
        layers = recipe.style_layers if recipe.wants_style else ()
    return max((geometry(layer).stride for layer in layers), default=1)


def content_share(recipe: Recipe, size: Size, final: Size) -> float:
    """Factor of the content's weight at a scale: 1 up to ``content_until``, ``fine_content`` at finer scales.

    Args:
        size: (height, width) of the scale.
        final: (height, width) of the finest scale.
    """
    if not recipe.wants_style or recipe.content_until is None:
        return 1.0
    # Half the final size at most, so that the finest scale of a small picture leaves the style free too. The
    # 5 % allow for the rounding of sizes.
    full_content = max(size) <= 1.05 * min(recipe.content_until, max(final) / 2)
    return 1.0 if full_content else recipe.fine_content


def rounds(recipe: Recipe, evaluations: int, *, rematched: bool) -> list[int]:
    """Divide the evaluations of a scale into rounds, each of which begins with new matches.

    Args:
        rematched: whether matches are renewed at this scale.
    """
    interval = recipe.rematch_every if rematched else 0
    if not interval or interval >= evaluations:
        return [evaluations]
    full_rounds, rest = divmod(evaluations, interval)
    return [interval] * full_rounds + ([rest] if rest else [])


def max_evaluations(recipe: Recipe, scale: int) -> int:
    """Evaluations at the ``scale``-th size (from 0), at least 1: an unevaluated picture has no loss."""
    return max(1, recipe.iterations[min(scale, len(recipe.iterations) - 1)])
