"""Draws the contact sheet: all results of a study in one labelled picture."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from impasto import pictures
from impasto.studies import sources
from impasto.studies.plan import StudyPlan, with_axis
from impasto.studies.results import ResultRow

__all__ = ["SheetGrid", "arrange", "contact_sheet", "thumbnail"]

TEXT, SECONDARY_TEXT, BACKGROUND, EMPTY_CELL = (28, 28, 30), (110, 110, 116), (255, 255, 255), (236, 236, 238)
#: Largest width of a sheet in pixels, as long as thumbnails are not smaller than 96 pixels.
MAX_WIDTH = 3600
MARGIN, GAP = 28, 10


@dataclass(frozen=True)
class SheetGrid:
    """The cells of a study, arranged in rows and columns as on the sheet and on the page.

    Attributes:
        columns: labels of the columns.
        rows: label of each row, one line per axis, and its cells in the order of the columns; None for a cell
            that failed or is missing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ResultRow | None, ...]], ...]


def arrange(plan: StudyPlan, rows: Sequence[ResultRow]) -> SheetGrid:
    """Arrange a study's cells: one axis along the columns, the others down the rows."""
    columns = plan.axes[plan.column_axis]
    labels = ([with_axis(axis, label) for label in plan.axes[axis]] for axis in plan.row_axes)
    by_row: dict[tuple[str, ...], dict[str, ResultRow]] = {down: {} for down in itertools.product(*labels)}
    for row in rows:
        down = tuple(with_axis(axis, row.coordinates[axis]) for axis in plan.row_axes)
        by_row[down][row.coordinates[plan.column_axis]] = row
    lines = [("\n".join(down), tuple(cells.get(name) for name in columns)) for down, cells in by_row.items()]
    return SheetGrid(tuple(with_axis(plan.column_axis, name) for name in columns), tuple(lines))


