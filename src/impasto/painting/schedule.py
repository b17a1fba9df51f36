"""Sizes and evaluations: the schedule of scales that a recipe asks for."""

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
    """(height, width) of the result for a content of ``height`` × ``width``: same aspect ratio.

    Args:
        enlarge: whether a small content grows to the default size where the recipe names none.
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
        terms: what the picture is judged by, if not by what the recipe says.

    Raises:
        RecipeError: the picture is too small for the layers, or does not tile with them.
    """
    deepest = max((geometry(layer).stride for layer in layers_of(recipe, terms)), default=1)
    plan = schedule(*output_size(recipe, height, width), recipe.coarsest, deepest)
    if recipe.padding != "circular":
        return plan
    # A pooling drops an odd last row or column: what remains would not meet its opposite edge.
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
    """Pixels that a style picture needs on its shorter side, for the deepest layer to see anything."""
    if terms is not None:
        layers = layers_of(recipe, terms)
    else:
        layers = recipe.style_layers if recipe.wants_style else ()
    return max((geometry(layer).stride for layer in layers), default=1)


def content_share(recipe: Recipe, size: Size, final: Size) -> float:
    """Share of the content's weight that counts at a scale: 1, or the recipe's ``fine_content`` where the
    scale belongs to the style.

    Args:
        final: (height, width) of the finest scale.
    """
    if not recipe.wants_style or recipe.content_until is None:
        return 1.0
    # The finest scale of a small picture belongs to the style too. Sizes are rounded, hence a little more.
    held = max(size) <= 1.05 * min(recipe.content_until, max(final) / 2)
    return 1.0 if held else recipe.fine_content


def rounds(recipe: Recipe, evaluations: int, *, rematched: bool) -> list[int]:
    """The evaluations of a scale in rounds; each begins with new matches.

    Args:
        rematched: whether the scale is one at which matches are renewed.
    """
    every = recipe.rematch_every if rematched else 0
    if not every or every >= evaluations:
        return [evaluations]
    full, rest = divmod(evaluations, every)
    return [every] * full + ([rest] if rest else [])


def max_evaluations(recipe: Recipe, scale: int) -> int:
    """Evaluations at the ``scale``-th size (from 0), at least 1: an unevaluated picture has no loss."""
    return max(1, recipe.iterations[min(scale, len(recipe.iterations) - 1)])
