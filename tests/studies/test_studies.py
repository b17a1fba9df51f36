"""A tiny study from end to end: painted once, resumed, judged anew, killed, reported."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fakes import picture, tiny_encoder
from impasto import pictures
from impasto.cli import main
from impasto.errors import PictureError
from impasto.losses.objective import Objective, StyleSource
from impasto.painting.engine import Sources
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe
from impasto.studies import results, sources, textbook
from impasto.studies.conduct import Outcome, Progress, conduct, share_out
from impasto.studies.plan import Plan


def plan(**fields: object) -> Plan:
    given = {
        "name": "tiny",
        "title": "Tiny & <small>",
        "question": "Does it run?",
        "base": {"size": 48, "coarsest": 48, "iterations": [4], "precision": "float32", "init": "noise"},
        "contents": ["photograph:chelsea"],
        "styles": ["painting:wave"],
        "seeds": [0, 1],
        "vary": {"content_weight": [0.1, 1.0]},
        "charts": ["style_judge/*", "pair_features/*"],
    }
    return Plan(**given | fields)


@pytest.fixture(scope="module", autouse=True)
def _short_ramp() -> Iterator[None]:
    """Paintings small enough to be painted in no time."""
    patch = pytest.MonkeyPatch()
    patch.setattr("impasto.studies.sources.PAINTED", 64)
    sources.picture.cache_clear()
    yield
    patch.undo()
    sources.picture.cache_clear()


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the cells matter: no sheet, no plots."""
    monkeypatch.setattr("impasto.studies.report.write", lambda outcome: outcome.folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[Progress]]:
    heard: list[Progress] = []
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    return conduct(plan(), folder, workers=1, on_progress=heard.append), heard


def cells_of(folder: Path) -> dict[str, int]:
    """Cell → when its picture was written."""
    return {one.name: (one / "picture.png").stat().st_mtime_ns for one in (folder / "cells").iterdir()}


def test_a_study_leaves_everything_behind(study: tuple[Outcome, list[Progress]]) -> None:
    outcome, _ = study
    assert (outcome.painted, outcome.failures, len(outcome.tasks)) == (4, {}, 4)
    names = {"plan.yaml", "results.csv", "results.jsonl", "seeds.csv", "sheet.png", "report.html"}
    names |= {"curves.svg", "curves.png", "measures.png"}
    assert names <= {one.name for one in outcome.folder.iterdir()}
    assert Plan.read(outcome.folder / "plan.yaml") == plan()
    for cell in (outcome.folder / "cells").iterdir():
        assert {"picture.png", "recipe.json", "trace.jsonl", "environment.json", "cell.json"} <= {
            one.name for one in cell.iterdir()
        }


def test_progress_counts_every_cell_and_ends_at_one(study: tuple[Outcome, list[Progress]]) -> None:
    _, heard = study
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert [one.share for one in heard] == sorted(one.share for one in heard)
    assert (heard[-1].done, heard[-1].cells, heard[-1].share) == (4, 4, 1.0)
    assert 0.0 < heard[1].share < 0.25  # a quarter is one cell: it is heard of inside a cell


def test_the_tables_agree_and_are_flat(study: tuple[Outcome, list[Progress]]) -> None:
    folder = study[0].folder
    table = list(csv.DictReader((folder / "results.csv").open()))
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(table) == len(lines) == 4
    for row, line in zip(table, lines, strict=True):
        assert list(row) == list(line)
        assert all(value is None or isinstance(value, (str, int, float)) for value in line.values())
        assert all(row[name] == ("" if value is None else str(value)) for name, value in line.items())
        assert line["judge"] == "random"
        assert {"content_ssim", "content_judge/relu3_1", "style_judge/relu1_1", "style_palette"} <= set(line)
        assert sum(v for k, v in line.items() if k.startswith("loss/")) > 0


