"""Instant transfer of a scene, with the recipe's size, colours, regions and strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.feedforward.network import TILE, InstantNetwork, StyledRegion, styled_regions
from impasto.feedforward.style import InstantStyle
from impasto.losses.terms import Term
from impasto.networks.encoder import Encoder
from impasto.painting.engine import MemoryLimits, Step
from impasto.painting.schedule import output_size
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe
from impasto.scene import Scene
from impasto.scene.checks import check_scene
from impasto.scene.preparing import in_style_colours, postprocess, preprocess

__all__ = ["check", "paint", "steps", "style_of"]


def steps(
    scene: Scene,
    recipe: Recipe,
    encoder: Encoder,
    *,
    limits: MemoryLimits | None = None,
    styles: Sequence[InstantStyle] = (),
) -> Iterator[Step]:
    """Yield the picture as a single :class:`~impasto.painting.engine.Step`, as the engine yields several.

    Args:
        limits: only its ``tile`` is used; None: tiles of 512 pixels.
        styles: used instead of the scene's style pictures.
    """
    picture = paint(scene, recipe, encoder, tile=(limits and limits.tile) or TILE, styles=styles)
    size = (int(picture.shape[-2]), int(picture.shape[-1]))
    yield Step(1, 1, size, 1, 1, 1, 1, 0.0, {}, 0.0, picture, None, last=True)


def check(
    scene: Scene, recipe: Recipe, styles: Sequence[InstantStyle] = (), terms: Sequence[Term] | None = None
) -> None:
    """Raise ``RecipeError`` if instant transfer cannot paint this scene by this recipe."""
    if terms is not None:
        raise RecipeError("terms with method 'instant'", "it has no objective", "leave the terms out")
    if scene.content is None:
        raise RecipeError(
            "no content picture with method 'instant'", "a content picture", "make a texture by optimisation"
        )
    if not styles:
        check_scene(scene, recipe)
        return
    if recipe.colours != "style" or recipe.style_rotation or recipe.style_crop or scene.regions:
        raise RecipeError(
            "colours, rotation, crop or masks with a saved style",
            "these need the style's picture",
            "give the picture instead",
        )


@torch.no_grad()
def paint(
    scene: Scene,
    recipe: Recipe,
    encoder: Encoder,
    *,
    tile: int | None = TILE,
    styles: Sequence[InstantStyle] = (),
) -> Tensor:
    """The scene's content in its styles, (1, 3, H, W) at the recipe's size.

    Args:
        encoder: ``compact``.
        tile: side of the tiles that larger pictures are painted in; None: paint them whole.
        styles: used instead of the scene's style pictures, blended as the recipe says.
    """
    check(scene, recipe, styles)
    size, device = output_size(recipe, *scene.size), encoder.device
    prepared = preprocess(scene, recipe)
    if recipe.colours == "only":
        return postprocess(in_style_colours(prepared, recipe, size), scene, recipe)
    network = InstantNetwork.embedded(encoder)
    if styles:
        assert prepared.content is not None
        content = resample(prepared.content, size).to(device)
        style = InstantStyle.blend(styles, recipe.style_blend)
        network, regions = network.learned(style), [StyledRegion(style)]
    else:
        at_size = prepared.at(size, 0, device)
        assert at_size.content is not None
        content = at_size.content
        regions = styled_regions(network, at_size, tile=tile)
    picture = network.paint(content, regions, strength=recipe.transfer_strength, seed=recipe.seed, tile=tile)
    return postprocess(picture, scene, recipe)


@torch.no_grad()
def style_of(scene: Scene, recipe: Recipe, encoder: Encoder, *, tile: int | None = TILE) -> InstantStyle:
    """The statistics of the scene's only style at the recipe's size, as :func:`paint` would take them.

    Raises:
        ValueError: several styles, or styles for regions.
    """
    at_size = preprocess(scene, recipe).at(output_size(recipe, *scene.size), 0, encoder.device)
    (region,) = styled_regions(InstantNetwork.embedded(encoder), at_size, tile=tile)
    return region.style
