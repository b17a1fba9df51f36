"""Runs a study: paints and measures the cells that are not finished yet, on several processes or machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import PictureError, RecipeError, require_extra
from impasto.files import write_atomically
from impasto.pieces.piece import Needs
from impasto.pieces.places import device_at, executor_for, resolved
from impasto.pieces.running import PieceProgress, run_pieces
from impasto.studies import cells, sources
from impasto.studies.cells import CellTask
from impasto.studies.judges import choose
from impasto.studies.needs import cell_needs
from impasto.studies.plan import StudyPlan
from impasto.studies.results import StudyOutcome

__all__ = ["StudyProgress", "run_study"]

#: Modules of the extra ``studies``, which plans, charts and pages need.
MODULES = ("matplotlib", "jinja2", "yaml")


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        done, cells: number of finished cells, those of earlier calls included, and of all cells.
        share: share of this call's work that is done, in [0, 1], counted in pixels × iterations.
        label: of the cell that made the latest step.
    """

    done: int
    cells: int
    share: float
    label: str


def run_study(
    plan: StudyPlan,
    folder: Path,
    *,
    judge: str = "auto",
    judge_weights: Path | None = None,
    workers: int = 0,
    on: str = "local",
    gpus_per_piece: float = 0.0,
    device: str = "auto",
    on_progress: Callable[[StudyProgress], None] | None = None,
) -> StudyOutcome:
    """Paint and measure what is missing of a study, then write its results, sheet and page into ``folder``.

    Args:
        folder: of the study; its parent must exist. One run per cell goes into ``folder/cells``.
        judge, judge_weights: the encoder that measures, see :mod:`impasto.studies.judges`.
        workers: number of processes; 0: as many as cores and memory allow, or one for each GPU.
        on: where the cells are painted, see :func:`impasto.pieces.places.executor_for`.
        gpus_per_piece: GPUs that a picture takes on a cluster.
        device: ``auto``, ``cpu``, ``cuda`` …
        on_progress: called often; must be quick.

    Raises:
        RecipeError, PictureError, WeightsError: the plan cannot be carried out at all. The failure of a
            single cell is reported in the outcome.
    """
    require_extra("studies", MODULES, "a study", RecipeError)
    from impasto.studies import report

    begin, on = time.perf_counter(), resolved(on)
    tasks = tasks_of(plan, folder, judge, judge_weights, device_at(on, device, gpus_per_piece))
    missing = [task for task in tasks if not task.is_done()]
    to_paint = {task.folder.name for task in missing if not cells.is_painted(task)}

    def show(progress: PieceProgress) -> None:
        if on_progress is not None:
            on_progress(StudyProgress(progress.done, progress.pieces, progress.share, progress.label))

    # One process here has the memory to itself, and no cluster to tell.
    needs = (
        Needs()
        if on == "local" and workers == 1
        else cell_needs((task.cell for task in missing), gpus_per_piece)
    )
    executor = executor_for(on, len(missing), processes=workers, device=device, needs=needs)
    finished = run_pieces(missing, executor, earlier=len(tasks) - len(missing), on_progress=show)
    failures = {missing[end.index].folder.name: end.error for end in finished if end.error is not None}
    seconds = time.perf_counter() - begin
    painted = len(to_paint - failures.keys())  # others were only measured again
    outcome = StudyOutcome(folder, plan, tuple(tasks), failures, painted, seconds)
    report.write(outcome)
    return outcome


def tasks_of(
    plan: StudyPlan, folder: Path, judge: str, judge_weights: Path | None, device: str
) -> list[CellTask]:
    """The study's cells as tasks; makes its folder. Errors that are certain to occur are raised here."""
    all_cells = plan.cells()
    chosen = choose(judge, judge_weights, {cell.recipe.encoder for cell in all_cells})
    for spec in dict.fromkeys((*plan.contents, *plan.styles, *plan.references)):
        sources.picture(spec)
    _make_folder(folder, plan)
    shown = tuple(name for name, labels in plan.axes.items() if len(labels) > 1) or ("seed",)
    return [CellTask(folder / "cells", cell, shown, chosen, plan.references, device) for cell in all_cells]


def _make_folder(folder: Path, plan: StudyPlan) -> None:
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "plan.yaml").is_file():
            raise PictureError(
                f"{str(folder)!r} holds something other than a study",
                "a new or empty folder, or that of an earlier study",
            )
        folder.mkdir(exist_ok=True)
        (folder / "cells").mkdir(exist_ok=True)
        write_atomically(folder / "plan.yaml", plan.to_yaml())
    except OSError as error:
        raise PictureError(
            f"the study cannot be written to {str(folder)!r}: {error.strerror}",
            "a folder in a folder that exists",
        ) from None
