"""Draws a study's charts: how the loss fell, and what was measured along the axis of the columns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from impasto.reporting.charts import CHART_STYLE, COLOURS
from impasto.studies.plan import StudyPlan, with_axis
from impasto.studies.results import ResultRow, SeedGroup, mean_and_deviation, objective_of

__all__ = ["AXIS_NAMES", "loss_curves", "measure_charts"]

#: Measurement → its title on a chart.
AXIS_NAMES = {
    "content_psnr_db": "PSNR to the content, dB",
    "content_ssim": "SSIM to the content",
    "content_edges": "agreement of edges with the content",
    "content_own": "feature distance to the content",
    "content_judge": "feature distance to the content (judge)",
    "style_judge": "style distance (judge)",
    "style_palette": "palette distance, ΔE",
    "stroke_px": "stroke width, pixels",
    "pair_psnr_db": "PSNR between two seeds, dB",
    "pair_ssim": "SSIM between two seeds",
    "pair_features": "feature distance of two seeds (judge)",
    "pair_style": "style distance of two seeds (judge)",
    "evaluations_to_equal_loss": "iterations to equal loss",
    "evaluations_to_settle": "iterations to settle",
}

#: Name of the x-axis → index of its value in a point of ``ResultRow.curve``.
UNITS = {"iterations": 0, "seconds": 1}

#: Line styles that can be told apart without colour; if there are more rows, they repeat.
LINE_STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 4)))


def loss_curves(plan: StudyPlan, rows: Sequence[ResultRow]) -> list[Figure]:
    """Best loss against iterations and against seconds: a line for each cell.

    The colour of a line stands for the cell's column on the sheet. Cells with the same objective share a
    panel, whose title is their row. If every column has its own objective, all cells share one panel: the
    line style stands for the row, and each loss is divided by the cell's first.

    Returns:
        A figure for each panel, then one with all of them.
    """
    groups = _comparable(plan, rows)
    panels = [(title, group, unit) for title, group in groups for unit in UNITS]
    return [*(_curves(plan, [panel], 1) for panel in panels), _curves(plan, panels, len(UNITS))]


CurvePanel = tuple[str, list[ResultRow], str]


def _comparable(plan: StudyPlan, rows: Sequence[ResultRow]) -> list[tuple[str, list[ResultRow]]]:
    """(title, cells with the same objective); one untitled group if they are too many, or compare nothing."""
    groups: dict[str, list[ResultRow]] = {}
    for row in rows:
        groups.setdefault(objective_of(row), []).append(row)
    widest = max(len({row.coordinates[plan.column_axis] for row in group}) for group in groups.values())
    if len(groups) == 1 or widest == 1 or len(groups) > 8:
        return [("", list(rows))]
    return [(_row_label(plan, group[0]), group) for group in groups.values()]


def _row_label(plan: StudyPlan, row: ResultRow) -> str:
    """The label of a cell's row on the sheet, without the seed."""
    return ", ".join(with_axis(axis, row.coordinates[axis]) for axis in plan.row_axes if axis != "seed")


def _curves(plan: StudyPlan, panels: Sequence[CurvePanel], across: int) -> Figure:
    columns = plan.axes[plan.column_axis]
    colours = dict(zip(columns, _colours(len(columns)), strict=True))
    # A panel with a title has only cells of that row, which need no line style.
    labels = dict.fromkeys(_row_label(plan, row) for title, rows, _ in panels for row in rows if not title)
    dashes = {label: LINE_STYLES[k % len(LINE_STYLES)] for k, label in enumerate(labels)}
    down = math.ceil(len(panels) / across)
    entries = len(colours) + (len(dashes) if len(dashes) > 1 else 0)
    with rc_context(CHART_STYLE):
        size = (5.0 * across, 3.2 * down + 0.3 + 0.22 * math.ceil(entries / (3 * across)))
        figure = Figure(figsize=size, layout="constrained")
        for axes, (title, rows, unit) in zip(
            figure.subplots(down, across, squeeze=False).ravel(), panels, strict=True
        ):
            shares = len({objective_of(row) for row in rows}) > 1
            for row in rows:
                xs, ys = _line(row, UNITS[unit], shares)
                colour = colours[row.coordinates[plan.column_axis]]
                axes.plot(xs, ys, color=colour, ls=dashes.get(_row_label(plan, row), "-"), lw=1.2, alpha=0.8)
            axes.set(xlabel=unit, yscale="log", ylabel="loss, share of the first" if shares else "loss")
            axes.set_title(title, fontsize=10.5, loc="left")
        _legend(figure, {with_axis(plan.column_axis, name): each for name, each in colours.items()}, dashes)
    return figure


def _line(row: ResultRow, unit: int, shares: bool) -> tuple[list[float], list[float]]:
    points = [(point[unit], point[2]) for point in row.curve if math.isfinite(point[2])]
    first = points[0][1] if shares and points and points[0][1] > 0 else 1.0
    return [x for x, _ in points], [y / first for _, y in points]


def _legend(figure: Figure, colours: Mapping[str, str], dashes: Mapping[str, Any]) -> None:
    """Draw an entry for each colour and, if there are several, for each line style."""
    axes = figure.axes[-1]
    for label, colour in colours.items():
        axes.plot([], [], color=colour, lw=2.5, label=_short(label))
    if len(dashes) > 1:
        for label, dash in dashes.items():
            axes.plot([], [], color="#333333", ls=dash, lw=1.4, label=_short(label))
    entries = len(colours) + (len(dashes) if len(dashes) > 1 else 0)
    columns = min(entries, 3 * min(2, len(figure.axes)))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)


