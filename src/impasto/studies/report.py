"""Writes the results of a study: tables, contact sheet, charts and page."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from impasto.errors import PictureError
from impasto.files import write_atomically
from impasto.reporting.charts import as_png, as_svg, inline_svg
from impasto.reporting.page import data_uri, render
from impasto.studies import charts, results
from impasto.studies.judges import DESCRIPTIONS
from impasto.studies.results import ResultRow, SeedGroup, StudyOutcome
from impasto.studies.sheet import SheetGrid, arrange, contact_sheet, thumbnail

__all__ = ["write"]

#: Columns of the table on the page, if any cell has them, and their titles; results.csv has all columns.
TABLE = {
    "evaluations": "iterations",
    "seconds": "seconds",
    "loss": "loss",
    "evaluations_to_equal_loss": "iterations to equal loss",
    "seconds_to_equal_loss": "seconds to equal loss",
    "evaluations_to_settle": "iterations to settle",
    "content_psnr_db": "PSNR, dB",
    "content_ssim": "SSIM",
    "content_edges": "edges",
    "content_judge": "content, judge",
    "style_judge": "style, judge",
    "style_palette": "palette, ΔE",
    "stroke_px": "strokes, px",
    "non_finite": "not finite",
    "events": "guard's events",
}
#: The numbers below a picture, by the pictures that it was made from.
CAPTION = {
    "both": (("content_ssim", "SSIM"), ("style_judge", "style")),
    "content": (("content_ssim", "SSIM"), ("content_psnr_db", "PSNR")),
    "style": (("style_judge", "style"), ("stroke_px", "strokes")),
}
#: Long side of the pictures on the page, in pixels: sharp at two columns on a phone.
SHOWN = 320


def write(outcome: StudyOutcome) -> Path:
    """Write all files into the study's folder; returns the path of the page.

    Raises:
        PictureError: a file cannot be written.
    """
    plan, folder = outcome.plan, outcome.folder
    rows, flat = results.gather(outcome.tasks, plan.name, outcome.failures)
    files: dict[str, str | bytes] = {
        "results.csv": results.as_csv(flat),
        "results.jsonl": results.as_json_lines(flat),
    }
    if rows:
        groups = results.compare_seeds(rows)
        grid = arrange(plan, rows)
        measures = charts.measure_charts(plan, rows, groups)
        curves = charts.loss_curves(plan, rows)
        figures = {"curves": curves[-1]} | ({"measures": measures[-1][1]} if measures else {})
        files |= {f"{name}.png": as_png(figure) for name, figure in figures.items()}
        files["curves.svg"] = '<?xml version="1.0" encoding="utf-8"?>\n' + as_svg(curves[-1])
        drawn = {"curves": curves[:-1], "measures": [figure for _, figure in measures[:-1]]}
        sheet = contact_sheet(plan, grid, {row.task.folder.name: _caption(row) for row in rows})
        files["sheet.png"] = _png(sheet)
        if groups:
            files["seeds.csv"] = results.as_csv(_seed_rows(groups))
        files["report.html"] = page(outcome, rows, groups, grid, drawn, sheet)
    else:
        files["report.html"] = page(outcome, rows, [], SheetGrid((), ()), {}, None)
    try:
        for name, data in files.items():
            write_atomically(folder / name, data)
        for outdated in {"seeds.csv"} - set(files):
            (folder / outdated).unlink(missing_ok=True)
    except OSError as error:
        raise PictureError(
            f"the results of the study cannot be written to {folder}: {error.strerror}",
            "a writable folder with enough free space",
        ) from None
    return folder / "report.html"


def page(
    outcome: StudyOutcome,
    rows: Sequence[ResultRow],
    groups: Sequence[SeedGroup],
    grid: SheetGrid,
    drawings: Mapping[str, Sequence[Figure]],
    sheet: Image.Image | None,
) -> str:
    """The page as HTML, with all pictures and charts inside."""
    judge = outcome.tasks[0].judge.name if rows else ""
    shown = [name for name in TABLE if any(row.values.get(name) not in (None, 0) for row in rows)]
    return render(
        "impasto.studies",
        "report.html.jinja",
        plan=outcome.plan,
        yaml=outcome.plan.to_yaml(),
        grid=_grid(grid),
        width=max(1, len(grid.columns)),
        drawings={name: [inline_svg(figure) for figure in figures] for name, figures in drawings.items()},
        axes=[name for name, labels in outcome.plan.axes.items() if len(labels) > 1],
        columns=[TABLE[name] for name in shown],
        table=[(row.coordinates, [number(row.values.get(name)) for name in shown]) for row in rows],
        seeds=[_seed_line(group) for group in groups],
        failures=outcome.failures,
        sheet=None if sheet is None else _embedded(sheet, 82),
        judge=judge,
        judge_description=DESCRIPTIONS.get(judge, ""),
        cells=len(outcome.tasks),
        evaluations=sum(int(row.number("evaluations")) for row in rows),
        seconds=sum(row.number("seconds") for row in rows),
    )


def _grid(grid: SheetGrid) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Rows as the page shows them: the lines of the label above a row, and its figures."""
    return [
        (label.split("\n"), [_figure(row, name) for row, name in zip(cells, grid.columns, strict=True)])
        for label, cells in grid.rows
    ]