def test_equal_loss_is_reached_by_all_and_last_by_the_slowest(study: tuple[Outcome, list[Progress]]) -> None:
    rows, _ = results.gather(study[0].tasks, "tiny", {})
    for weight in ("0.1", "1"):
        group = [row for row in rows if row.coordinates["content_weight"] == weight]
        worst = max(group, key=lambda row: row.curve[-1][2])
        assert all(isinstance(row.values["evaluations_to_equal_loss"], int) for row in group)
        assert worst.values["equal_loss"] == pytest.approx(worst.curve[-1][2], rel=1e-4)


def test_seeds_are_compared_in_pairs(study: tuple[Outcome, list[Progress]]) -> None:
    rows, _ = results.gather(study[0].tasks, "tiny", {})
    groups = results.compare_seeds(rows)
    assert [group.label for group in groups] == ["0.1", "1"]
    assert all(len(group.pairs["pair_psnr_db"]) == 1 for group in groups)
    a, b = (pictures.load(row.task.folder / "picture.png").pixels for row in groups[0].rows)
    assert groups[0].pairs["pair_psnr_db"][0] == pytest.approx(
        -10 * math.log10(float((a - b).square().mean())), rel=1e-4
    )


class Page(HTMLParser):
    """Collects every attribute that could make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "img"
        assert tag not in ("script", "link", "iframe", "object")
        self.links += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data", "srcset", "action")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_network(study: tuple[Outcome, list[Progress]]) -> None:
    html = (study[0].folder / "report.html").read_text()
    page = Page()
    page.feed(html)
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert page.pictures == 5  # four cells and the sheet
    assert '<meta name="viewport"' in html
    assert "Tiny & <small>" in page.text  # escaped
    assert "content_weight:" in page.text  # the plan
    assert html.count("<svg") == 4


def test_the_sheet_has_room_for_every_cell(study: tuple[Outcome, list[Progress]]) -> None:
    sheet = Image.open(study[0].folder / "sheet.png")
    assert sheet.width > 2 * 200
    assert len(np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0)) > 200


def test_the_plots_are_the_same_each_time(study: tuple[Outcome, list[Progress]], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study[0].folder, folder)
    conduct(plan(), folder, workers=1)
    for name in ("curves.svg", "measures.png", "sheet.png", "results.csv"):
        assert (folder / name).read_bytes() == (study[0].folder / name).read_bytes(), name


@pytest.mark.usefixtures("unreported")
def test_a_second_call_does_only_what_is_missing(
    study: tuple[Outcome, list[Progress]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study[0].folder, folder)
    before = cells_of(folder)
    assert conduct(plan(), folder, workers=1).painted == 0
    gone = sorted(before)[1]
    shutil.rmtree(folder / "cells" / gone)
    assert conduct(plan(), folder, workers=1).painted == 1
    after = cells_of(folder)
    assert set(after) == set(before)
    assert [name for name in before if after[name] != before[name]] == [gone]


@pytest.mark.usefixtures("unreported")
def test_a_wider_plan_keeps_the_cells_it_shares(
    study: tuple[Outcome, list[Progress]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study[0].folder, folder)
    assert conduct(plan(seeds=[0, 1, 2]), folder, workers=1).painted == 2


@pytest.mark.usefixtures("unreported")
def test_another_judge_measures_without_painting(
    study: tuple[Outcome, list[Progress]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study[0].folder, folder)
    before = cells_of(folder)
    outcome = conduct(plan(references=["painting:mosaic"]), folder, workers=1)
    assert (outcome.painted, cells_of(folder)) == (0, before)
    for task in outcome.tasks:
        found = json.loads((task.folder / "cell.json").read_text())
        assert found["measures"]["reference/mosaic/relu2_1"] > 0


@pytest.mark.usefixtures("unreported")
def test_two_processes_paint_what_one_paints(tmp_path: Path) -> None:
    pictures.save(tmp_path / "a.png", picture(32, 40))
    small = plan(contents=[str(tmp_path / "a.png")], styles=[], vary={})
    one, two = (conduct(small, tmp_path / str(count), workers=count) for count in (1, 2))
    for a, b in zip(one.tasks, two.tasks, strict=True):
        assert (a.folder / "picture.png").read_bytes() == (b.folder / "picture.png").read_bytes()


def test_a_cell_that_fails_fails_alone_and_is_tried_again(tmp_path: Path) -> None:
    wide = plan(seeds=[0], vary={"style_layers": ["relu1_1", "relu5_4"]})  # compact ends at relu5_1
    for painted in (1, 0):
        outcome = conduct(wide, tmp_path / "study", workers=1)
        assert (outcome.painted, len(outcome.failures)) == (painted, 1)
        assert "relu5_1" in next(iter(outcome.failures.values()))
    statuses = [row["status"] for row in csv.DictReader((tmp_path / "study" / "results.csv").open())]
    assert statuses == ["done", "failed"]
    assert "1 of 2 cells failed" in (tmp_path / "study" / "report.html").read_text()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(PictureError, match="something else"):
        conduct(plan(), tmp_path)
    with pytest.raises(PictureError, match="folder that exists"):
        conduct(plan(), tmp_path / "no" / "where")


@pytest.mark.usefixtures("unreported")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
def test_a_killed_study_goes_on_and_leaves_no_one_behind(tmp_path: Path) -> None:
    """SIGKILL after the first cell: the cells in work are lost, the others kept, the workers gone."""
    pictures.save(tmp_path / "a.png", picture(40, 48))
    wide = plan(
        contents=["a.png"], styles=[], seeds=[0, 1, 2], vary={}, base={**plan().base, "iterations": [40]}
    )
    (tmp_path / "plan.yaml").write_text(wide.to_yaml())
    command = [
        "study",
        "custom",
        str(tmp_path / "plan.yaml"),
        "-o",
        str(tmp_path / "study"),
        "--workers",
        "2",
        "-q",
    ]
    starter = "import sys; from impasto.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", starter, *command])
    cells = tmp_path / "study" / "cells"
    wait_until(lambda: bool(finished(cells)), 120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(children) >= 2
    wait_until(lambda: not any(working(child) for child in children), 30)
    kept = len(finished(cells))
    assert 1 <= kept < 3
    outcome = conduct(Plan.read(tmp_path / "plan.yaml"), tmp_path / "study", workers=1)
    assert outcome.painted == 3 - kept
    assert len(finished(cells)) == 3


def finished(cells: Path) -> list[Path]:
    return [one for one in cells.glob("*/cell.json") if one.parent.suffix != ".partial"]


def working(process: str) -> bool:
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


@given(st.integers(0, 500), st.integers(1, 256), st.integers(0, 64), st.sampled_from(["cpu", "cuda"]))
def test_threads_never_exceed_the_cores(tasks: int, cores: int, workers: int, device: str) -> None:
    count, threads = share_out(tasks, cores, workers, device)
    assert 1 <= count <= max(1, tasks)
    assert threads >= 1
    assert count * threads <= max(cores, count)
    if not workers:
        assert count * threads <= cores
        assert device == "cpu" or count == 1


def test_settling_is_nine_tenths_of_the_fall_on_a_log_scale() -> None:
    curve = [(k, 0.0, 10.0 ** (-k / 10)) for k in range(101)]  # from 1 to 1e-10
    assert results._settled(curve) == 90
    assert results._settled([(1, 0.0, 1.0), (2, 0.0, 1.0)]) is None


# -- the textbook --------------------------------------------------------------------------------------------


def test_the_textbook_is_pytorchs_lbfgs_in_one_call() -> None:
    """The tutorial's own loop, twenty iterations a call, arrives at the same losses."""
    encoder, content = tiny_encoder(), picture(32, 32, seed=1)
    style = StyleSource(picture(32, 32, seed=2))
    recipe = Recipe(size=32, coarsest=32, iterations=(12,), init="noise", history=100)
    found = [step.loss for step in textbook.steps(Sources(content, (style,)), recipe, encoder)]
    objective = Objective(encoder, recipe, content, [style])
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    canvas = noise.requires_grad_(True)
    losses: list[float] = []

    def closure() -> torch.Tensor:
        with torch.no_grad():
            canvas.clamp_(0, 1)
        optimiser.zero_grad()
        loss = objective(canvas)[0]
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    optimiser = torch.optim.LBFGS([canvas], max_iter=12, max_eval=100)
    optimiser.step(closure)
    assert found[: len(losses)] == pytest.approx(losses[: len(found)], rel=1e-3)


