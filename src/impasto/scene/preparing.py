"""What is done to the pictures of a scene before painting (preprocess) and to the result (postprocess)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError
from impasto.pictures.alpha import fill
from impasto.pictures.colour import (
    grey,
    match_lightness,
    match_palette,
    mixed,
    palette_moments,
    with_chroma,
)
from impasto.pictures.geometry import Size, resample
from impasto.recipe import Recipe
from impasto.scene.scene import Scene, Style, product

__all__ = ["in_style_colours", "keep_outside_regions", "postprocess", "preprocess"]


def preprocess(scene: Scene, recipe: Recipe, *, min_style_side: int = 1) -> Scene:
    """The scene with the recipe's settings for its pictures applied, ready to be painted.

    Styles are cropped and rotated, fully transparent areas are filled in, and colours are changed as
    ``recipe.colours`` says. The settings that :meth:`Scene.at` needs are copied into the scene.

    Args:
        min_style_side: see :class:`Scene`.

    Raises:
        RecipeError: a crop that is not a part of its style picture.
    """
    scene = _each_style(scene, lambda style: _crop_and_turn(style, recipe))
    scene = replace(
        _filled(scene),
        blend=recipe.style_blend,
        style_scale=recipe.style_scale,
        style_order=recipe.style_order,
        min_style_side=min_style_side,
    )
    return _coloured(scene, recipe)


def postprocess(picture: Tensor, scene: Scene, recipe: Recipe) -> Tensor:
    """The result for a painted ``picture``, both (1, 3, H, W), sRGB, [0, 1].

    With ``colours="content"`` hue and chroma are the content's. Outside of all regions the content is shown.

    Args:
        scene: as it was before :func:`preprocess`.
    """
    if scene.content is None or (recipe.colours != "content" and not scene.regions):
        return picture
    content = resample(scene.content, _size(picture)).to(picture.device)
    if recipe.colours == "content":
        picture = with_chroma(picture, content)
    return keep_outside_regions(picture, content, scene)


def keep_outside_regions(picture: Tensor, content: Tensor, scene: Scene) -> Tensor:
    """``picture`` in the scene's regions, ``content`` outside of all of them; both (1, 3, H, W).

    If there is no region, or one without a mask, ``picture`` is returned.
    """
    masks = [region.mask for region in scene.regions if region.mask is not None]
    if not masks or len(masks) < len(scene.regions):
        return picture
    covered = resample(torch.stack(masks).sum(0), _size(picture))
    return torch.lerp(content, picture, covered.clamp(0.0, 1.0).to(picture.device))


def in_style_colours(scene: Scene, recipe: Recipe, size: Size) -> Tensor:
    """The content (1, 3, H, W) at ``size`` in the styles' colours, without their strokes.

    Args:
        scene: with content and styles, after :func:`preprocess`.
    """
    assert scene.content is not None, "check_scene requires a content picture for this"
    content = resample(scene.content, size)
    mask = None if scene.content_mask is None else resample(scene.content_mask, size)
    return match_palette(content, *_palette(scene.styles, recipe.style_blend), weights=mask)


def _size(picture: Tensor) -> Size:
    return int(picture.shape[-2]), int(picture.shape[-1])


def _each_style(scene: Scene, change: Callable[[Style], Style]) -> Scene:
    """The scene with ``change`` applied to all its styles, regions' included; positions are set first."""
    styles = tuple(change(replace(style, position=i)) for i, style in enumerate(scene.styles))
    regions = tuple(
        replace(region, styles=tuple(change(style) for style in region.styles)) for region in scene.regions
    )
    return replace(scene, styles=styles, regions=regions)


def _filled(scene: Scene) -> Scene:
    """The scene with fully transparent pixels of content and styles replaced by the colours around them."""
    content, mask = scene.content, scene.content_mask
    if content is not None and mask is not None:
        content = fill(content, mask)
    # The styles of regions are left as they are: their masks select a part of an opaque picture, and what
    # lies beside that part has colours that mean something.
    styles = tuple(
        style if style.mask is None else replace(style, pixels=fill(style.pixels, style.mask))
        for style in scene.styles
    )
    return replace(scene, content=content, styles=styles)