def _figure(row: ResultRow | None, column: str) -> dict[str, Any]:
    if row is None:
        return {"picture": None, "label": column, "caption": "failed"}
    small = thumbnail(row.task.folder / "picture.png", SHOWN)
    return {"picture": _embedded(small, 86), "label": column, "caption": _caption(row), "size": small.size}


def _caption(row: ResultRow) -> str:
    """The two numbers below a picture, see ``CAPTION``."""
    cell = row.task.cell
    kind = "both" if cell.content and cell.style else "content" if cell.content else "style"
    return " · ".join(f"{word} {number(row.values.get(name))}" for name, word in CAPTION[kind])


def number(value: Any) -> str:
    """A number with three significant figures; a dash if it is missing or not finite."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _seed_line(group: SeedGroup) -> dict[str, Any]:
    """A group of seeds on the page: differences between pairs, and spread of the measurements."""
    pairs = {name: results.mean_and_deviation(values) for name, values in group.pairs.items()}
    features = [pairs[name][0] for name in pairs if name.startswith("pair_features/")]
    styles = [pairs[name][0] for name in pairs if name.startswith("pair_style/")]
    return {
        "label": group.label,
        "seeds": len(group.rows),
        "psnr": _spread(pairs["pair_psnr_db"]),
        "ssim": _spread(pairs["pair_ssim"]),
        "features": [number(value) for value in features],
        "style": number(math.fsum(styles) / len(styles)) if styles else "–",
        "stroke": _spread(group.spread.get("stroke_px", (math.nan, math.nan))),
    }


def _spread(value: tuple[float, float]) -> str:
    mean, deviation = value
    return number(mean) if math.isnan(deviation) else f"{number(mean)} ± {number(deviation)}"


def _seed_rows(groups: Sequence[SeedGroup]) -> list[dict[str, results.Scalar]]:
    """One row per group: mean and standard deviation of every measurement of pairs and every column."""
    rows = []
    for group in groups:
        row: dict[str, results.Scalar] = {"group": group.label, "seeds": len(group.rows)}
        stats = {name: results.mean_and_deviation(values) for name, values in group.pairs.items()} | dict(
            group.spread
        )
        for name, (mean, deviation) in stats.items():
            row[f"{name} mean"] = None if math.isnan(mean) else mean
            row[f"{name} sd"] = None if math.isnan(deviation) else deviation
        rows.append(row)
    return rows


# -- encoding --------------------------------------------------------------------------------------------


def _embedded(image: Image.Image, quality: int) -> str:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality, optimize=True)
    return data_uri(data.getvalue(), "image/jpeg")


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()
