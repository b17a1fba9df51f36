"""Sizes, resampling, margins and tiles: pure geometry of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError

__all__ = [
    "Size",
    "Tile",
    "add_margin",
    "crop_margin",
    "fit",
    "resample",
    "resample_signed",
    "resample_wrapped",
    "schedule",
    "tiles",
    "to_multiple",
]

Size = tuple[int, int]


def fit(height: int, width: int, long_side: int) -> Size:
    """The (height, width) of the same aspect ratio whose longer side is ``long_side``; each is at least 1."""
    longest = max(height, width)
    return max(1, round(height * long_side / longest)), max(1, round(width * long_side / longest))


def schedule(height: int, width: int, coarsest: int, shortest: int) -> list[Size]:
    """Sizes from coarse to fine, ending at (height, width), each about twice the one before.

    Args:
        coarsest: desired long side of the first size in pixels; the actual one lies within a factor of √2,
            if the picture is large enough.
        shortest: least short side of any size in pixels, as the deepest layer needs it.

    Raises:
        RecipeError: even the final size is too small.
    """
    if min(height, width) < shortest:
        raise RecipeError(
            f"the picture would be painted at {width}×{height} pixels",
            f"the deepest layer asked for needs at least {shortest} on the shorter side",
            "use a larger --size, a less narrow picture or shallower layers",
        )
    sizes = [(height, width)]
    longest = max(height, width)
    while True:
        long_side = longest / 2 ** len(sizes)
        coarser = fit(height, width, max(1, round(long_side)))
        if long_side < coarsest / 2**0.5 or min(coarser) < shortest:
            return sizes[::-1]
        sizes.append(coarser)


def resample(image: Tensor, size: Size) -> Tensor:
    """Resize (N, C, H, W) to ``size`` by antialiased bicubic interpolation; values stay in [0, 1].

    A plain ``interpolate`` would alias, and the stair-steps in a style would be painted.
    """
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp_(0.0, 1.0)


def add_margin(image: Tensor, margin: int, *, empty: bool = False) -> Tensor:
    """Add ``margin`` pixels on each side of (1, C, H, W): the picture reflected, or zeros if ``empty``."""
    if not margin:
        return image
    return F.pad(image, (margin, margin, margin, margin), mode="constant" if empty else "reflect")


def crop_margin(image: Tensor, margin: int) -> Tensor:
    """Undo :func:`add_margin`; returns a view."""
    return image[..., margin:-margin, margin:-margin] if margin else image


def to_multiple(size: Size, of: int) -> Size:
    """(height, width) with each side the nearest multiple of ``of``, at least one."""
    height, width = (max(1, round(side / of)) * of for side in size)
    return height, width


def resample_wrapped(image: Tensor, size: Size) -> Tensor:
    """As :func:`resample`, for a picture that tiles: beyond an edge it continues at the opposite one."""
    if image.shape[-2:] == size:
        return image
    height, width = size
    copies = resample(image.repeat(1, 1, 3, 3), (3 * height, 3 * width))
    return copies[..., height : 2 * height, width : 2 * width].contiguous()


def resample_signed(values: Tensor, size: Size) -> Tensor:
    """Resize (N, C, H, W) of any sign, such as an optimiser's moments, bilinearly: no overshoot, no clamp."""
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture with a halo around it.

    Ranges are [start, stop) in pixels. Those of the halo may reach beyond a picture that tiles, and then
    wrap around.

    Attributes:
        rows, columns: ranges without the halo. Starts are multiples of the deepest layer's stride.
        outer_rows, outer_columns: ranges with the halo.
        size: (height, width) of the whole picture.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    outer_rows: tuple[int, int]
    outer_columns: tuple[int, int]
    size: Size

    @property
    def is_whole(self) -> bool:
        """Whether the tile is the whole picture, without any halo."""
        ends = ((0, self.size[0]), (0, self.size[1]))
        return (self.rows, self.columns) == ends == (self.outer_rows, self.outer_columns)

    def cut(self, image: Tensor) -> Tensor:
        """Cut the tile with its halo, (1, C, h, w), out of a picture (1, C, H, W)."""
        for dim, (start, stop) in ((-2, self.outer_rows), (-1, self.outer_columns)):
            if (start, stop) != (0, self.size[dim]):
                image = image.index_select(dim, _wrapped(start, stop, self.size[dim], image.device))
        return image

    def add(self, total: Tensor, part: Tensor) -> None:
        """Add ``part`` (1, C, h, w) in place to those pixels of ``total`` (1, C, H, W) that ``cut`` takes."""
        (top, bottom), (left, right) = self.outer_rows, self.outer_columns
        if top >= 0 and left >= 0 and bottom <= self.size[0] and right <= self.size[1]:
            total[..., top:bottom, left:right] += part
        else:  # the tile wraps around, and may contain the same pixel twice
            rows = _wrapped(top, bottom, self.size[0], total.device)
            columns = _wrapped(left, right, self.size[1], total.device)
            flat = (rows[:, None] * self.size[1] + columns).flatten()
            total.view(*total.shape[:2], -1).index_add_(2, flat, part.flatten(2))

    def grid(self, stride: int) -> tuple[slice, slice]:
        """Rows and columns of the tile without its halo in the whole picture's features at ``stride``."""
        return tuple(  # type: ignore[return-value]
            slice(start // stride, (side if stop == side else stop) // stride)
            for (start, stop), side in zip((self.rows, self.columns), self.size, strict=True)
        )

    def inner(self, stride: int) -> tuple[slice, slice]:
        """Rows and columns of the tile without its halo in the features of :meth:`cut` at ``stride``."""
        return tuple(  # type: ignore[return-value]
            slice(part.start - outer[0] // stride, part.stop - outer[0] // stride)
            for part, outer in zip(self.grid(stride), (self.outer_rows, self.outer_columns), strict=True)
        )


def _wrapped(start: int, stop: int, side: int, device: torch.device) -> Tensor:
    return torch.arange(start, stop, device=device) % side


def tiles(size: Size, side: int | None, stride: int, radius: int, *, wrap: bool = False) -> list[Tile]:
    """Cover a picture with tiles.

    Args:
        size: (height, width) of the picture.
        side: side in pixels of a tile without its halo, rounded to a multiple of ``stride``; None: one tile.
        stride: of the deepest layer. Tiles start at multiples of it, so that poolings combine the same pixels
            as in the whole picture.
        radius: receptive radius of the deepest layer in pixels. The halo is at least as wide, so that
            features in the tile equal those of the whole picture.
        wrap: whether the picture tiles, so that the halo continues at the opposite edge.
    """
    halo = -(-radius // stride) * stride
    spans = [_spans(length, side, stride, halo, wrap) for length in size]
    if side is None or all(len(span) == 1 for span in spans):
        return [Tile((0, size[0]), (0, size[1]), (0, size[0]), (0, size[1]), size)]
    return [
        Tile(rows, columns, outer_rows, outer_columns, size)
        for rows, outer_rows in spans[0]
        for columns, outer_columns in spans[1]
    ]


def _spans(
    length: int, side: int | None, stride: int, halo: int, wrap: bool
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The ranges of the tiles along one axis, each (without halo, with halo)."""
    step = length if side is None else max(stride, round(side / stride) * stride)
    starts = list(range(0, length, step))
    # A last tile narrower than the deepest stride would have no feature, so its neighbour includes it.
    if len(starts) > 1 and length - starts[-1] < stride:
        starts.pop()
    if len(starts) == 1:
        return [((0, length), (0, length))]
    spans = []
    for start, stop in zip(starts, [*starts[1:], length], strict=True):
        outer = (start - halo, stop + halo)
        spans.append(((start, stop), outer if wrap else (max(0, outer[0]), min(length, outer[1]))))
    return spans
