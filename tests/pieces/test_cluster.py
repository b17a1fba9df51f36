"""Pieces on a Ray cluster: two machines, which are processes here; one of them is lost in the middle.

What needs no cluster is tested with a stand-in for the package.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from clips import moving_square, write_clip
from fakes import checks, picture
from impasto import __version__, pictures
from impasto.batch import run_batch
from impasto.errors import ImpastoError
from impasto.machine import torch_threads
from impasto.pieces import cluster, connection, parcels
from impasto.pieces.cluster import RayExecutor
from impasto.pieces.connection import connect, is_reachable
from impasto.pieces.piece import Needs
from impasto.pieces.running import run_pieces
from impasto.recipe import Recipe
from impasto.studies.plan import StudyPlan
from impasto.studies.results import StudyOutcome
from impasto.studies.runner import run_study
from impasto.video.job import prepare_video
from impasto.video.settings import VideoRecipe
from impasto.video.stages import VideoResult, run_video
from ray_machines import MB, Machines, connected_machines
from small_pieces import results, squares


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with connected_machines(2) as machines:
        yield machines


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_pieces_travel_with_their_files_and_fail_alone(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 6, _1="refuse", _2="break", _5="full")
    pieces[3].file.unlink()
    outcomes = list(run_pieces(pieces, RayExecutor(None, Needs(threads=1, memory=1000.0 * MB))))
    errors = {outcome.index: outcome.error for outcome in outcomes if outcome.error}
    assert errors == {
        1: "this one not",
        2: "KeyError: 'a mistake of ours'",
        3: f"'{pieces[3].file}' cannot be read: No such file or directory",
        5: "the disk is full",
    }
    assert results(pieces) == [0, None, None, None, 16, None]
    assert pieces[4].result.read_text() == "16 with 1"


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_small_pieces_are_sent_together_and_one_that_kills_its_machine_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "PARCELS_PER_SECOND", 1e-3)  # as large as the rest allows
    monkeypatch.setattr(cluster, "RETRIES", 0)
    sizes: list[int] = []
    submit = cluster._Run._submit
    monkeypatch.setattr(
        cluster._Run, "_submit", lambda run, parcel: (sizes.append(len(parcel)), submit(run, parcel))[1]
    )
    pieces = squares(tmp_path, 60, _50="die")
    outcomes = list(run_pieces(pieces, RayExecutor(None, Needs())))
    assert sorted(outcome.index for outcome in outcomes) == list(range(60))
    (failed,) = [outcome for outcome in outcomes if outcome.error]
    assert failed.index == 50
    assert str(failed.error).startswith("the cluster gave up on it: WorkerCrashedError")
    assert max(sizes) > 1
    assert sizes[-1] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_who_stops_listening_stops_the_work(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 6, _1="sleep", _2="sleep", _3="sleep")
    outcomes = RayExecutor(None, Needs()).run(pieces, lambda index, share: None)
    assert next(outcomes).index in {0, 4, 5}  # one of those that do not sleep
    outcomes.close()
    # The cores are free again: what slept would never have ended.
    assert len(list(RayExecutor(None, Needs()).run(squares(tmp_path, 3), lambda index, share: None))) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_a_cluster_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(needs: Needs) -> str:
        with pytest.raises(ImpastoError) as error:
            list(RayExecutor(None, needs).run(squares(tmp_path, 1), lambda index, share: None))
        return str(error.value)

    assert "which needs CPU 1, memory 9.0 GB; the largest has CPU 1, memory 2.1 GB" in refusal(Needs(1, 9e9))
    assert "which needs CPU 1, GPU 0.5" in refusal(Needs(gpus=0.5))
    monkeypatch.setattr(cluster, "__version__", "9.9")
    assert f" of the cluster has impasto {__version__}, this machine 9.9; install" in refusal(Needs())


@pytest.mark.slow
def test_a_machine_is_lost_and_the_pictures_are_those_of_one_machine(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 pictures; a machine dies after the third; studies have the same pictures too."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(6):
        pictures.save(f"in/{number}.png", picture(48, 64, number))
    for name, cell in (("wave", 4), ("oil", 7)):
        pictures.save(f"{name}.png", checks(48, 48, cell))
    recipe, lost = Recipe(size=48, coarsest=48, iterations=(2,)), []

    def lose_one(progress: Any) -> None:
        if progress.done == 3 and not lost:
            lost.append(machines.lose())

    styles = ["wave.png", "oil.png"]
    outcome = run_batch(["in"], styles, "cluster", recipe, on="ray", on_progress=lose_one)
    assert (outcome.painted, dict(outcome.failures), len(lost)) == (12, {}, 1)
    assert run_batch(["in"], styles, "here", recipe).painted == 12
    names = sorted(path.name for path in Path("here").glob("*.png"))
    assert [Path("cluster", name).read_bytes() for name in names] == [
        Path("here", name).read_bytes() for name in names
    ]

    monkeypatch.setattr("impasto.studies.report.write", lambda outcome: outcome.folder)
    base = {"size": 48, "coarsest": 48, "iterations": [2], "precision": "float32"}
    plan = StudyPlan(name="small", base=base, contents=["in/0.png"], styles=["wave.png"], seeds=[0, 1])
    there, here = (run_study(plan, tmp_path / on, on=on, workers=1) for on in ("ray", "local"))
    assert (there.painted, there.failures) == (2, {})
    for a, b in zip(there.tasks, here.tasks, strict=True):
        assert {path.name for path in a.folder.iterdir()} == {path.name for path in b.folder.iterdir()}
        assert (a.folder / "picture.png").read_bytes() == (b.folder / "picture.png").read_bytes()
    (there.tasks[0].folder / "cell.json").unlink()
    assert run_study(plan, tmp_path / "ray", on="ray").painted == 1


def same_files(one: Path, other: Path, pattern: str) -> int:
    """How many files of two folders match the pattern; they must have the same names and bytes."""
    files = sorted(path.relative_to(one) for path in one.glob(pattern))
    assert files == sorted(path.relative_to(other) for path in other.glob(pattern))
    assert [(one / file).read_bytes() for file in files] == [(other / file).read_bytes() for file in files]
    return len(files)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes minutes: make soak")
def test_a_machine_is_lost_under_a_film_and_under_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film of six shots and a study of twelve cells, each on three machines of which one is lost."""
    monkeypatch.setattr("impasto.studies.report.write", lambda outcome: outcome.folder)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    frames = [
        (frame // 2 + np.array(colour) // 2).astype(np.uint8)
        for colour in colours
        for frame in moving_square(4)
    ]
    clip = write_clip(tmp_path / "film.mkv", frames)
    pictures.save(tmp_path / "style.png", checks(48, 48, 5))
    pictures.save(tmp_path / "content.png", picture(48, 64))
    small = Recipe(size="original", coarsest=48, iterations=(8, 6), precision="float32")
    recipe = VideoRecipe(picture=small, following_iterations=3, fill_iterations=(4, 3), flow_size=64)
    plan = StudyPlan(
        name="twelve", base={"size": 64, "coarsest": 64, "iterations": [30], "precision": "float32"},
        contents=[str(tmp_path / "content.png")], styles=[str(tmp_path / "style.png")],
        seeds=[0, 1, 2, 3], vary={"content_weight": [0.1, 1.0, 10.0]},
    )  # fmt: skip

    def film(on: str, on_moment: Any = None) -> VideoResult:
        folder = tmp_path / on / "frames"
        folder.parent.mkdir(exist_ok=True)
        job = prepare_video(clip, tmp_path / "style.png", folder, recipe, on=on)
        return run_video(job, on_moment=on_moment)

    def study(on: str, on_progress: Any = None) -> StudyOutcome:
        return run_study(plan, tmp_path / on / "study", on=on, workers=1, on_progress=on_progress)

    with torch_threads(1), connected_machines() as machines:
        lost: list[str] = []

        def lose_at(done: int, what: str, progress: Any) -> None:
            if progress.done >= done and what not in lost and getattr(progress, "stage", "paint") == "paint":
                machines.lose()
                machines.machines.insert(0, machines.add())
                lost.append(what)

        there = film("ray", partial(lose_at, 8, "film"))
        assert (there.frames, there.shots, there.corrupt) == (24, 6, ())
        outcome = study("ray", partial(lose_at, 4, "study"))
        assert (outcome.painted, outcome.failures, lost) == (12, {}, ["film", "study"])
        film("local")
        study("local")
    assert same_files(tmp_path / "ray", tmp_path / "local", "frames/*.png") == 24
    assert same_files(tmp_path / "ray", tmp_path / "local", "study/cells/*/picture.png") == 12


# -- without a cluster --------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A package called ray, where nothing answers; the list has the arguments of every call of init."""
    calls: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        calls.append(options)
        if options["address"] == "ray://old:10001":
            raise RuntimeError(
                "Version mismatch: The cluster was started with:\n    Ray: 2.1\n    Python: 3.8"
            )
        if options["address"] == "ray://slow:10001":
            raise Exception("The current node timed out during startup.")
        if options["address"] == "ray://bad":
            raise ValueError("Malformed address:\n 'bad'")
        if options["address"] != "local":
            raise ConnectionError("nobody there")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, is_initialized=lambda: False))
    monkeypatch.setattr(connection, "_listens", lambda address: True)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return calls


