"""The colours that ``keep_colours`` holds: those of the content as instant transfer paints it."""

from __future__ import annotations

from impasto.networks.encoder import Encoder
from impasto.painting.starts import instant_picture
from impasto.pictures.geometry import fit
from impasto.recipe import Recipe
from impasto.scene import ColourPlan, Scene

__all__ = ["colour_plan"]

#: Longer side in pixels of the picture that the colours are taken from, at most. Areas are coarser.
SIDE = 256


def colour_plan(scene: Scene, recipe: Recipe, encoder: Encoder) -> ColourPlan | None:
    """The colours that broad areas keep; None: ``keep_colours`` is 0, or there is nothing to take them from.

    Instant transfer leaves each colour of the content in its place and takes it to the style. So does a map
    of colours alone (:func:`~impasto.pictures.colour.match_palette`), but judges found its paintings duller.

    Args:
        scene: prepared (:func:`~impasto.scene.preparing.preprocess`).
        encoder: that of the painting, by which device and precision are chosen.
    """
    if scene.content is None or not (recipe.keep_colours and recipe.wants_content and recipe.wants_style):
        return None
    painted = instant_picture(scene, recipe, encoder, fit(*scene.size, min(SIDE, max(scene.size))))
    return None if painted is None else ColourPlan.of(painted)
