"""The pictures of a scene as the networks are to see them, and the painting as it is to be shown."""

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
    colour_moments,
    grey,
    match_lightness,
    match_palette,
    to_oklab,
    with_chroma,
)
from impasto.pictures.geometry import Size, resample
from impasto.recipe import Recipe
from impasto.scene.scene import Scene, Style

__all__ = ["in_style_colours", "keep_outside_regions", "postprocess", "preprocess"]


def preprocess(scene: Scene, recipe: Recipe, *, min_style_side: int = 1) -> Scene:
    """The scene as the networks are to see it, with the recipe's settings that concern its pictures.

    Styles are cropped and turned, what transparency hides is filled in, and colours are as asked for.

    Args:
        min_style_side: see :class:`Scene`.
    """
    scene = _each_style(scene, lambda style: _crop_and_turn(style, recipe))
    return replace(
        _coloured(_filled(scene), recipe),
        blend=recipe.style_blend,
        style_scale=recipe.style_scale,
        style_order=recipe.style_order,
        min_style_side=min_style_side,
    )


def postprocess(picture: Tensor, scene: Scene, recipe: Recipe) -> Tensor:
    """The picture to show for a canvas (1, 3, H, W).

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
    """``content`` where no region is, ``picture`` elsewhere; both (1, 3, H, W)."""
    masks = [region.mask for region in scene.regions if region.mask is not None]
    if not masks or len(masks) < len(scene.regions):
        return picture
    covered = resample(torch.stack(masks).sum(0), _size(picture))
    return torch.lerp(content, picture, covered.clamp(0.0, 1.0).to(picture.device))


def in_style_colours(scene: Scene, recipe: Recipe, size: Size) -> Tensor:
    """The content (1, 3, H, W) in the styles' colours and nothing else of theirs."""
    assert scene.content is not None, "checked with the plan"
    mean, second = _palette(scene.styles, recipe)
    content = resample(scene.content, size)
    mask = None if scene.content_mask is None else resample(scene.content_mask, size)
    return match_palette(content, mean, second, weights=mask)


def _size(picture: Tensor) -> Size:
    return int(picture.shape[-2]), int(picture.shape[-1])


def _each_style(scene: Scene, change: Callable[[Style], Style]) -> Scene:
    """The same with every style changed, those of the regions too."""
    styles = tuple(change(replace(style, position=i)) for i, style in enumerate(scene.styles))
    regions = tuple(
        replace(region, styles=tuple(change(style) for style in region.styles)) for region in scene.regions
    )
    return replace(scene, styles=styles, regions=regions)


def _filled(scene: Scene) -> Scene:
    """The same, with nothing left of the colours under full transparency."""
    content, mask = scene.content, scene.content_mask
    if content is not None and mask is not None:
        content = fill(content, mask)
    # A region's style mask is the user's choice, not transparency: what lies beside it was really there.
    styles = tuple(s if s.mask is None else replace(s, pixels=fill(s.pixels, s.mask)) for s in scene.styles)
    return replace(scene, content=content, styles=styles)


def _coloured(scene: Scene, recipe: Recipe) -> Scene:
    """The styles in the content's palette (``match``), or everything in greys (``content``)."""
    if recipe.colours not in ("match", "content") or scene.content is None:
        return scene
    palette = colour_moments(to_oklab(scene.content), scene.content_mask)
    change = match_palette if recipe.colours == "match" else match_lightness

    def brought_to_palette(style: Style) -> Style:
        return replace(style, pixels=change(style.pixels, *(style.palette or palette), weights=style.mask))

    changed = _each_style(scene, brought_to_palette)
    if recipe.colours == "match":
        return changed
    return replace(
        changed,
        content=match_lightness(scene.content, *palette, weights=scene.content_mask),
        start=None if scene.start is None else grey(scene.start),
        past=tuple(replace(past, pixels=grey(past.pixels)) for past in scene.past),
    )


def _crop_and_turn(style: Style, recipe: Recipe) -> Style:
    """The wanted part of a style picture, turned as wanted."""
    crops, angles, index = recipe.style_crop, recipe.style_rotation, style.position
    if crops:
        style = _cropped(style, crops[4 * index : 4 * index + 4] if len(crops) > 4 else crops)
    angle = (angles[index if len(angles) > 1 else 0] if angles else 0.0) % 360.0
    return _turned(style, angle) if angle else style


def _cropped(style: Style, box: tuple[int, ...]) -> Style:
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
    """Counter-clockwise; beyond quarter turns the corners that come in count for nothing."""
    quarters, rest = divmod(degrees, 90.0)
    pixels = style.pixels.rot90(int(quarters), (-2, -1))
    mask = None if style.mask is None else style.mask.rot90(int(quarters), (-2, -1))
    if not rest:
        return replace(style, pixels=pixels.contiguous(), mask=mask)
    height, width = pixels.shape[-2:]
    cos, sin = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    size = (round(height * cos + width * sin), round(width * cos + height * sin))
    # `affine_grid` maps the result's coordinates in [-1, 1] to the picture's.
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


def _palette(styles: tuple[Style, ...], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean and second moment of the styles' colours in OKLab, blended as the recipe says."""
    shares = torch.tensor(recipe.style_blend or (1.0,) * len(styles), dtype=torch.float64)
    shares = shares / shares.sum()
    moments = [colour_moments(to_oklab(style.pixels.cpu()), style.mask) for style in styles]
    means, seconds = (torch.stack(parts) for parts in zip(*moments, strict=True))
    return torch.einsum("s,si->i", shares, means), torch.einsum("s,sij->ij", shares, seconds)
