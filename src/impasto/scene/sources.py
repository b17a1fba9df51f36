"""What a picture is made from, and how the pictures are made ready before any network sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError
from impasto.losses.objective import Past, StyleSource
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

__all__ = ["Part", "Sources", "finished", "kept", "ready", "recoloured"]


@dataclass(frozen=True)
class Part:
    """A region of the content with styles of its own; see ``regions.py`` for how masks become parts.

    Attributes:
        name: shown in the terms' names.
        mask: (1, 1, H, W) in [0, 1], at the content's size.
        styles: of this part.
        weight: of its style against the other parts'.
        blend: one weight per style; empty: all alike.
    """

    name: str
    mask: Tensor
    styles: tuple[StyleSource, ...]
    weight: float = 1.0
    blend: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sources:
    """What a picture is made from.

    Attributes:
        content: (1, 3, H, W), sRGB, [0, 1]; None: a texture, of the style alone.
        styles: one or more style pictures, at their own sizes.
        content_mask: (1, 1, H, W), the content's alpha; None: opaque.
        start: (1, 3, h, w), the picture to start from with ``init="picture"``.
        canvas: (height, width) that a result without content has the aspect ratio of.
        past: earlier frames of a video, at the result's size, nearest first: the result is held to them, and
            each finer scale starts from them where they are certain.
        grams: what :func:`impasto.painting.engine.style_grams` returned, so that the style is not looked at
            again for each frame.
        parts: regions with their own styles; empty: one, all of the picture. What lies in none of them
            stays as it is.
    """

    content: Tensor | None
    styles: tuple[StyleSource, ...] = ()
    content_mask: Tensor | None = None
    start: Tensor | None = None
    canvas: Size = (1, 1)
    past: tuple[Past, ...] = ()
    grams: Mapping[Size, Mapping[str, Tensor]] | None = None
    parts: tuple[Part, ...] = ()

    @property
    def shape(self) -> Size:
        """(height, width) whose aspect ratio the result has."""
        if self.content is None:
            return self.canvas
        return int(self.content.shape[-2]), int(self.content.shape[-1])


def ready(sources: Sources, recipe: Recipe) -> Sources:
    """The pictures as the networks are to see them.

    The part of the style that is wanted, turned; nothing of what transparency hides; colours as asked.
    """
    placed = _each_style(sources, lambda index, one: _placed(one, recipe, index))
    return _coloured(_filled(placed), recipe)


def finished(picture: Tensor, sources: Sources, recipe: Recipe) -> Tensor:
    """The picture to show for a canvas (1, 3, H, W); ``sources`` as given, before :func:`ready`."""
    if sources.content is None or (recipe.colours != "content" and not sources.parts):
        return picture
    size = (picture.shape[-2], picture.shape[-1])
    content = resample(sources.content, size).to(picture.device)
    if recipe.colours == "content":
        picture = with_chroma(picture, content)
    return kept(picture, content, sources)


def kept(picture: Tensor, content: Tensor, sources: Sources) -> Tensor:
    """``content`` where no part is, ``picture`` elsewhere; both (1, 3, H, W)."""
    if not sources.parts:
        return picture
    covered = resample(torch.stack([part.mask for part in sources.parts]).sum(0), _size(picture))
    return torch.lerp(content, picture, covered.clamp(0.0, 1.0).to(picture.device))


def _size(picture: Tensor) -> Size:
    return int(picture.shape[-2]), int(picture.shape[-1])


def recoloured(sources: Sources, recipe: Recipe, size: Size) -> Tensor:
    """The content (1, 3, H, W) in the styles' colours and nothing else of theirs."""
    assert sources.content is not None, "checked with the plan"
    mean, second = _palette(sources.styles, recipe)
    content = resample(sources.content, size)
    mask = None if sources.content_mask is None else resample(sources.content_mask, size)
    return match_palette(content, mean, second, weights=mask)


