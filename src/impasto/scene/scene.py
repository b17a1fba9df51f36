"""``Scene``: what one painting is made from, and the same at a scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.pictures.geometry import Size, add_margin, fit, resample

__all__ = ["Past", "Region", "Scene", "Style", "overlay_past"]


@dataclass(frozen=True)
class Style:
    """A style picture.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W) in [0, 1], how much each pixel counts (its alpha); None: all alike.
        palette: mean (3,) and second moment (3, 3) in OKLab of the colours that it is brought to where
            colours are asked for so; None: those of the content it is painted with.
        position: which of the scene's style pictures it is, from 0.
    """

    pixels: Tensor
    mask: Tensor | None = None
    palette: tuple[Tensor, Tensor] | None = None
    position: int = 0

    def resized(self, size: Size) -> Style:
        """The same at another size, (height, width)."""
        mask = None if self.mask is None else resample(self.mask, size)
        return replace(self, pixels=resample(self.pixels, size), mask=mask)

    def to(self, device: torch.device) -> Style:
        """The same on ``device``."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, pixels=self.pixels.to(device), mask=mask)


@dataclass(frozen=True)
class Past:
    """An earlier stylised frame, warped to where its parts are now: what a frame of a video should look like.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        certainty: (1, 1, H, W) in [0, 1], 0 where the past saw something else.
        weight: of its term in the total.
    """

    pixels: Tensor
    certainty: Tensor
    weight: float

    def at(self, size: Size, margin: int, device: torch.device) -> Past:
        """The same at a scale; nothing is certain in the margin."""
        pixels, certainty = (resample(x, size).to(device) for x in (self.pixels, self.certainty))
        return Past(add_margin(pixels, margin), add_margin(certainty, margin, empty=True), self.weight)