# -- the command line ----------------------------------------------------------------------------------------


def run_cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main.main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


SMALL = ("--iterations", "3", "--coarsest", "32", "-q")


def test_reconstruct(tmp_path: Path) -> None:
    pictures.save(tmp_path / "cat.png", picture(40, 60))
    code = run_cli(
        "reconstruct",
        tmp_path / "cat.png",
        "-o",
        tmp_path / "r.png",
        "--layers",
        "relu4_2",
        "--size",
        48,
        *SMALL,
    )
    assert code == 0
    assert pictures.load(tmp_path / "r.png").size == (32, 48)
    recipe = Recipe.from_json(pictures.read_metadata(tmp_path / "r.png") or "")
    assert (recipe.content_layers, recipe.init, recipe.style_weight) == (("relu4_2",), "noise", 0.0)


def test_texture_of_any_size(tmp_path: Path) -> None:
    pictures.save(tmp_path / "w.png", picture(40, 60))
    out = tmp_path / "t.png"
    code = run_cli(
        "texture", tmp_path / "w.png", "-o", out, "--size", "70x41", "--layers", "relu1_1,relu2_1", *SMALL
    )
    assert code == 0
    assert pictures.load(out).size == (41, 70)


def test_a_tile_has_no_seam(tmp_path: Path) -> None:
    """The step across the edge is like the steps inside; without --tile it is several times as large."""
    blobs = resample(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (64, 64))
    pictures.save(tmp_path / "w.png", blobs)
    steps = []
    for flags in (["--tile"], []):
        out = tmp_path / f"t{len(flags)}.png"
        rest = ("--layers", "relu1_1,relu2_1,relu3_1", "--iterations", "80", "--coarsest", "32", "-q")
        assert run_cli("texture", tmp_path / "w.png", "-o", out, "--size", "64", *flags, *rest) == 0
        pixels = pictures.load(out).pixels
        across = (pixels[..., 0] - pixels[..., -1]).abs().mean() + (
            pixels[..., 0, :] - pixels[..., -1, :]
        ).abs().mean()
        inside = pixels.diff(dim=-1).abs().mean() + pixels.diff(dim=-2).abs().mean()
        steps.append(float(across / inside))
    assert steps[0] < 1.4
    assert steps[1] > 2.0 * steps[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["texture", "w.png", "-o", "t.png", "--size", "axb"], "size 'axb'"),
        (["texture", "w.png", "-o", "t.png", "--size", "44x30", "--tile"], "take 48×32"),
        (["texture", "w.png", "-o", "t.png", "--init", "content"], "a texture from the content"),
        (["texture", "w.png", "-o", "w.png"], "also an input"),
        (["study", "layers", "w.png", "--seeds", "a"], "seeds 'a'"),
        (["study", "layers", "none.png"], "there is no file"),
        (["study", "weights", "--x", "content_weight"], "a setting and its values"),
        (["study", "weights", "--x", "colour=1,2"], "unknown setting 'colour'"),
        (["study", "claims", "--only", "nothing"], "no study 'nothing'"),
        (["study", "inits", "--judge", "compact"], "optimised under it"),
    ],
)
def test_mistakes_are_one_line_and_two(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures.save("w.png", picture(40, 60))
    assert run_cli(*arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_study_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "study",
        "weights",
        "--x",
        "content_weight=0.1,1",
        "--y",
        "tv_weight=0.5",
        "-o",
        tmp_path / "grid",
    ]
    command += ["--size", 32, "--iterations", 2, "--workers", 1]
    assert run_cli(*command) == 0
    shown = capsys.readouterr()
    assert "2/2 cells" in shown.err
    assert "2 painted now" in shown.out
    assert run_cli(*command, "-q") == 0
    assert capsys.readouterr().out == ""
