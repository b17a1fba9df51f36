"""``Scene``: the pictures that one painting is made from, at their own sizes or at one scale of painting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.pictures.geometry import Size, add_margin, fit, resample
from impasto.pictures.outlines import outline_strength
from impasto.scene.colour_plan import ColourPlan
from impasto.scene.guidance import Guidance

__all__ = ["Past", "Region", "Scene", "Style", "overlay_past", "product"]


@dataclass(frozen=True)
class Style:
    """A style picture.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W) in [0, 1], how much each pixel counts: the picture's alpha, or a style mask, or
            both multiplied. None: all equally.
        palette: mean (3,) and second raw moment (3, 3) in OKLab of the colours that the style is given with
            ``colours`` ``match`` or ``content``; None: those of the scene's content.
        position: index of the picture among the scene's styles, by which settings with one entry per style
            picture are found.
        parts: (1, 1, h, w), on a coarse grid over the picture, the part of the style that each place belongs
            to, as an index (:class:`Guidance`); None: without guidance.
    """

    pixels: Tensor
    mask: Tensor | None = None
    palette: tuple[Tensor, Tensor] | None = None
    position: int = 0
    parts: Tensor | None = None

    def resized(self, size: Size) -> Style:
        """The style at another size, (height, width)."""
        mask = None if self.mask is None else resample(self.mask, size)
        return replace(self, pixels=resample(self.pixels, size), mask=mask)

    def to(self, device: torch.device) -> Style:
        """The style on ``device``."""
        mask, parts = (None if plane is None else plane.to(device) for plane in (self.mask, self.parts))
        return replace(self, pixels=self.pixels.to(device), mask=mask, parts=parts)

    def parts_at(self, indices: Tensor, grid: Size) -> Tensor:
        """The parts (n, 1) at flat indices (n,) of a grid (rows, columns) over the picture."""
        assert self.parts is not None, "asked only with guidance"
        height, width = self.parts.shape[-2:]
        rows, columns = indices // grid[1] * height // grid[0], indices % grid[1] * width // grid[1]
        return self.parts[0, 0, rows, columns][:, None]


@dataclass(frozen=True)
class Past:
    """An earlier painted frame of a video, warped along the motion to the frame that is painted now.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        certainty: (1, 1, H, W) in [0, 1], 0 where the earlier frame shows something else.
        weight: factor on its part of the temporal loss, ≥ 0.
    """

    pixels: Tensor
    certainty: Tensor
    weight: float

    def at(self, size: Size, margin: int, device: torch.device) -> Past:
        """The frame at one scale and on ``device``; in the margin of ``margin`` pixels the certainty is 0."""
        pixels, certainty = (resample(values, size).to(device) for values in (self.pixels, self.certainty))
        return Past(add_margin(pixels, margin), add_margin(certainty, margin, empty=True), self.weight)


@dataclass(frozen=True)
class Region:
    """A part of the picture with its styles; :mod:`impasto.masks.regions` makes regions from masks.

    Attributes:
        name: part of the names of losses; empty if the region is the whole picture.
        mask: (1, 1, H, W) in [0, 1], at the content's size; None: all of the picture.
        styles: its style pictures.
        weight: weight of its style loss relative to the other regions', ≥ 0.
        blend: one weight per style, relative to each other; empty: all equal.
        guidance: which parts of its styles suit which places; None: all suit everywhere.
    """

    name: str
    mask: Tensor | None
    styles: tuple[Style, ...]
    weight: float = 1.0
    blend: tuple[float, ...] = ()
    guidance: Guidance | None = None

    @property
    def area(self) -> float:
        """The share of the picture that it covers, in [0, 1]."""
        return 1.0 if self.mask is None else float(self.mask.mean())

    @property
    def style_shares(self) -> tuple[float, ...]:
        """One share per style, from ``blend``; they sum to 1."""
        weights = self.blend or (1.0,) * len(self.styles)
        return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class Scene:
    """The pictures that a painting is made from, with the settings that :meth:`at` needs.

    Attributes:
        content: (1, 3, H, W), sRGB, [0, 1]; None: a texture is made from the style alone.
        styles: the style pictures, at their own sizes.
        content_mask: (1, 1, H, W), the content's alpha; None: opaque. Where it is 0, the painting neither
            keeps content nor takes part in the comparison of styles.
        start: (1, 3, h, w), the picture to start from with ``init="picture"``. In the scene of an objective,
            the canvas as it is when the objective is built.
        aspect: without content, (height, width) of which the result has the aspect ratio; at a scale, its
            size.
        past: earlier frames of a video, at the result's size, nearest first. The temporal loss compares
            with them, and each finer scale starts from them where they are certain.
        regions: parts with their styles; empty: the whole picture has ``styles``. What lies in none of them
            stays as in the content.
        blend: one weight per style picture, used if there are no regions; empty: all equal.
        style_scale: size of the style pictures relative to the painting's, > 0.
        style_order: how several styles share the scales, as in :class:`impasto.recipe.Recipe`.
        min_style_side: the fewest pixels on a style picture's shorter side with which the deepest layer has
            a feature.
        style_statistics: size of a scale → :func:`impasto.painting.engine.style_statistics` at it. Where it
            is set, the style pictures are not used; for the frames of a video it is computed once.
        colour_plan: the colours that broad areas keep; None: they are left to the style.
        faces: (1, 1, h, w) in [0, 1], how much each place of the content counts as a face; of any size, at a
            scale of the scale's. None: there are none.
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
    colour_plan: ColourPlan | None = None
    faces: Tensor | None = None

    @cached_property
    def outlines(self) -> Tensor | None:
        """:func:`~impasto.pictures.outlines.outline_strength` of the content, for all terms and regions."""
        return None if self.content is None else outline_strength(self.content)

    @property
    def size(self) -> Size:
        """(height, width) of the content; without content, ``aspect``."""
        if self.content is None:
            return self.aspect
        return int(self.content.shape[-2]), int(self.content.shape[-1])

    @property
    def painted_regions(self) -> tuple[Region, ...]:
        """The regions, or the whole picture as the only one."""
        return self.regions or (Region("", None, self.styles, 1.0, self.blend),)

    @property
    def has_styles(self) -> bool:
        """Whether there are style pictures, or statistics of them, to compare with."""
        return bool(self.styles or self.style_statistics or any(region.styles for region in self.regions))

    @property
    def known_statistics(self) -> Mapping[str, Tensor] | None:
        """The entry of ``style_statistics`` for the scene's size; None: there is none."""
        return self.style_statistics.get(self.size)

    def at(self, size: Size, margin: int, device: torch.device, *, fineness: float = 1.0) -> Scene:
        """The scene as it is painted at one scale, all of it on ``device``.

        Args:
            size: (height, width) of the scale.
            margin: pixels painted beyond each edge: content, masks and past continue there by reflection.
            fineness: position of the scale between the coarsest (0) and the finest (1); with
                ``style_order="coarse-to-fine"`` it decides which styles count.

        Returns:
            A scene whose ``size`` includes the margin, which has at least one region and no ``start``.

        Raises:
            RecipeError: a style picture that is smaller than ``min_style_side``.
        """

        def resized(image: Tensor | None) -> Tensor | None:
            return None if image is None else add_margin(resample(image, size).to(device), margin)

        with_margin = (size[0] + 2 * margin, size[1] + 2 * margin)
        known = self.style_statistics.get(size)
        content_mask = resized(self.content_mask)
        return replace(
            self,
            content=resized(self.content),
            content_mask=content_mask,
            start=None,
            aspect=with_margin,
            past=tuple(past.at(size, margin, device) for past in self.past),
            regions=tuple(
                self._region_at(
                    region, product(resized(region.mask), content_mask), size, margin, device, fineness
                )
                for region in self.painted_regions
            ),
            style_statistics={} if known is None else {with_margin: known},
            colour_plan=None if self.colour_plan is None else self.colour_plan.at(size, margin, device),
            faces=resized(self.faces),
        )

    def _region_at(
        self,
        region: Region,
        mask: Tensor | None,
        size: Size,
        margin: int,
        device: torch.device,
        fineness: float,
    ) -> Region:
        """A region at a scale with the styles that count there, or with none if statistics are stored.

        Args:
            mask: the region's, at the scale.
            size: (height, width) of the scale, without the margin.
        """
        if size in self.style_statistics:
            return replace(region, mask=mask, styles=(), blend=(), guidance=None)
        shares = self._shares_at(region, fineness)
        used = [(style, share) for style, share in zip(region.styles, shares, strict=True) if share > 0]
        return replace(
            region,
            mask=mask,
            styles=tuple(self._style_at(style, max(size)).to(device) for style, _ in used),
            blend=tuple(share for _, share in used),
            guidance=None if region.guidance is None else region.guidance.at(size, margin, device),
        )

    def _shares_at(self, region: Region, fineness: float) -> tuple[float, ...]:
        """The weight of each style of a region at a scale."""
        weights = region.blend or (1.0,) * len(region.styles)
        if self.style_order == "together" or len(weights) < 2:
            return weights
        # Linear interpolation from each style to the next, so that at most two count at a scale.
        position = fineness * (len(weights) - 1)
        triangles = [max(0.0, 1.0 - abs(position - index)) for index in range(len(weights))]
        shares = tuple(weight * share for weight, share in zip(weights, triangles, strict=True))
        return shares if sum(shares) > 0 else weights

    def _style_at(self, style: Style, long_side: int) -> Style:
        """A style at a scale: its long side is the picture's times ``style_scale``, or at most its own."""
        height, width = style.pixels.shape[-2:]
        shortest, longest = sorted((height, width))
        if shortest < self.min_style_side:
            raise RecipeError(
                f"the style picture is {width}×{height} pixels",
                f"the deepest style layer needs at least {self.min_style_side} on the shorter side",
                "use a larger style picture or shallower --style-layers",
            )
        # The shorter side must not fall below what the deepest layer needs, as in a narrow style picture at a
        # coarse scale.
        wanted = max(
            1, round(long_side * self.style_scale), math.ceil(self.min_style_side * longest / shortest)
        )
        return style.resized(fit(height, width, min(longest, wanted)))


def product(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The product of two masks (1, 1, H, W); None stands for a mask of ones."""
    if mask is None or other is None:
        return other if mask is None else mask
    return mask * other


def overlay_past(picture: Tensor, past: Sequence[Past]) -> Tensor:
    """Earlier frames where they are certain, ``picture`` elsewhere, (1, 3, H, W).

    Args:
        picture: (1, 3, H, W), as large as the earlier frames.
        past: where several are certain, the first one is taken.
    """
    for earlier in reversed(past):
        picture = torch.lerp(picture, earlier.pixels, earlier.certainty)
    return picture