@dataclass(frozen=True)
class Region:
    """A part of the picture with styles of its own; :mod:`impasto.masks.regions` makes regions of masks.

    Attributes:
        name: shown in the terms' names; empty for the only one.
        mask: (1, 1, H, W) in [0, 1], at the content's size; None: all of the picture.
        styles: its style pictures.
        weight: of its style against the other regions'.
        blend: one weight per style; empty: all alike.
    """

    name: str
    mask: Tensor | None
    styles: tuple[Style, ...]
    weight: float = 1.0
    blend: tuple[float, ...] = ()

    @property
    def area(self) -> float:
        """Its share of the picture."""
        return 1.0 if self.mask is None else float(self.mask.mean())

    @property
    def style_shares(self) -> tuple[float, ...]:
        """One share per style; they sum to 1."""
        weights = self.blend or (1.0,) * len(self.styles)
        return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class Scene:
    """What a painting is made from.

    Attributes:
        content: (1, 3, H, W), sRGB, [0, 1]; None: a texture, of the style alone.
        styles: the style pictures, at their own sizes.
        content_mask: (1, 1, H, W), the content's alpha; None: opaque. Where it is 0, the painting neither
            keeps content nor takes part in the comparison of styles.
        start: (1, 3, h, w), the picture to start from with ``init="picture"``; at a scale, the canvas as the
            scale begins.
        aspect: (height, width) that a result without content has the aspect ratio of.
        past: earlier frames of a video, at the result's size, nearest first: the result is held to them, and
            each finer scale starts from them where they are certain.
        regions: parts with styles of their own; empty: one, all of the picture. What lies in none of them
            stays as it is.
        blend: one weight per style picture, where there are no regions; empty: all alike.
        style_scale: size of the style pictures against the painting's.
        style_order: how several styles share the scales, as in :class:`impasto.recipe.Recipe`.
        min_style_side: pixels that a style picture must keep on its shorter side, for the deepest layer to
            see anything.
        style_statistics: size → what :func:`impasto.painting.engine.style_statistics` returned for it, so
            that the styles need not be looked at again for each frame of a clip.
    """

    content: Tensor | None
    styles: tuple[Style, ...] = ()
    content_mask: Tensor | None = None
    start: Tensor | None = None
    aspect: Size = (1, 1)
    past: tuple[Past, ...] = ()
    regions: tuple[Region, ...] = ()
    blend: tuple[float, ...] = ()
    style_scale: float = 1.0
    style_order: str = "together"
    min_style_side: int = 1
    style_statistics: Mapping[Size, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """(height, width) of the content; without one, the aspect ratio asked for."""
        if self.content is None:
            return self.aspect
        return int(self.content.shape[-2]), int(self.content.shape[-1])

    @property
    def has_styles(self) -> bool:
        """Whether there is a style to compare with."""
        return bool(self.styles or self.style_statistics or any(region.styles for region in self.regions))

    @property
    def known_statistics(self) -> Mapping[str, Tensor] | None:
        """What is known of the styles at the scene's size already; None: nothing."""
        return self.style_statistics.get(self.size)

    def at(self, size: Size, margin: int, device: torch.device, *, fineness: float = 1.0) -> Scene:
        """The scene as it is painted at one scale, all of it on ``device``.

        Args:
            size: (height, width) of the scale.
            margin: pixels painted beyond each edge: content, masks and past continue there by reflection.
            fineness: where the scale stands between the coarsest (0) and the finest (1); with
                ``style_order="coarse-to-fine"`` it says which styles count.

        Returns:
            A scene whose ``size`` includes the margin, and which has at least one region.
        """

        def placed(image: Tensor | None) -> Tensor | None:
            return None if image is None else add_margin(resample(image, size).to(device), margin)

        with_margin = (size[0] + 2 * margin, size[1] + 2 * margin)
        known = self.style_statistics.get(size)
        content_mask = placed(self.content_mask)
        whole = Region("", None, self.styles, 1.0, self.blend)
        return replace(
            self,
            content=placed(self.content),
            content_mask=content_mask,
            start=None,
            aspect=with_margin,
            past=tuple(past.at(size, margin, device) for past in self.past),
            regions=tuple(
                self._region_at(region, _both(placed(region.mask), content_mask), size, device, fineness)
                for region in self.regions or (whole,)
            ),
            style_statistics={} if known is None else {with_margin: known},
        )

    def _region_at(
        self,
        region: Region,
        mask: Tensor | None,
        size: Size,
        device: torch.device,
        fineness: float,
    ) -> Region:
        """A region at a scale with the styles that count there; none where their statistics are known."""
        if size in self.style_statistics:
            return replace(region, mask=mask, styles=(), blend=())
        shares = self._shares_at(region, fineness)
        used = [(style, share) for style, share in zip(region.styles, shares, strict=True) if share > 0]
        return replace(
            region,
            mask=mask,
            styles=tuple(self._style_at(style, max(size)).to(device) for style, _ in used),
            blend=tuple(share for _, share in used),
        )

    def _shares_at(self, region: Region, fineness: float) -> tuple[float, ...]:
        """How much each style of a region counts at a scale."""
        weights = region.blend or (1.0,) * len(region.styles)
        if self.style_order == "together" or len(weights) < 2:
            return weights
        # From one style to the next in turn: a triangle around each, so at most two count at once.
        place = fineness * (len(weights) - 1)
        triangles = [max(0.0, 1.0 - abs(place - index)) for index in range(len(weights))]
        shares = tuple(weight * share for weight, share in zip(weights, triangles, strict=True))
        return shares if sum(shares) > 0 else weights

    def _style_at(self, style: Style, long_side: int) -> Style:
        """A style at a scale: as large as the picture times ``style_scale``, never larger than it is."""
        height, width = style.pixels.shape[-2:]
        shortest, longest = sorted((height, width))
        if shortest < self.min_style_side:
            raise RecipeError(
                f"the style picture is {width}×{height} pixels",
                f"the deepest style layer needs at least {self.min_style_side} on the shorter side",
                "use a larger style picture or shallower --style-layers",
            )
        # A long thin style picture at a coarse scale stays as large as the deepest layer needs it.
        wanted = max(
            1, round(long_side * self.style_scale), math.ceil(self.min_style_side * longest / shortest)
        )
        return style.resized(fit(height, width, min(longest, wanted)))


def _both(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Where both masks are; None: everywhere."""
    if mask is None or other is None:
        return other if mask is None else mask
    return mask * other


def overlay_past(picture: Tensor, past: Sequence[Past]) -> Tensor:
    """The past where it is certain, ``picture`` elsewhere; the first of ``past`` has the last word.

    Args:
        picture: (1, 3, H, W), as large as the past.
    """
    for earlier in reversed(past):
        picture = torch.lerp(picture, earlier.pixels, earlier.certainty)
    return picture
