"""kill -9 of workers and of the server, at any moment: every accepted job is finished, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from impasto import pictures
from impasto.painting import schedule
from impasto.recipe import Recipe
from impasto.studio.queue import painting
from impasto.studio.queue.jobs import Jobs
from impasto.studio.queue.saving import State, plan_from
from impasto.studio.queue.supervisor import Supervisor
from impasto.studio.sandbox import preparing
from impasto.studio.settings import StudioSettings
from serving import LONG, TINY, TINY_CLIP, Studio, clip_bytes, encoded, pixels


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(tmp_path_factory.mktemp("studio"), "--attempts", "2") as running:
        yield running


def worker_of(studio: Studio) -> int:
    """Process id of the worker that is ready."""

    def ready() -> int:
        found = Jobs(studio.folder / "studio.db").workers()
        return int(found[0]["pid"]) if found and found[0]["ready"] else 0

    return int(studio.wait(ready))


def test_a_killed_worker_costs_nothing_but_time(studio: Studio, tmp_path: Path) -> None:
    """The page answers on, the job begins again where it was, the others wait; twice is too often."""
    fatal = studio.post(recipe=LONG).json()["id"]
    others = [
        studio.post(recipe=TINY | {"seed": 1}),
        studio.post(clip_bytes(tmp_path), video=json.dumps(TINY_CLIP)),
    ]
    studio.running(fatal)
    first = worker_of(studio)
    os.kill(first, signal.SIGKILL)
    assert studio.http.get("/healthz").status_code == 200
    studio.wait(lambda: studio.job(fatal)["state"] == "queued")
    second = studio.wait(lambda: one if (one := worker_of(studio)) != first else None)
    studio.wait(lambda: studio.job(fatal)["state"] == "running")
    os.kill(second, signal.SIGKILL)
    job = studio.finished(fatal)
    assert job["state"] == "failed"
    assert "ended its worker 2 times" in job["error"]
    for answer in others:
        done = studio.finished(answer.json()["id"])
        assert (done["state"], done["error"]) == ("done", None)


def test_a_killed_server_loses_no_job_and_paints_none_twice(studio: Studio, tmp_path: Path) -> None:
    slow = TINY | {"iterations": [400], "seed": 2}
    jobs = [
        studio.post(recipe=slow),
        studio.post(clip_bytes(tmp_path, count=5), video=json.dumps(TINY_CLIP)),
        studio.post(encoded(seed=8)),
    ]
    assert {one.status_code for one in jobs} == {202}
    ids = [one.json()["id"] for one in jobs]
    studio.running(ids[0])
    worker = worker_of(studio)
    studio.kill()
    studio.wait(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie", 20)
    half = studio.folder / "jobs" / "never-accepted"
    half.mkdir()
    studio.start()
    assert not half.exists()
    found = [studio.finished(job) for job in ids]
    assert [(one["state"], one["error"]) for one in found] == [("done", None)] * 3
    assert found[0]["started"] < found[0]["finished"]
    for one in found:
        assert studio.http.get(one["result"]).status_code == 200
    assert pixels(studio.http.get(found[0]["result"]).content).shape == (36, 48, 3)
    database = Jobs(studio.folder / "studio.db")
    assert [database.get(job).deaths for job in ids] == [0, 0, 0]  # type: ignore[union-attr]


def test_two_servers_do_not_share_a_folder(studio: Studio) -> None:
    other = Studio(studio.folder)
    with pytest.raises(AssertionError, match="another studio uses"):
        other.start()
    assert other.process is not None
    assert other.process.wait(20) == 2


def test_a_worker_that_hangs_is_ended(claimed: tuple[Jobs, StudioSettings, Any]) -> None:
    """Its job waits again, one death older; one that goes on is left alone however long it takes."""
    jobs, settings, job = claimed
    supervisor = Supervisor(settings.model_copy(update={"stall_seconds": 1}), jobs)
    worker = supervisor._workers[0]
    worker.slot, worker.starts = "w", [time.monotonic()]
    worker.process = process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    with process:
        for seconds in range(4):
            jobs.update(job.id, "w", seconds=float(seconds))
            supervisor._tend(worker)
            time.sleep(0.5)
        assert process.poll() is None
        time.sleep(1.2)
        supervisor._tend(worker)
        assert process.poll() == -signal.SIGKILL
    supervisor._tend(worker)
    found = jobs.get(job.id)
    assert found is not None
    assert (found.state, found.owner, found.deaths) == ("queued", None, 1)


# -- going on, in this process -----------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.fixture
def claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Jobs, StudioSettings, Any]:
    monkeypatch.setattr(painting, "_SAVE", 0.0)
    monkeypatch.setattr(painting, "_SAVE_SHARE", 0.0)
    monkeypatch.setattr(painting, "_TELL", 0.0)
    monkeypatch.chdir(tmp_path)
    settings = StudioSettings(data=tmp_path)
    folder = settings.folder("j")
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(encoded())
    (folder / "style-0").write_bytes(encoded("PNG", seed=7))
    recipe = Recipe(size=64, coarsest=32, iterations=(6, 8), tolerance=0)
    given = recipe.model_dump_json(exclude_unset=True)
    preparing.prepare(folder, preparing.Order(given, None, (None,), 0, 0), settings)
    jobs = Jobs(tmp_path / "studio.db")
    files = json.dumps({"styles": [{"id": None}], "masks": 0, "style_masks": 0})
    jobs.add(
        id="j",
        client="",
        kind="image",
        digest="",
        preset="fast",
        recipe=given,
        uploads=files,
        height=48,
        width=64,
    )
    job = jobs.claim("w")
    return jobs, settings, job


@pytest.mark.parametrize("last", [4, 6, 9])
def test_a_picture_goes_on_from_its_last_state(
    claimed: tuple[Jobs, StudioSettings, Any], monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    jobs, settings, job = claimed
    told: list[dict[str, Any]] = []
    update = jobs.update

    def watched(name: str, slot: str, **columns: Any) -> bool:
        told.append(columns)
        if columns["evaluation"] == last:
            raise Killed
        return update(name, slot, **columns)

    monkeypatch.setattr(jobs, "update", watched)
    with pytest.raises(Killed):
        painting.paint(job, jobs, settings, "w", "cpu")
    monkeypatch.setattr(jobs, "update", update)
    jobs.release("w", died=True)
    again = jobs.claim("w")
    assert again is not None
    before = told[-1]
    told.clear()
    last = -1
    monkeypatch.setattr(jobs, "update", watched)
    painting.paint(again, jobs, settings, "w", "cpu")
    assert told[0]["evaluation"] in (before["evaluation"], before["evaluation"] + 1)
    assert told[0]["progress"] >= before["progress"] - 0.05
    assert told[0]["scale"] in (before["scale"], before["scale"] + 1)
    assert told[-1]["evaluation"] in (14, 15)
    done = jobs.get("j")
    assert done is not None
    assert done.state == "done"
    result = settings.folder("j") / "result.png"
    assert pictures.load(result).size == (48, 64)
    assert (
        Recipe.from_json(pictures.read_metadata(result) or "").init == "content"
    )  # the recipe as it was asked for
    assert not list(settings.folder("j").glob("state*"))


def test_what_is_left_has_the_sizes_and_the_budget_that_were_left(tmp_path: Path) -> None:
    recipe = Recipe(size=512, coarsest=128, iterations=(50, 40, 30))
    plan = schedule.scale_sizes(recipe, 400, 512)
    assert len(plan) == 3
    for scale, iteration, budgets in (
        (0, 20, (30, 40, 30)),
        (1, 0, (40, 30)),
        (1, 39, (1, 30)),
        (2, 30, (1,)),
    ):
        state = State(scale, iteration, 0, torch.rand(1, 3, 8, 8))
        state.save(tmp_path / "state")
        loaded = State.load(tmp_path / "state")
        assert loaded is not None
        assert torch.equal(loaded.picture, state.picture)
        first, left = plan_from(recipe, plan, loaded)
        assert (first, left.iterations, left.init) == (scale, budgets, "picture")
        assert schedule.scale_sizes(left, 400, 512) == plan[scale:]
    (tmp_path / "state").write_bytes(b"half")
    assert State.load(tmp_path / "state") is None
    assert State.load(tmp_path / "none") is None
    assert plan_from(recipe, plan, None) == (0, recipe)