def _each_style(sources: Sources, change: Callable[[int, StyleSource], StyleSource]) -> Sources:
    """The same with every style changed, those of the parts too; the index is that of the style picture."""
    pictures = [one.pixels for one in sources.styles]

    def changed(styles: tuple[StyleSource, ...]) -> tuple[StyleSource, ...]:
        return tuple(change(_index(pictures, one.pixels), one) for one in styles)

    parts = tuple(replace(part, styles=changed(part.styles)) for part in sources.parts)
    return replace(sources, styles=changed(sources.styles), parts=parts)


def _index(pictures: Sequence[Tensor], one: Tensor) -> int:
    return next((i for i, other in enumerate(pictures) if other is one), 0)


def _filled(sources: Sources) -> Sources:
    """The same, with nothing left of the colours under full transparency."""
    content, mask = sources.content, sources.content_mask
    if content is not None and mask is not None:
        content = fill(content, mask)
    # A part's style mask is the user's choice, not transparency: what lies beside it was really there.
    styles = tuple(s if s.mask is None else replace(s, pixels=fill(s.pixels, s.mask)) for s in sources.styles)
    return replace(sources, content=content, styles=styles)


def _coloured(sources: Sources, recipe: Recipe) -> Sources:
    """The styles in the content's palette (``match``), or everything in greys (``content``)."""
    if recipe.colours not in ("match", "content") or sources.content is None:
        return sources
    own = colour_moments(to_oklab(sources.content), sources.content_mask)
    change = match_palette if recipe.colours == "match" else match_lightness
    done = _each_style(
        sources,
        lambda _, one: replace(one, pixels=change(one.pixels, *(one.palette or own), weights=one.mask)),
    )
    if recipe.colours == "match":
        return done
    return replace(
        done,
        content=match_lightness(sources.content, *own, weights=sources.content_mask),
        start=None if sources.start is None else grey(sources.start),
        past=tuple(replace(one, pixels=grey(one.pixels)) for one in sources.past),
    )


def _placed(style: StyleSource, recipe: Recipe, index: int) -> StyleSource:
    """The wanted part of a style picture, turned as wanted."""
    crops, angles = recipe.style_crop, recipe.style_rotation
    if crops:
        style = _cropped(style, crops[4 * index : 4 * index + 4] if len(crops) > 4 else crops)
    angle = (angles[index if len(angles) > 1 else 0] if angles else 0.0) % 360.0
    return _turned(style, angle) if angle else style


def _cropped(style: StyleSource, box: tuple[int, ...]) -> StyleSource:
    x, y, width, height = box
    rows, columns = style.pixels.shape[-2:]
    if x + width > columns or y + height > rows or not (width and height):
        raise RecipeError(
            f"style_crop {x},{y},{width},{height} of a style picture of {columns}×{rows} pixels",
            "left, top, width and height of a part of it",
        )
    place = (..., slice(y, y + height), slice(x, x + width))
    return replace(style, pixels=style.pixels[place], mask=None if style.mask is None else style.mask[place])


def _turned(style: StyleSource, degrees: float) -> StyleSource:
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
    at = F.affine_grid(theta[None], [1, 1, *size], align_corners=False).to(pixels.device)
    own = torch.ones_like(pixels[:, :1]) if mask is None else mask
    whole = F.grid_sample(torch.cat([pixels, own], 1), at, padding_mode="border", align_corners=False)
    inside = (at.abs().amax(-1) <= 1.0).to(pixels)[:, None]
    counts = whole[:, 3:] * inside
    return replace(style, pixels=fill(whole[:, :3].clamp(0.0, 1.0), counts), mask=counts)


def _palette(styles: tuple[StyleSource, ...], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean and second moment of the styles' colours in OKLab, blended as the recipe says."""
    shares = torch.tensor(recipe.style_blend or (1.0,) * len(styles), dtype=torch.float64)
    shares = shares / shares.sum()
    found = [colour_moments(to_oklab(one.pixels.cpu()), one.mask) for one in styles]
    means, seconds = (torch.stack(parts) for parts in zip(*found, strict=True))
    return torch.einsum("s,si->i", shares, means), torch.einsum("s,sij->ij", shares, seconds)
