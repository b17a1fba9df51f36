"""The numbers of a study: one row per cell, comparisons of seeds, and when cells reached the same loss."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from impasto import pictures
from impasto.studies import cells, metrics
from impasto.studies.cells import CellTask
from impasto.studies.judges import JUDGED, load
from impasto.studies.plan import StudyPlan

__all__ = [
    "ResultRow",
    "SeedGroup",
    "StudyOutcome",
    "as_csv",
    "as_json_lines",
    "compare_seeds",
    "gather",
    "iterations_to_settle",
    "mean_and_deviation",
    "objective_of",
]

#: Settings that do not change the objective: cells that differ in nothing else can be compared by their loss.
OPTIMISATION_SETTINGS = {
    "seed", "init", "optimiser", "iterations", "coarsest", "tolerance", "learning_rate", "history",
    "precision",
}  # fmt: skip

Scalar = str | int | float | None


@dataclass(frozen=True)
class StudyOutcome:
    """A study that has been run.

    Attributes:
        failures: name of a cell's folder → one line about the error. The next call tries these cells again.
        painted: how many cells this call painted; the others were finished already.
        seconds: wall time of the call.
    """

    folder: Path
    plan: StudyPlan
    tasks: tuple[CellTask, ...]
    failures: dict[str, str]
    painted: int
    seconds: float


@dataclass
class ResultRow:
    """A finished cell.

    Attributes:
        values: column → value.
        curve: (iteration, seconds, best loss) after each iteration; NaN as long as no loss was finite.
        scales: number of scales that it was painted at.
    """

    task: CellTask
    values: dict[str, Scalar]
    curve: list[tuple[int, float, float]] = field(repr=False)
    scales: int

    @property
    def coordinates(self) -> Mapping[str, str]:
        """Axis → label."""
        return self.task.cell.coordinates

    def number(self, name: str) -> float:
        """A column as a number; NaN where there is none."""
        value = self.values.get(name)
        return float(value) if isinstance(value, (int, float)) else math.nan


@dataclass(frozen=True)
class SeedGroup:
    """Cells that differ in their seed alone.

    Attributes:
        label: the coordinates that they have in common.
        spread: column → (mean, standard deviation) over the cells.
        pairs: measurement → its values, one per pair of cells.
    """

    label: str
    rows: tuple[ResultRow, ...]
    spread: Mapping[str, tuple[float, float]]
    pairs: Mapping[str, tuple[float, ...]]


def gather(
    tasks: Sequence[CellTask], study: str, failures: Mapping[str, str]
) -> tuple[list[ResultRow], list[dict[str, Scalar]]]:
    """The finished cells as rows, and every cell, failed ones included, as flat columns."""
    rows, flat = [], list[dict[str, Scalar]]()
    for task in tasks:
        record = cells.read(task.folder)
        values: dict[str, Scalar] = {"study": study, "cell": task.folder.name, **task.cell.coordinates}
        # A failed cell may have been painted, and measured by another judge.
        if record is None or task.folder.name in failures:
            flat.append(values | {"status": "failed", "error": failures.get(task.folder.name, "not run")})
            continue
        losses = {f"loss/{name}": value for name, value in record["losses"].items() if name != "total"}
        plain = {name: record[name] for name in ("evaluations", "seconds", "threads", "events", "non_finite")}
        values |= {"status": "done", "painter": task.cell.painter, **plain, "loss": record["losses"]["total"]}
        values |= losses | {"judge": record["judge"]} | record["measures"]
        curve, scales = _trace(task.folder)
        rows.append(ResultRow(task, {name: _finite(value) for name, value in values.items()}, curve, scales))
        flat.append(rows[-1].values)
    _time_to_equal_loss(rows)
    return rows, flat


def _finite(value: Any) -> Scalar:
    """A value for the tables: to six figures, and None if not finite, which JSON and CSV cannot express."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, (str, int)) else None