@pytest.mark.parametrize(
    ("address", "message"),
    [("ray://head:10001", r"something takes connections at ray://head:10001, but no Ray .* `ray status`"),
     ("ray://slow:10001", "Ray cannot be used: The current node timed out during startup"),
     ("ray://old:10001", r"Version mismatch: .* Ray: 2\.1 Python: 3\.8; use the same versions"),
     ("ray://bad", "Ray cannot be used: Malformed address: 'bad'")],
)  # fmt: skip
@pytest.mark.usefixtures("stand_in")
def test_a_cluster_that_cannot_be_joined_is_one_line(address: str, message: str) -> None:
    with pytest.raises(ImpastoError, match=message):
        connect(address)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:{port}", "ray://127.0.0.1", "ray://", None])
def test_where_nothing_listens_ray_is_not_asked(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """Ray itself tries for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connection._listens(f"ray://127.0.0.1:{port}")
        assert connection._listens(f"127.0.0.1:{port}")
    init = Mock()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, is_initialized=lambda: False))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ImpastoError, match="no Ray cluster answers at"):
        connect(address and address.format(port=port))
    assert not init.called


def test_without_an_address_a_running_ray_is_joined_or_one_started_for_this_machine_only(
    stand_in: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connect(None)
    assert [call["address"] for call in stand_in] == ["auto", "local"]
    assert stand_in[1]["_node_ip_address"] == "127.0.0.1"
    assert stand_in[1]["include_dashboard"] is False
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    with pytest.raises(ImpastoError, match="answers at there:6379, to which RAY_ADDRESS points"):
        connect(None)
    assert not is_reachable()


def test_the_store_keeps_files_in_use_and_a_few_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored: list[bytes] = []
    monkeypatch.setattr(
        cluster, "ray", lambda: SimpleNamespace(put=lambda data: (stored.append(data), len(stored))[1])
    )
    monkeypatch.setattr(cluster, "IDLE_FILES", 2)
    files, paths = cluster._FileStore(), [tmp_path / str(number) for number in range(6)]
    for path in paths:
        path.write_text(path.name)
    style = paths[5]
    assert files.references([paths[0], style]) == {paths[0]: 1, style: 2}
    for number in range(1, 5):
        assert files.references([paths[number], style])[style] == 2  # stored once
    for number in range(4):
        files.release([paths[number], style])
    assert files.references([paths[4], style]) == {paths[4]: 6, style: 2}  # in use all the time
    assert files.references([paths[3]]) == {paths[3]: 5}  # one of the last two
    assert files.references([paths[0]]) == {paths[0]: 7}  # dropped, and stored again
    with pytest.raises(ImpastoError, match="cannot be read"):
        files.references([style, tmp_path / "none"])
    files.release([paths[4], style])
    files.release([paths[4], style])
    assert files.references([style]) == {style: 2}  # uses that failed are not counted