def _coloured(scene: Scene, recipe: Recipe) -> Scene:
    """The scene with colours changed for ``recipe.colours``; unchanged for ``only``.

    ``style``: the content takes the styles' palette as far as ``recipe.recolour`` says. ``match``: the styles
    get the content's palette. ``content``: all pictures become grey, and the styles get the content's
    distribution of lightness.
    """
    if recipe.colours == "only" or scene.content is None:
        return scene
    if recipe.colours == "style":
        return replace(scene, content=_recoloured(scene.content, scene, recipe))
    palette = palette_moments(scene.content, scene.content_mask)
    change = match_palette if recipe.colours == "match" else match_lightness

    def in_palette(style: Style) -> Style:
        return replace(style, pixels=change(style.pixels, *(style.palette or palette), weights=style.mask))

    changed = _each_style(scene, in_palette)
    if recipe.colours == "match":
        return changed
    return replace(
        changed,
        content=match_lightness(scene.content, *palette, weights=scene.content_mask),
        start=None if scene.start is None else grey(scene.start),
        past=tuple(replace(past, pixels=grey(past.pixels)) for past in scene.past),
    )


def _recoloured(content: Tensor, scene: Scene, recipe: Recipe) -> Tensor:
    """The content (1, 3, H, W) with the palette of the styles that it is painted in, region by region.

    A content loss holds some hues of the photograph, which the style's colours then cover in patches only.
    """
    share = recipe.recolour * min(1.0, 2.0 * recipe.transfer_strength)
    if not share or not recipe.wants_style:
        return content
    result = content
    for region in scene.painted_regions:
        weights = product(region.mask, scene.content_mask)
        if not region.styles or not (weights is None or weights.any()):
            continue
        palette = _palette(region.styles, region.blend)
        recoloured = mixed(match_palette(content, *palette, weights=weights), content, share)
        result = recoloured if region.mask is None else result + region.mask * (recoloured - content)
    return result


def _crop_and_turn(style: Style, recipe: Recipe) -> Style:
    """A style picture cropped and then rotated as the recipe says for its position."""
    crops, angles, index = recipe.style_crop, recipe.style_rotation, style.position
    if crops:
        style = _cropped(style, crops[4 * index : 4 * index + 4] if len(crops) > 4 else crops)
    angle = (angles[index if len(angles) > 1 else 0] if angles else 0.0) % 360.0
    return _turned(style, angle) if angle else style


def _cropped(style: Style, box: tuple[int, ...]) -> Style:
    """The part of a style picture in ``box``: left, top, width and height in pixels."""
    x, y, width, height = box
    rows, columns = style.pixels.shape[-2:]
    if x + width > columns or y + height > rows or not (width and height):
        raise RecipeError(
            f"style_crop {x},{y},{width},{height} of a style picture of {columns}×{rows} pixels",
            "left, top, width and height of a part of it",
        )
    place = (..., slice(y, y + height), slice(x, x + width))
    return replace(style, pixels=style.pixels[place], mask=None if style.mask is None else style.mask[place])


def _turned(style: Style, degrees: float) -> Style:
    """A style picture rotated counter-clockwise by 0 to 360 degrees.

    Except at multiples of 90 degrees the result is larger than the picture, and in the corners that do not
    show it the mask is 0.
    """
    quarters, rest = divmod(degrees, 90.0)
    pixels = style.pixels.rot90(int(quarters), (-2, -1))
    mask = None if style.mask is None else style.mask.rot90(int(quarters), (-2, -1))
    if not rest:
        return replace(style, pixels=pixels.contiguous(), mask=mask)
    height, width = pixels.shape[-2:]
    cos, sin = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    size = (round(height * cos + width * sin), round(width * cos + height * sin))
    # affine_grid maps coordinates of the result, in [-1, 1], to those of the picture.
    theta = torch.tensor([
        [cos * size[1] / width, -sin * size[0] / width, 0.0],
        [sin * size[1] / height, cos * size[0] / height, 0.0],
    ])  # fmt: skip
    points = F.affine_grid(theta[None], [1, 1, *size], align_corners=False).to(pixels.device)
    weights = torch.ones_like(pixels[:, :1]) if mask is None else mask
    turned = F.grid_sample(
        torch.cat([pixels, weights], 1), points, padding_mode="border", align_corners=False
    )
    inside = (points.abs().amax(-1) <= 1.0).to(pixels)[:, None]
    weights = turned[:, 3:] * inside
    return replace(style, pixels=fill(turned[:, :3].clamp(0.0, 1.0), weights), mask=weights)


def _palette(styles: tuple[Style, ...], blend: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Mean (3,) and second moment (3, 3) of the styles' colours in OKLab, averaged by ``blend``."""
    shares = torch.tensor(blend or (1.0,) * len(styles), dtype=torch.float64)
    shares = shares / shares.sum()
    moments = [palette_moments(style.pixels.cpu(), style.mask) for style in styles]
    means, second_moments = (torch.stack(values) for values in zip(*moments, strict=True))
    return torch.einsum("s,si->i", shares, means), torch.einsum("s,sij->ij", shares, second_moments)
