"""What a picture is made from, and how the pictures are made ready before any network sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.colour import colour_moments, match_lightness, match_palette, to_oklab, with_chroma
from impasto.guidance import fill
from impasto.objective import Past, StyleSource
from impasto.recipe import Recipe
from impasto.scales import Size, resample

__all__ = ["Sources", "finished", "ready", "recoloured"]


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
        grams: what :func:`impasto.engine.style_grams` returned, so that the style is not looked at again for
            each frame.
    """

    content: Tensor | None
    styles: tuple[StyleSource, ...] = ()
    content_mask: Tensor | None = None
    start: Tensor | None = None
    canvas: Size = (1, 1)
    past: tuple[Past, ...] = ()
    grams: Mapping[Size, Mapping[str, Tensor]] | None = None

    @property
    def shape(self) -> Size:
        """(height, width) whose aspect ratio the result has."""
        if self.content is None:
            return self.canvas
        return int(self.content.shape[-2]), int(self.content.shape[-1])


def ready(sources: Sources, recipe: Recipe) -> Sources:
    """The pictures as the networks are to see them: nothing of what transparency hides, colours as asked."""
    return _coloured(_filled(sources), recipe)


def finished(picture: Tensor, sources: Sources, recipe: Recipe) -> Tensor:
    """The picture to show for a canvas (1, 3, H, W); ``sources`` as given, before :func:`ready`."""
    if recipe.colours != "content" or sources.content is None:
        return picture
    content = resample(sources.content, (picture.shape[-2], picture.shape[-1]))
    return with_chroma(picture, content.to(picture.device))


def recoloured(sources: Sources, recipe: Recipe, size: Size) -> Tensor:
    """The content (1, 3, H, W) in the styles' colours and nothing else of theirs."""
    assert sources.content is not None, "checked with the plan"
    mean, second = _palette(sources.styles, recipe)
    content = resample(sources.content, size)
    mask = None if sources.content_mask is None else resample(sources.content_mask, size)
    return match_palette(content, mean, second, weights=mask)


def _filled(sources: Sources) -> Sources:
    """The same, with nothing left of the colours under full transparency."""
    styles = tuple(
        s if s.mask is None else StyleSource(fill(s.pixels, s.mask), s.mask) for s in sources.styles
    )
    content, mask = sources.content, sources.content_mask
    if content is not None and mask is not None:
        content = fill(content, mask)
    return replace(sources, content=content, styles=styles)


def _coloured(sources: Sources, recipe: Recipe) -> Sources:
    """The styles in the content's palette (``match``), or everything in greys (``content``)."""
    if recipe.colours not in ("match", "content") or sources.content is None:
        return sources
    mean, second = colour_moments(to_oklab(sources.content), sources.content_mask)
    change = match_palette if recipe.colours == "match" else match_lightness
    styles = tuple(
        replace(one, pixels=change(one.pixels, mean, second, weights=one.mask)) for one in sources.styles
    )
    content = sources.content
    if recipe.colours == "content":
        content = match_lightness(content, mean, second, weights=sources.content_mask)
    return replace(sources, content=content, styles=styles)


def _palette(styles: tuple[StyleSource, ...], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean and second moment of the styles' colours in OKLab, blended as the recipe says."""
    shares = torch.tensor(recipe.style_blend or (1.0,) * len(styles), dtype=torch.float64)
    shares = shares / shares.sum()
    found = [colour_moments(to_oklab(one.pixels.cpu()), one.mask) for one in styles]
    means, seconds = (torch.stack(parts) for parts in zip(*found, strict=True))
    return torch.einsum("s,si->i", shares, means), torch.einsum("s,sij->ij", shares, seconds)