def _trace(folder: Path) -> tuple[list[tuple[int, float, float]], int]:
    """A cell's curve, see :class:`ResultRow`, and its number of scales."""
    lines = (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    # The file has null for a loss that is not finite, which JSON lacks.
    losses = [math.nan if entry["best_loss"] is None else entry["best_loss"] for entry in entries]
    curve = [
        (entry["evaluation"], entry["seconds"], loss) for entry, loss in zip(entries, losses, strict=True)
    ]
    return curve, len({entry["scale"] for entry in entries})


# -- iterations to a loss ----------------------------------------------------------------------------------


def _time_to_equal_loss(rows: Iterable[ResultRow]) -> None:
    """Add when each cell first reached the loss that all cells with the same objective have reached.

    Adds ``evaluations_to_settle`` too, which can be compared across objectives. Cells of several scales have
    neither, because losses at different sizes cannot be compared.
    """
    for row in rows:
        row.values["evaluations_to_settle"] = iterations_to_settle(row.curve) if row.scales == 1 else None
    comparable: dict[str, list[ResultRow]] = {}
    for row in rows:
        if row.scales == 1:
            comparable.setdefault(objective_of(row), []).append(row)
    for group in comparable.values():
        ends = [row.curve[-1][2] for row in group if math.isfinite(row.curve[-1][2])]
        if len(group) < 2 or not ends:
            continue
        for row in group:
            reached = next((point for point in row.curve if point[2] <= max(ends)), None)
            row.values["equal_loss"] = _finite(max(ends))
            row.values["evaluations_to_equal_loss"] = reached and reached[0]
            row.values["seconds_to_equal_loss"] = reached and round(reached[1], 3)


def objective_of(row: ResultRow) -> str:
    """A key that is the same for cells with the same objective, whose losses can be compared."""
    cell = row.task.cell
    settings = cell.recipe.model_dump(mode="json", exclude=OPTIMISATION_SETTINGS)
    return json.dumps([cell.content, cell.style, cell.canvas, settings])


def iterations_to_settle(curve: Sequence[tuple[int, float, float]]) -> int | None:
    """Iterations until the loss has made nine tenths of its fall on a log scale; None if it does not fall."""
    first, last = curve[0][2], curve[-1][2]
    if not (math.isfinite(first) and math.isfinite(last)) or last <= 0 or last >= first:
        return None
    threshold = last * (first / last) ** 0.1
    return next(evaluation for evaluation, _, loss in curve if loss <= threshold)


# -- seeds -----------------------------------------------------------------------------------------------


def compare_seeds(rows: Sequence[ResultRow]) -> list[SeedGroup]:
    """Groups of cells that differ in their seed alone, with the spread and all pairs' differences."""
    groups: dict[str, list[ResultRow]] = {}
    for row in rows:
        settings = row.task.cell.recipe.model_dump(mode="json", exclude={"seed"})
        # A start from the content or a picture is the same for every seed: nothing to compare.
        if settings["init"] in ("noise", "style-colours"):
            cell = row.task.cell
            key = json.dumps([cell.content, cell.style, cell.canvas, cell.painter, settings])
            groups.setdefault(key, []).append(row)
    return [_group(members) for members in groups.values() if len(members) > 1]


def _group(rows: list[ResultRow]) -> SeedGroup:
    columns = [name for name, value in rows[0].values.items() if isinstance(value, float)]
    spread = {name: mean_and_deviation([row.number(name) for row in rows]) for name in columns}
    painted = [pictures.load(row.task.folder / "picture.png").pixels for row in rows]
    judge = load(rows[0].task.judge)
    pairs: dict[str, list[float]] = {}
    for a, b in itertools.combinations(painted, 2):
        values = {"pair_psnr_db": metrics.psnr(a, b), "pair_ssim": metrics.ssim(a, b)}
        values |= {f"pair_features/{k}": v for k, v in metrics.feature_distances(judge, a, b, JUDGED).items()}
        values |= {f"pair_style/{k}": v for k, v in metrics.style_distances(judge, a, b, JUDGED).items()}
        for name, value in values.items():
            pairs.setdefault(name, []).append(value)
    return SeedGroup(_common_label(rows), tuple(rows), spread, {k: tuple(v) for k, v in pairs.items()})


def _common_label(rows: Sequence[ResultRow]) -> str:
    words = []
    for axis in rows[0].task.shown:
        labels = [row.coordinates[axis] for row in rows]
        if axis != "seed":
            words.append(labels[0] if len(set(labels)) == 1 else _beginning(labels))
    return ", ".join(word for word in words if word) or "all"


def _beginning(labels: Sequence[str]) -> str:
    """The common beginning of labels that name their seed: "noise, seed 0", "noise, seed 1" → "noise"."""
    common = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*labels, strict=False))
    return "".join(letters[0] for letters in common).removesuffix("seed ").rstrip(" ,")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of the finite ones; NaN where there are too few."""
    finite = torch.tensor([value for value in values if math.isfinite(value)], dtype=torch.float64)
    if not len(finite):
        return math.nan, math.nan
    return float(finite.mean()), float(finite.std()) if len(finite) > 1 else math.nan


# -- files -----------------------------------------------------------------------------------------------


def as_csv(flat: Sequence[Mapping[str, Scalar]]) -> str:
    """All columns that any row has, in the order they first appear; empty where a row has none."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def as_json_lines(flat: Sequence[Mapping[str, Scalar]]) -> str:
    """One object per line, each with every column, so that a Parquet writer can take it as it is."""
    columns = _columns(flat)
    return "".join(json.dumps({name: row.get(name) for name in columns}) + "\n" for row in flat)


def _columns(flat: Sequence[Mapping[str, Scalar]]) -> list[str]:
    return list(dict.fromkeys(name for row in flat for name in row))