def contact_sheet(plan: StudyPlan, grid: SheetGrid, captions: Mapping[str, str]) -> Image.Image:
    """Draw the sheet.

    Args:
        captions: name of a cell's folder → the line below its picture.
    """
    side = max(96, min(256, (MAX_WIDTH - 260) // max(1, len(grid.columns)) - GAP))
    sheet = _Sheet(plan, grid, side)
    sheet.heading()
    sheet.source_pictures()
    sheet.cells(captions)
    return sheet.image


class _Sheet:
    """A sheet that is being drawn from top to bottom; ``y`` is the top of the next element."""

    def __init__(self, plan: StudyPlan, grid: SheetGrid, side: int) -> None:
        self.plan, self.grid, self.side = plan, grid, side
        # The long side is the same for all thumbnails, because cells of a row may differ in aspect ratio.
        self.thumbs = [
            [None if row is None else thumbnail(row.task.folder / "picture.png", side) for row in cells]
            for _, cells in grid.rows
        ]
        labels = [line for label, _ in grid.rows for line in _wrapped(label, 16)]
        self.left = MARGIN + (
            max((_width(line, 17) for line in labels), default=0) + 18 if any(labels) else 0
        )
        self.width = max(self.left + len(grid.columns) * (side + GAP) - GAP + MARGIN, 640)
        self.head = textwrap.wrap(plan.question, max(30, (self.width - 2 * MARGIN) // 9))
        self.y = MARGIN
        self.source_height = max(
            (_source_thumbnail(spec, 130).height for _, spec in self._sources()), default=0
        )
        self.image = Image.new("RGB", (self.width, self._height()), BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)

    def _row_heights(self) -> list[int]:
        return [max((thumb.height for thumb in row if thumb is not None), default=96) for row in self.thumbs]

    def _column_lines(self) -> list[list[str]]:
        return [_wrapped(name, max(9, self.side // 9)) for name in self.grid.columns]

    def _sources(self) -> list[tuple[str, str]]:
        plan = self.plan
        labels = (*plan.axes.get("content", ()), *plan.axes.get("style", ()))
        named = list(zip(labels, (*plan.contents, *plan.styles), strict=True))
        return named[: max(1, (self.width - 2 * MARGIN) // 150)]

    def _height(self) -> int:
        head = 44 + 23 * len(self.head) + 16
        pictures_height = self.source_height + 40
        columns = 24 * max(len(lines) for lines in self._column_lines()) + 8
        return (
            MARGIN + head + pictures_height + columns + sum(h + 34 for h in self._row_heights()) + MARGIN - 8
        )

    def heading(self) -> None:
        """Draw title and question."""
        self._text(MARGIN, self.y, self.plan.title or self.plan.name, 28, bold=True)
        self.y += 44
        for line in self.head:
            self._text(MARGIN, self.y, line, 17, SECONDARY_TEXT)
            self.y += 23
        self.y += 16

    def source_pictures(self) -> None:
        """Draw small copies of the study's contents and styles."""
        x = MARGIN
        for label, spec in self._sources():
            small = _source_thumbnail(spec, 130)
            self.image.paste(small, (x, self.y + self.source_height - small.height))
            self._text(x, self.y + self.source_height + 4, _cut(label, 130, 14), 14, SECONDARY_TEXT)
            x += 150
        self.y += self.source_height + 40

    def cells(self, captions: Mapping[str, str]) -> None:
        """Draw the grid of results with its labels."""
        lines = self._column_lines()
        deepest = max(len(words) for words in lines)
        for i, words in enumerate(lines):
            for k, word in enumerate(words):
                x = self.left + i * (self.side + GAP)
                self._text(x, self.y + 24 * (deepest - len(words) + k), word, 17, bold=True)
        self.y += 24 * deepest + 8
        for (label, cells), thumbs, height in zip(
            self.grid.rows, self.thumbs, self._row_heights(), strict=True
        ):
            for k, line in enumerate(_wrapped(label, 16)):
                self._text(MARGIN, self.y + 2 + 22 * k, line, 17, bold=True)
            for i, (row, thumb) in enumerate(zip(cells, thumbs, strict=True)):
                x = self.left + i * (self.side + GAP)
                if row is None or thumb is None:
                    self.draw.rectangle((x, self.y, x + self.side, self.y + height), fill=EMPTY_CELL)
                    self._text(x + 10, self.y + 8, "failed", 15, SECONDARY_TEXT)
                    continue
                self.image.paste(thumb, (x, self.y))
                caption = _cut(captions.get(row.task.folder.name, ""), self.side, 14)
                self._text(x, self.y + height + 4, caption, 14, SECONDARY_TEXT)
            self.y += height + 34

    def _text(
        self, x: int, y: int, text: str, size: int, fill: tuple[int, int, int] = TEXT, *, bold: bool = False
    ) -> None:
        self.draw.text((x, y), text, fill=fill, font=_font(size, bold))


def thumbnail(path: Path, side: int) -> Image.Image:
    """A picture file with its long side ``side``, RGB."""
    return _shrunk(Image.fromarray(pictures.to_uint8(pictures.load(path).pixels)), side)


def _source_thumbnail(spec: str, side: int) -> Image.Image:
    return _shrunk(Image.fromarray(pictures.to_uint8(sources.picture(spec).pixels)), side)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


@lru_cache(maxsize=16)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, because it comes with matplotlib and has × and →."""
    from matplotlib import font_manager

    weight = "bold" if bold else "normal"
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight))
    return ImageFont.truetype(path, size)


def _width(text: str, size: int) -> int:
    return round(_font(size, True).getlength(text))


def _cut(text: str, width: int, size: int) -> str:
    """The text, or its beginning with an ellipsis where it is wider than ``width`` pixels."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, max_length: int) -> list[str]:
    """The text in lines of at most ``max_length`` characters, broken also after a +."""
    lines = []
    for part in text.split("\n"):
        spaced = part.replace("+", "+ ") if len(part) > max_length else part
        lines += [line.replace("+ ", "+") for line in textwrap.wrap(spaced, max_length)] or [""]
    return lines