def measure_charts(
    plan: StudyPlan, rows: Sequence[ResultRow], groups: Sequence[SeedGroup], across: int = 2
) -> list[tuple[str, Figure]]:
    """Measurements along the axis of the columns: a dot for each cell, a line of means, bars for deviations.

    A measurement with ``/*`` has a line for each layer; any other has a line for each row of the sheet.

    Returns:
        (name, figure of one panel) for each measurement there is, then ("all", all panels ``across`` wide).
    """
    panels = [(name, _series(plan, rows, groups, name)) for name in _measures_to_plot(plan, rows, groups)]
    panels = [(name, series) for name, series in panels if series]
    figures = [(name, _figure(plan, [(name, series)], 1)) for name, series in panels]
    return [*figures, ("all", _figure(plan, panels, min(across, len(panels))))] if panels else []


def _figure(plan: StudyPlan, panels: Sequence[tuple[str, Series]], across: int) -> Figure:
    down = math.ceil(len(panels) / across)
    with rc_context(CHART_STYLE):
        # A single panel is cropped to what is drawn, which is quicker than a layout.
        layout: Any = "constrained" if len(panels) > 1 else None
        figure = Figure(figsize=(4.8 * across, 3.5 * down), layout=layout)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (name, series) in zip(grid, panels, strict=False):
            _panel(axes, name, plan.axes[plan.column_axis], series)
            axes.set_xlabel(plan.column_axis.replace("_", " "))
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
    return figure


Series = dict[str, list[tuple[int, float]]]


def _panel(axes: Axes, name: str, labels: Sequence[str], series: Series) -> None:
    colours = _colours(len(series))
    # Series are shifted sideways, so that error bars do not hide each other. Columns that are numbers are
    # not: a point beside 0.01 would be read as another number.
    spread = 0.0 if len(series) == 1 or all(map(_is_number, labels)) else 0.3
    for k, ((label, points), colour) in enumerate(zip(series.items(), colours, strict=True)):
        shift = spread * (k / (len(series) - 1) - 0.5) if spread else 0.0
        axes.plot([x + shift for x, _ in points], [y for _, y in points], "o", ms=3, color=colour, alpha=0.45)
        columns = sorted({x for x, _ in points})
        stats = [mean_and_deviation([y for at, y in points if at == x]) for x in columns]
        bars = [0.0 if math.isnan(deviation) else deviation for _, deviation in stats]
        middle = [mean for mean, _ in stats]
        axes.errorbar(
            [x + shift for x in columns],
            middle,
            bars,
            color=colour,
            lw=1.6,
            capsize=2.5,
            label=_short(label, 40),
        )
    axes.set_xticks(range(len(labels)), [_short(label) for label in labels])
    if max(map(len, labels), default=0) * len(labels) > 42:
        axes.tick_params(axis="x", labelrotation=38)
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_title(AXIS_NAMES.get(name.removesuffix("/*"), name), fontsize=10.5, loc="left")
    values = [y for points in series.values() for _, y in points if y > 0]
    if values and "/*" in name and max(values) > 30 * min(values):
        axes.set_yscale("log")
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=7.5, ncols=2 if len(series) > 4 else 1)


def _measures_to_plot(plan: StudyPlan, rows: Sequence[ResultRow], groups: Sequence[SeedGroup]) -> list[str]:
    """The plan's ``charts``; if it has none, all measurements that the cells may have."""
    if plan.charts:
        return list(plan.charts)
    wanted = ["content_psnr_db", "content_ssim", "content_edges", "content_judge/*"]
    wanted += ["style_judge/*", "style_palette", "stroke_px"]
    if len({objective_of(row) for row in rows}) == 1 and len(plan.axes[plan.column_axis]) > 1:
        wanted.append("evaluations_to_equal_loss")
    wanted += ["pair_psnr_db", "pair_features/*", "pair_style/*"] if groups else []
    return wanted


def _series(plan: StudyPlan, rows: Sequence[ResultRow], groups: Sequence[SeedGroup], name: str) -> Series:
    """Label of a line → (column, value) of every cell or, for a comparison of seeds, of every pair."""
    at = {label: k for k, label in enumerate(plan.axes[plan.column_axis])}
    series: Series = {}
    if name.startswith("pair_"):
        for group in groups:
            columns = {at[row.coordinates[plan.column_axis]] for row in group.rows}
            if len(columns) == 1:
                pairs = {key: list(values) for key, values in group.pairs.items()}
                _add(series, name, pairs, columns.pop(), "")
        return series
    for row in rows:
        numbers = {key: [row.number(key)] for key in row.values}
        _add(series, name, numbers, at[row.coordinates[plan.column_axis]], _row_label(plan, row))
    return series


def _add(series: Series, name: str, numbers: dict[str, list[float]], column: int, line: str) -> None:
    pattern = re.compile(re.escape(name).replace(r"\*", "[^/]+"))
    for key, values in numbers.items():
        if pattern.fullmatch(key):
            label = key.rpartition("/")[2] if "*" in name else line
            finite = [(column, value) for value in values if math.isfinite(value)]
            if finite:
                series.setdefault(label, []).extend(finite)


def _colours(count: int) -> list[str]:
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    ramp = colormaps["viridis"].resampled(count + 1)
    return ["#" + "".join(f"{round(255 * part):02x}" for part in ramp(k)[:3]) for k in range(count)]


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _short(label: str, max_length: int = 24) -> str:
    return label if len(label) <= max_length else label[: max_length - 1] + "…"
