"""Checks that a recipe and the pictures of a scene fit each other, made before anything is painted."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.scene.scene import Scene

__all__ = ["check_blend", "check_scene"]


def check_scene(scene: Scene, recipe: Recipe, *, own_terms: bool = False) -> None:
    """Raise ``RecipeError`` if a setting needs pictures that the scene lacks, or another number of them.

    Args:
        scene: as loaded, before :func:`impasto.scene.preparing.preprocess`.
        own_terms: whether the objective has terms given by the caller, so that the recipe's weights do not
            require pictures.
    """
    check_blend(recipe.style_blend, len(scene.styles))
    if recipe.wants_style and not own_terms and not scene.styles:
        raise RecipeError("no style picture", "at least one", "give one or set style_weight to 0")
    wants_content = recipe.wants_content and not own_terms
    if scene.content is None and (wants_content or recipe.init in ("content", "instant")):
        raise RecipeError(
            "no content picture",
            "one, as its weight or the start asks for it",
            "for a texture set content_weight to 0 and init to noise",
        )
    if recipe.colours != "style" and (scene.content is None or not scene.styles):
        missing = "content" if scene.content is None else "style"
        raise RecipeError(
            f"colours {recipe.colours!r} without a {missing} picture",
            "both pictures, as one's colours go to the other",
            "leave colours at 'style'",
        )
    _check_lists(scene, recipe)
    if scene.regions and scene.content is None:
        raise RecipeError("masks without a content picture", "a picture for them to lie on")
    if recipe.init in ("instant", "style-colours") and not scene.styles:
        raise RecipeError("a start with the style's colours, but no style picture", "at least one")
    if recipe.init == "picture" and scene.start is None:
        raise RecipeError("a start from a picture, but no picture", "one with --init-image")


def check_blend(blend: Sequence[float], styles: int) -> None:
    """Raise ``RecipeError`` unless there is a weight for each of the style pictures, or none."""
    if len(blend) not in (0, styles):
        raise RecipeError(
            f"{len(blend)} style weights for {styles} style pictures",
            "one weight per style picture, or none for all alike",
            f"give {styles}",
        )


def _check_lists(scene: Scene, recipe: Recipe) -> None:
    """Check settings with one entry per style picture, and the number of pictures that an order needs."""
    count = len(scene.styles)
    for name, numbers_per_entry in (("style_rotation", 1), ("style_crop", 4)):
        entries = len(getattr(recipe, name)) // numbers_per_entry
        if entries > 1 and entries != count:
            raise RecipeError(
                f"{name} for {entries} of {count} style pictures", "one for all, or one per style picture"
            )
    if recipe.style_order == "coarse-to-fine" and count < 2:
        raise RecipeError(
            f"style_order 'coarse-to-fine' with {count} style picture", "two or more, the coarse one first"
        )
