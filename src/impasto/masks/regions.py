"""Makes regions, parts of the picture that each have styles of their own, from mask pictures.

Masks come in two kinds:

- Grey masks, one for each region, which is white in it. The i-th region gets the i-th style, or all get the
  only style. With style masks, the i-th region gets only the part of its style that is white in the i-th one.
- Coloured labels: one picture of flat colours for the content and one for each style. The region of a colour
  gets the parts of the styles that have the same colour.

What no mask covers, or what is black in a picture of labels, is left unpainted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import PictureError, RecipeError
from impasto.pictures import Picture
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style
from impasto.scene.checks import check_blend

__all__ = ["feathered", "is_grey", "labels", "regions_from_masks", "regions_of"]

#: A colour on a smaller share of a label picture than this is a soft edge between two others, not a label.
MIN_LABEL_AREA = 1e-3
#: More colours than this mean that the picture is not one of labels.
MAX_LABELS = 16


def is_grey(mask: Tensor) -> bool:
    """Whether a mask picture (1, 3, H, W) is grey, so that it has no coloured labels."""
    return float((mask.amax(1) - mask.amin(1)).max()) < 0.02


def labels(mask: Tensor) -> dict[str, Tensor]:
    """The labels in a picture of flat colours: colour (``#ff0000``) → mask (1, 1, H, W) of 0 and 1.

    Black is not a label. Only a colour that covers a thousandth of the picture or more is one, and each pixel
    belongs to the nearest; so edges that a drawing program has softened do not become labels.

    Args:
        mask: (1, 3, H, W), sRGB, [0, 1].

    Raises:
        PictureError: more than sixteen colours, as in a photograph or a JPEG.
    """
    levels = (mask[0] * 255).round().long()
    codes = (levels[0] << 16) + (levels[1] << 8) + levels[2]  # (H, W)
    colours, counts = codes.unique(return_counts=True)
    colours = colours[counts >= max(1.0, MIN_LABEL_AREA * codes.numel())]
    if len(colours) <= 8 * MAX_LABELS:
        areas = [colour for colour in colours if _is_area(codes == colour)]
        colours = torch.stack(areas or [codes.new_tensor(-1)])
    if not 1 <= len(colours) <= MAX_LABELS or int(colours[0]) < 0:
        raise PictureError(
            "the mask is not of a few flat colours",
            f"1 to {MAX_LABELS}, each on at least a thousandth of it",
            "draw it without softening and save it as PNG",
        )
    rgb = torch.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).float()  # (k, 3)
    nearest = torch.cdist(levels.flatten(1).T.float(), rgb).argmin(1).view(codes.shape)
    names = [f"#{int(colour):06x}" for colour in colours]
    return {
        name: (nearest == index).float()[None, None] for index, name in enumerate(names) if name != "#000000"
    }


def _is_area(mask: Tensor) -> bool:
    """Whether a mask (H, W) is wider than a line; a soft edge between labels is one or two pixels wide."""
    inner = -F.max_pool2d(-mask[None, None].float(), 3, 1, 1)
    return float(inner.sum()) > 0.1 * float(mask.sum())


def feathered(masks: Sequence[Tensor], feather: float) -> list[Tensor]:
    """Soften the edges of masks (1, 1, H, W) by three box blurs, which together approximate a Gaussian.

    Where the masks add up to 1, they still do afterwards.

    Args:
        feather: width of the soft edge as a share of the long side, from 0.
    """
    radius = round(feather * max(masks[0].shape[-2:]) / 2) if masks else 0
    if not radius:
        return list(masks)
    softened = []
    for mask in masks:
        for _ in range(3):
            for kernel, pad in (
                ((1, 2 * radius + 1), (radius, radius, 0, 0)),
                ((2 * radius + 1, 1), (0, 0, radius, radius)),
            ):
                mask = F.avg_pool2d(F.pad(mask, pad, mode="replicate"), kernel, 1)
        softened.append(mask)
    return softened


def regions_from_masks(
    scene: Scene, recipe: Recipe, masks: Sequence[Picture], style_masks: Sequence[Picture]
) -> tuple[Region, ...]:
    """The regions of a scene, from mask pictures, with the weights and soft edges of the recipe.

    Raises:
        PictureError, RecipeError: see :func:`regions_of`.
    """
    return regions_of(
        scene.size,
        scene.styles,
        [picture.pixels for picture in masks],
        [picture.pixels for picture in style_masks],
        weights=recipe.region_weights,
        blend=recipe.style_blend,
        feather=recipe.feather,
    )


def regions_of(
    content: Size,
    styles: Sequence[Style],
    masks: Sequence[Tensor],
    style_masks: Sequence[Tensor],
    *,
    weights: Sequence[float] = (),
    blend: Sequence[float] = (),
    feather: float = 0.0,
) -> tuple[Region, ...]:
    """The content's regions with their styles. Regions of weight 0, or without a style, are left out.

    Args:
        content: (height, width) of the content.
        styles: the style pictures.
        masks, style_masks: mask pictures (1, 3, h, w) as loaded.
        weights: one for each region, in the order of the masks, or of the labels' hexadecimal names.
        blend: one weight for each style, for labels that occur in several styles.
        feather: see :func:`feathered`.

    Raises:
        PictureError, RecipeError: masks, pictures and weights do not match each other.
    """
    if not masks:
        raise RecipeError(
            "a style mask without a mask of the content", "both", "crop the style with style_crop"
        )
    styles = [replace(style, position=position) for position, style in enumerate(styles)]
    resized = [_resized(mask, content, "mask", "content") for mask in masks]
    if len(resized) == 1 and not is_grey(resized[0]):
        regions = _from_labels(labels(resized[0]), styles, style_masks, blend)
    else:
        regions = _from_grey_masks(resized, styles, style_masks)
    if weights and len(weights) != len(regions):
        names = ", ".join(region.name for region in regions)
        raise RecipeError(
            f"{len(weights)} region weights for {len(regions)} regions ({names})",
            "one for each, 0 to leave it unpainted",
        )
    soft = feathered([region.mask for region in regions if region.mask is not None], feather)
    overlap = torch.stack(soft).sum(0).clamp_min(1.0)  # where masks overlap, they share the pixel
    painted = tuple(
        replace(region, mask=mask / overlap, weight=weight)
        for region, mask, weight in zip(regions, soft, weights or (1.0,) * len(regions), strict=True)
        if weight and region.styles
    )
    if not painted:  # a scene without regions would be painted as a whole
        raise RecipeError(
            "masks of which no region is painted", "at least one with a weight above 0 and a style"
        )
    return painted


def _from_labels(
    content_labels: Mapping[str, Tensor],
    styles: Sequence[Style],
    style_masks: Sequence[Tensor],
    blend: Sequence[float],
) -> list[Region]:
    if len(style_masks) != len(styles):
        raise RecipeError(
            f"{len(style_masks)} style masks for {len(styles)} styles and a mask of coloured labels",
            "one style mask for each style, in the same colours",
            "or give a grey mask for each style",
        )
    check_blend(blend, len(styles))
    style_labels = [
        labels(_resized(mask, _size(style.pixels), "style mask", "style"))
        for mask, style in zip(style_masks, styles, strict=True)
    ]
    if not set(content_labels) & {name for in_style in style_labels for name in in_style}:
        raise PictureError(
            f"the mask has the colours {', '.join(content_labels)}, the style masks none of them",
            "at least one in common",
        )
    shares = blend or (1.0,) * len(styles)
    regions = []
    for name, mask in content_labels.items():
        used = [i for i, in_style in enumerate(style_labels) if name in in_style and shares[i] > 0]
        region_styles = tuple(_masked(styles[i], style_labels[i][name]) for i in used)
        regions.append(Region(name.lstrip("#"), mask, region_styles, 1.0, tuple(shares[i] for i in used)))
    return regions


def _from_grey_masks(
    masks: Sequence[Tensor], styles: Sequence[Style], style_masks: Sequence[Tensor]
) -> list[Region]:
    if len(styles) not in (1, len(masks)) or len(style_masks) not in (0, len(masks)):
        raise RecipeError(
            f"{len(masks)} grey masks, {len(styles)} styles and {len(style_masks)} style masks",
            "one style for each mask or one for all, and one style mask for each mask or none",
        )
    regions = []
    for index, mask in enumerate(masks):
        style = styles[index if len(styles) > 1 else 0]
        if style_masks:
            style_mask = _resized(style_masks[index], _size(style.pixels), "style mask", "style")
            style = _masked(style, style_mask[:, :1])
        regions.append(Region(str(index + 1), mask[:, :1], (style,)))
    return regions


def _masked(style: Style, mask: Tensor) -> Style:
    """The style restricted to ``mask``; the other pixels stay, because features in it depend on them."""
    both = mask if style.mask is None else mask * style.mask
    if float(both.mean()) < 1e-3:
        raise PictureError("a style mask leaves less than a thousandth of the style", "a larger part of it")
    return replace(style, mask=both)


def _size(picture: Tensor) -> Size:
    return int(picture.shape[-2]), int(picture.shape[-1])


def _resized(mask: Tensor, size: Size, what: str, picture: str) -> Tensor:
    """A mask picture resized to its picture; ``PictureError`` for another aspect ratio."""
    height, width = mask.shape[-2:]
    if abs(height * size[1] - width * size[0]) > 0.02 * width * size[0]:
        raise PictureError(
            f"a {what} of {width}×{height} pixels for a {picture} of {size[1]}×{size[0]}",
            "the same aspect ratio, at any size",
        )
    return F.interpolate(mask, size, mode="nearest-exact")
