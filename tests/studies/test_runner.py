"""A tiny study from end to end: painted once, resumed, judged anew, killed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import picture
from impasto import pictures
from impasto.errors import PictureError, RecipeError
from impasto.studies.cells import CellTask, read
from impasto.studies.plan import StudyPlan
from impasto.studies.results import gather
from impasto.studies.runner import run_study


def cells_of(folder: Path) -> dict[str, int]:
    """Cell → when its picture was written."""
    return {cell.name: (cell / "picture.png").stat().st_mtime_ns for cell in (folder / "cells").iterdir()}


@pytest.fixture
def copied(study, tmp_path: Path) -> Path:
    """A copy of the tiny study's folder."""
    return Path(shutil.copytree(study.folder, tmp_path / "copy"))


def test_a_study_leaves_everything_behind(study, plan) -> None:
    assert (study.painted, study.failures, len(study.tasks)) == (4, {}, 4)
    names = {"plan.yaml", "results.csv", "results.jsonl", "seeds.csv", "sheet.png", "report.html", "cells"}
    names |= {"curves.svg", "curves.png", "measures.png"}
    assert names == {path.name for path in study.folder.iterdir()}
    assert StudyPlan.read(study.folder / "plan.yaml") == plan()
    for cell in (study.folder / "cells").iterdir():
        assert {"picture.png", "recipe.json", "trace.jsonl", "environment.json", "cell.json"} == {
            path.name for path in cell.iterdir()
        }


def test_progress_counts_every_cell_and_ends_at_one(studied) -> None:
    _, progress = studied
    assert [each.done for each in progress] == sorted(each.done for each in progress)
    assert [each.share for each in progress] == sorted(each.share for each in progress)
    assert (progress[-1].done, progress[-1].cells, progress[-1].share) == (4, 4, 1.0)
    assert 0.0 < progress[1].share < 0.25  # a quarter is one cell: there is progress inside a cell


@pytest.mark.usefixtures("unreported")
def test_a_second_call_does_only_what_is_missing(copied: Path, plan) -> None:
    before = cells_of(copied)
    assert run_study(plan(), copied, workers=1).painted == 0
    gone = sorted(before)[1]
    shutil.rmtree(copied / "cells" / gone)
    assert run_study(plan(), copied, workers=1).painted == 1
    after = cells_of(copied)
    assert set(after) == set(before)
    assert [name for name in before if after[name] != before[name]] == [gone]


@pytest.mark.usefixtures("unreported")
def test_a_wider_plan_keeps_the_cells_it_shares(copied: Path, plan) -> None:
    assert run_study(plan(seeds=[0, 1, 2]), copied, workers=1).painted == 2


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_another_judge_measures_without_painting(copied: Path, plan) -> None:
    before = cells_of(copied)
    outcome = run_study(plan(references=["painting:glass"]), copied, workers=1)
    assert (outcome.painted, cells_of(copied)) == (0, before)
    for task in outcome.tasks:
        record = read(task.folder)
        assert record is not None
        assert record["measures"]["reference/glass/relu2_1"] > 0


@pytest.mark.usefixtures("unreported")
def test_a_cell_that_cannot_be_measured_again_was_painted_earlier(copied: Path, plan, monkeypatch) -> None:
    (record := next((copied / "cells").glob("*/cell.json"))).write_text(
        json.dumps(json.loads(record.read_text()) | {"judged_by": "another"})
    )

    def work(*_: object) -> None:
        raise PictureError("not this one")

    monkeypatch.setattr(CellTask, "work", work)
    outcome = run_study(plan(), copied, workers=1)
    assert (outcome.painted, list(outcome.failures)) == (0, [record.parent.name])
    rows, flat = gather(outcome.tasks, "tiny", outcome.failures)
    assert len(rows) == 3
    assert sorted(row["status"] for row in flat) == ["done", "done", "done", "failed"]


@pytest.mark.slow
@pytest.mark.usefixtures("unreported", "forked_workers")
def test_two_processes_paint_what_one_paints(tmp_path: Path, plan) -> None:
    pictures.save(tmp_path / "a.png", picture(32, 40))
    small = plan(contents=[str(tmp_path / "a.png")], styles=[], vary={})
    one, two = (run_study(small, tmp_path / str(count), workers=count) for count in (1, 2))
    for a, b in zip(one.tasks, two.tasks, strict=True):
        assert (a.folder / "picture.png").read_bytes() == (b.folder / "picture.png").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_cell_that_fails_fails_alone_and_is_tried_again(tmp_path: Path, plan) -> None:
    wide = plan(seeds=[0], vary={"style_layers": ["relu1_1", "relu5_4"]})  # compact ends at relu5_1
    for painted in (1, 0):
        outcome = run_study(wide, tmp_path / "study", workers=1)
        assert (outcome.painted, len(outcome.failures)) == (painted, 1)
        assert "relu5_1" in next(iter(outcome.failures.values()))
    statuses = [row["status"] for row in csv.DictReader((tmp_path / "study" / "results.csv").open())]
    assert statuses == ["done", "failed"]
    assert "1 of 2 cells failed" in (tmp_path / "study" / "report.html").read_text()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, plan) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(PictureError, match="something other than a study"):
        run_study(plan(), tmp_path)
    with pytest.raises(PictureError, match="folder that exists"):
        run_study(plan(), tmp_path / "no" / "where")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("module", ["matplotlib", "jinja2", "yaml"])
def test_a_missing_extra_is_one_line(monkeypatch, tmp_path: Path, plan, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RecipeError, match=r"pip install 'impasto\[studies\]'"):
        run_study(plan(), tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
def test_a_killed_study_goes_on_and_leaves_no_one_behind(tmp_path: Path, plan) -> None:
    """SIGKILL after the first cell: the cells in work are lost, the others kept, the workers gone."""
    pictures.save(tmp_path / "a.png", picture(40, 48))
    base = {**plan().base, "iterations": [40]}
    wide = plan(contents=["a.png"], styles=[], seeds=[0, 1, 2], vary={}, base=base)
    (tmp_path / "plan.yaml").write_text(wide.to_yaml())
    command = ["study", "custom", "plan.yaml", "-o", "study", "--workers", "2", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "impasto.cli", *command], cwd=tmp_path)
    cells = tmp_path / "study" / "cells"
    wait_until(lambda: bool(finished(cells)), 120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(children) >= 2
    wait_until(lambda: not any(is_running(child) for child in children), 30)
    kept = len(finished(cells))
    assert 1 <= kept < 3
    outcome = run_study(StudyPlan.read(tmp_path / "plan.yaml"), tmp_path / "study", workers=1)
    assert outcome.painted == 3 - kept
    assert len(finished(cells)) == len(list(cells.iterdir())) == 3  # nothing unfinished is left either


def finished(cells: Path) -> list[Path]:
    return [record for record in cells.glob("*/cell.json") if not record.parent.name.startswith(".")]


def is_running(process: str) -> bool:
    """Alive, and no zombie that an init process forgot."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
