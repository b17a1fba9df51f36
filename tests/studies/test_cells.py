"""One cell: known by what its picture depends on, whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes import picture
from impasto import pictures
from impasto.errors import RecipeError
from impasto.pieces.piece import Files
from impasto.studies import cells


@pytest.fixture
def task(study, tmp_path: Path) -> cells.CellTask:
    """The first cell of the tiny study, to be painted in a folder of its own."""
    return replace(study.tasks[0], parent=tmp_path)


def test_a_folder_reads_well_and_is_unique(study) -> None:
    assert [task.folder.name.rpartition(".")[0] for task in study.tasks] == [
        "0-1.seed-0", "0-1.seed-1", "1.seed-0", "1.seed-1",
    ]  # fmt: skip
    assert len({task.identity for task in study.tasks}) == 4


def test_the_identity_changes_with_what_the_picture_depends_on(task, tmp_path: Path) -> None:
    pictures.save(tmp_path / "a.png", picture(32, 32, 1))
    cell = replace(task.cell, content=str(tmp_path / "a.png"))
    first = replace(task, cell=cell).identity
    assert first != task.identity
    assert replace(task, cell=cell, device="cuda", references=("painting:wave",)).identity == first
    assert replace(task, cell=replace(cell, recipe=cell.recipe.replace(tv_weight=1.0))).identity != first


def test_references_have_measures_of_their_own(task, monkeypatch) -> None:
    monkeypatch.setattr(cells.metrics, "style_distances", lambda *_: {"relu1_1": 1.0})
    monkeypatch.setattr(cells, "_as_painted", lambda *_: None)
    insets = tuple(f"inset:mosaic:wave:{share}" for share in (0.1, 0.25))
    alone = replace(task, cell=replace(task.cell, content=None, style=None), references=insets)
    measures = cells.measure(alone, picture(32, 32), Files())
    assert sum(name.endswith("/relu1_1") for name in measures) == 2


def test_what_a_killed_process_left_is_removed(task) -> None:
    leftover = task.parent / f".{task.folder.stem}.0badcafe.partial.{task.identity}"
    (leftover / "inside").mkdir(parents=True)
    task.folder.mkdir()
    (task.folder / "cell.json").write_text("{")  # cut off: not a finished cell
    assert cells.read(task.folder) is None
    task.keep(task.work(Files(), lambda share: None))
    assert cells.is_judged(task)
    assert [path.name for path in task.parent.iterdir()] == [task.folder.name]


def test_a_cell_that_fails_leaves_nothing(task, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RecipeError("no")

    monkeypatch.setattr(cells, "measure", refuse)
    with pytest.raises(RecipeError, match="no"):
        task.work(Files(), lambda share: None)
    assert list(task.parent.iterdir()) == []
