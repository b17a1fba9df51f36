"""The pictures that an objective is made from: styles, regions with styles of their own, a video's past."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.pictures.geometry import Size, mount, resample

__all__ = ["Past", "Region", "StyleSource"]


@dataclass(frozen=True)
class StyleSource:
    """A style picture at the size it is looked at.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W) in [0, 1], how much each pixel counts (its alpha); None: all alike.
        palette: mean (3,) and second moment (3, 3) in OKLab of the colours that it is brought to where
            colours are asked for so; None: those of the content it is painted with.
    """

    pixels: Tensor
    mask: Tensor | None = None
    palette: tuple[Tensor, Tensor] | None = None

    def resized(self, size: Size) -> StyleSource:
        """The same at another size, (height, width)."""
        mask = None if self.mask is None else resample(self.mask, size)
        return replace(self, pixels=resample(self.pixels, size), mask=mask)

    def to(self, device: torch.device) -> StyleSource:
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

    def mounted(self, rim: int) -> Past:
        """With ``rim`` pixels more on each side, of which nothing is certain."""
        return Past(mount(self.pixels, rim), mount(self.certainty, rim, empty=True), self.weight)


@dataclass(frozen=True)
class Region:
    """A part of the picture with styles of its own.

    Attributes:
        name: shown in the terms' names; empty for the only one.
        mask: (1, 1, H, W) in [0, 1] at the picture's size; None: all of it.
        styles: its style pictures.
        weight: of its style against the other regions'.
        blend: one weight per style; empty: all alike.
    """

    name: str
    mask: Tensor | None
    styles: tuple[StyleSource, ...]
    weight: float = 1.0
    blend: tuple[float, ...] = ()

    def mounted(self, rim: int) -> Region:
        """With ``rim`` pixels more on each side."""
        return self if self.mask is None else replace(self, mask=mount(self.mask, rim))

    @property
    def suffix(self) -> str:
        """What its terms' names end in."""
        return f"/{self.name}" if self.name else ""

    @property
    def area(self) -> float:
        """Its share of the picture."""
        return 1.0 if self.mask is None else float(self.mask.mean())
