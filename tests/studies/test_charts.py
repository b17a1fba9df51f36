"""Plots say what they show: a legend entry for each kind of line, numbers at their own place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from impasto.studies import charts
from impasto.studies.results import ResultRow, compare_seeds, gather


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.fixture
def rows(study) -> list[ResultRow]:
    return gather(study.tasks, "tiny", {})[0]


def with_coordinates(row: ResultRow, **labels: str) -> ResultRow:
    """The row as if it lay elsewhere on the axes."""
    cell = replace(row.task.cell, coordinates={**row.coordinates, **labels})
    return replace(row, task=replace(row.task, cell=cell))


def drawn(figure: Figure) -> set[tuple[object, object]]:
    """(colour, dashes) of every line with points."""
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    return {(line.get_color(), line.get_linestyle()) for line in lines}


def test_every_kind_of_line_is_in_the_legend(plan, rows) -> None:
    """Two columns of different objectives and two rows: four lines, told apart by colours and dashes."""
    starts = [{"label": "early", "init": "noise"}, {"label": "late", "init": "noise"}]
    two = plan(vary={"start": starts, "content_weight": [0.1, 1.0]})
    moved = [with_coordinates(row, start=start) for row in rows for start in ("early", "late")]
    figure = charts.loss_curves(two, moved)[-1]
    assert len(drawn(figure)) == 4
    assert legend_of(figure) == ["content weight 0.1", "content weight 1", "early", "late"]


def test_rows_with_panels_of_their_own_need_no_dashes(plan, rows) -> None:
    starts = [{"label": "early", "init": "noise"}, {"label": "late", "init": "noise"}]
    two = plan(vary={"content_weight": [0.1, 1.0], "start": starts})
    moved = [with_coordinates(row, start=start) for row in rows for start in ("early", "late")]
    figure = charts.loss_curves(two, moved)[-1]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "content weight 0.1",
        "content weight 0.1",
        "content weight 1",
        "content weight 1",
    ]
    assert legend_of(figure) == ["early", "late"]


def test_one_row_of_cells_needs_no_dashes_in_the_legend(plan, rows) -> None:
    assert legend_of(charts.loss_curves(plan(), rows)[-1]) == ["content weight 0.1", "content weight 1"]


def positions(figure: Figure) -> list[float]:
    return sorted({float(x) for line in figure.axes[0].lines for x in line.get_xdata()})


def test_points_stand_at_their_number(plan, rows) -> None:
    """Each layer has a line. Beside 0.1 a point would be read as another weight."""
    figure = dict(charts.measure_charts(plan(), rows, compare_seeds(rows)))["style_judge/*"]
    assert len(figure.axes[0].get_legend_handles_labels()[1]) == 5
    assert positions(figure) == [0.0, 1.0]
    assert figure.axes[0].get_xlabel() == "content weight"


def test_points_of_named_columns_stand_side_by_side(plan, rows) -> None:
    weights = [{"label": "little", "content_weight": 0.1}, {"label": "much", "content_weight": 1}]
    names = {"0.1": "little", "1": "much"}
    moved = [with_coordinates(row, content_weight=names[row.coordinates["content_weight"]]) for row in rows]
    figure = dict(charts.measure_charts(plan(vary={"content_weight": weights}), moved, []))["style_judge/*"]
    assert len(positions(figure)) == 10
