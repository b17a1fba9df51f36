"""Jobs that are painted somewhere else: in this process as a stand-in, and on three machines of a cluster."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from impasto.errors import ImpastoError
from impasto.pieces.board import LocalBoard, start_board
from impasto.pieces.cluster import RayExecutor
from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Needs, Outcome, Piece, PlaceError
from impasto.recipe import Recipe
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.sandbox.job_files import prepare_job
from impasto.studio.settings import StudioSettings
from impasto.studio.worker import cluster, remote
from impasto.studio.worker.claimed_job import ClaimedJob, DrainedError, ReportIntervals
from impasto.studio.worker.cluster import ClusterPainter, Dispatcher, needs_of
from impasto.studio.worker.painting import paint_here, paint_job
from ray_machines import connected_machines
from serving import TINY_CLIP, clip_bytes, encoded

ALWAYS = ReportIntervals(progress=0.0, preview=0.0)
RECIPE = Recipe(size=64, coarsest=32, iterations=(6, 8), tolerance=0)
LONG = Recipe(size=64, coarsest=64, iterations=(100_000,), tolerance=0)
CLIP_RECIPE = Recipe(coarsest=32, iterations=(3,))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioSettings:
    monkeypatch.chdir(tmp_path)
    return StudioSettings(data=tmp_path, workers="ray")


@pytest.fixture
def store(settings: StudioSettings) -> JobStore:
    return JobStore(settings.data / "studio.db")


def add(
    store: JobStore, settings: StudioSettings, name: str, recipe: Recipe = RECIPE, clip: bool = False
) -> None:
    """Accept a job, as the server does."""
    folder = settings.job_folder(name)
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(clip_bytes(settings.data, 4) if clip else encoded(seed=len(name)))
    (folder / "style-0").write_bytes(encoded("PNG", seed=7))
    uploads: dict[str, Any] = {"styles": [{"id": None}], "masks": 0, "style_masks": 0}
    asked, video = recipe.model_dump_json(exclude_unset=True), json.dumps(TINY_CLIP) if clip else None
    facts = prepare_job(folder, JobInputs.from_uploads(asked, video, uploads), settings)
    uploads |= {"format": facts["format"], "copy": list(facts["copied_streams"])}
    store.add(
        id=name, client="somebody", kind=facts["kind"], digest=name, preset="fast",
        height=facts["size"][0], width=facts["size"][1], recipe=asked, video=video,
        uploads=json.dumps(uploads),
    )  # fmt: skip


def painted_here(store: JobStore, settings: StudioSettings, name: str) -> bytes:
    """The result of a job with the same uploads, painted by this process."""
    job = store.get(name)
    assert job is not None
    target = settings.model_copy(update={"data": settings.data / "here"})
    copied = target.job_folder(name)
    copied.mkdir(parents=True)
    for path in settings.job_folder(name).iterdir():
        if path.is_file() and not path.name.startswith(("result", "preview", "thumb")):
            (copied / path.name).write_bytes(path.read_bytes())
    reports = Mock(spec=JobStore, **{"update.return_value": True})
    result = paint_here(ClaimedJob(job, reports, target, ""), "cpu")
    assert result is not None
    return (copied / result).read_bytes()


class PromptBoard(LocalBoard):
    """A board that is looked at with each report, as the stand-in has no time of its own."""

    exchange_now: Callable[[], None] = staticmethod(lambda: None)

    def tell(self, key: str, news: Any) -> Any:
        super().tell(key, news)
        self.exchange_now()
        return super().tell(key, {})


def painter(executor: Any = None) -> ClusterPainter:
    board = PromptBoard()
    painter = ClusterPainter(
        board, lambda claimed: Needs(1, 1e9), lambda needs: executor or LocalExecutor(1, 1)
    )
    board.exchange_now = painter.exchange  # type: ignore[method-assign]
    return painter


def paint_next(store: JobStore, settings: StudioSettings, painter: ClusterPainter) -> StudioJob:
    job = store.claim("w")
    assert job is not None
    paint_job(ClaimedJob(job, store, settings, "w", ALWAYS), store, painter.paint)
    after = store.get(job.id)
    assert after is not None
    return after


# -- without a cluster --------------------------------------------------------------------------------------


def test_a_job_comes_back_with_the_same_bytes_and_everything_it_reported(
    store: JobStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_INTERVALS", ALWAYS)  # a fast machine would be finished before a preview
    add(store, settings, "j")
    expected = painted_here(store, settings, "j")
    job = paint_next(store, settings, painter())
    folder = settings.job_folder("j")
    assert (job.state, job.result, job.evaluation, job.scale, job.scales) == ("done", "result.png", 14, 2, 2)
    assert (folder / "result.png").read_bytes() == expected
    assert job.preview > 0
    assert (folder / "preview.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert (folder / "thumb.webp").exists()
    assert not (folder / "style-0.png").exists(), "what a finished job needs no more is deleted, as ever"


def test_what_travels_says_nothing_of_whose_it_is(
    store: JobStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, settings, "j")
    claimed = store.claim("w")
    assert claimed is not None
    secret = settings.model_copy(update={"token": "a secret of sixteen"})
    piece = cluster.job_piece(ClaimedJob(claimed, store, secret, "w"), LocalBoard(), None)
    assert (piece.job.client, piece.job.person, piece.job.webhook, piece.settings.token) == (
        "",
        None,
        None,
        None,
    )
    assert [path.name for path in piece.inputs()] == ["content.png", "style-0.png"]


class Place:
    """Ends as it is told, or never begins."""

    def __init__(self, outcome: Outcome | Exception | None) -> None:
        self.outcome = outcome

    def run(self, pieces: Iterable[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        list(pieces)
        while self.outcome is None:
            report(0, 0.0)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        yield self.outcome


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(0, error="the cluster gave up on it: WorkerCrashedError"), "gave up on it"),
        (PlaceError("the Ray cluster has failed"), "has failed"),
    ],
)
def test_a_cluster_that_fails_is_not_the_jobs_fault(
    store: JobStore, settings: StudioSettings, outcome: Any, reason: str
) -> None:
    add(store, settings, "j")
    job = paint_next(store, settings, painter(Place(outcome)))
    assert (job.state, job.error, job.attempts, job.failure) == ("queued", None, 1, None)
    assert reason in str(job.last_error)
    assert job.not_before > time.time()


@pytest.mark.parametrize(
    ("error", "state", "error_line"),
    [
        (MemoryError("no memory"), "queued", None),
        (ImpastoError("this picture not"), "failed", "this picture not"),
    ],
)
def test_what_fails_there_is_judged_by_its_kind(
    store: JobStore,
    settings: StudioSettings,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
    error_line: str | None,
) -> None:
    def failing(*_: object) -> str:
        raise error

    monkeypatch.setattr("impasto.studio.worker.remote.paint_here", failing)
    add(store, settings, "j")
    job = paint_next(store, settings, painter())
    assert (job.state, job.error) == (state, error_line)


def test_a_job_that_is_cancelled_before_it_begins_ends_at_once(
    store: JobStore, settings: StudioSettings
) -> None:
    add(store, settings, "j")
    job = store.claim("w")
    assert job is not None
    store.cancel("j")
    paint_job(ClaimedJob(job, store, settings, "w", ALWAYS), store, painter(Place(None)).paint)
    after = store.get("j")
    assert after is not None
    assert (after.state, after.result) == ("cancelled", None)


def test_a_job_that_is_cancelled_keeps_the_best_picture_so_far(
    store: JobStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.studio.worker.remote._INTERVALS", ALWAYS)
    add(store, settings, "j", LONG)
    told: list[Any] = []
    update = store.update

    def cancelling(job_id: str, slot: str, **columns: Any) -> bool:
        told.append(columns)
        if columns.get("evaluation") == 3:
            store.cancel(job_id)
        return update(job_id, slot, **columns)

    monkeypatch.setattr(store, "update", cancelling)
    job = paint_next(store, settings, painter())
    assert (job.state, job.result) == ("cancelled", "result.png")
    assert len(told) < 12


class Waiting(ClusterPainter):
    """Paints nothing until it is told to, or drained."""

    def __init__(self) -> None:
        self.going, self.painting = threading.Event(), 0

    def paint(self, claimed: ClaimedJob) -> str | None:
        self.painting += 1
        while not self.going.wait(0.01):
            if claimed.draining.is_set():
                raise DrainedError
        return None

    def exchange(self) -> None:
        pass


def wait(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_as_many_jobs_as_there_is_room_for_and_none_is_lost_with_the_cluster(
    store: JobStore, settings: StudioSettings
) -> None:
    for name in ("a", "bb", "ccc"):
        add(store, settings, name)
    waiting, draining, gone, codes = Waiting(), threading.Event(), threading.Event(), list[int]()

    def room() -> int:
        if gone.is_set():
            raise PlaceError("the Ray cluster does not answer")
        return 2

    dispatcher = Dispatcher(settings, store, waiting, room, draining)
    thread = threading.Thread(target=lambda: codes.append(dispatcher.run()), daemon=True)
    thread.start()
    wait(lambda: waiting.painting == 2)
    assert store.count_by_state() == {"running": 2, "queued": 1}
    assert store.busy_slots() == {"cluster-0", "cluster-1"}
    gone.set()
    dispatcher._looked = -1e9
    thread.join(60.0)
    assert codes == [3], "the supervisor starts another process"
    assert store.count_by_state() == {"queued": 3}
    assert {job.attempts for job in store.all_jobs()} == {0}


def test_without_ray_or_a_cluster_the_studio_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from impasto.cli.studio import studio

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ImpastoError, match=r"needs Ray, which is not installed; pip install 'impasto\[ray\]'"
    ):
        studio(settings=StudioSettings(data=tmp_path / "data", workers="ray://head:10001"))
    assert not (tmp_path / "data").exists()


# -- with a cluster -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)  # on a machine that has much else to do
@pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes minutes: make soak")
def test_a_lost_machine_repeats_its_job_alone_and_cancelling_frees_the_cluster(
    store: JobStore, settings: StudioSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three pictures and a clip on three machines, one of which is lost; then a long picture is cancelled."""
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 1.0)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # tests have one
    pictures = ["a", "bb", "ccc"]
    with connected_machines() as machines:
        import ray

        for name in pictures:
            add(store, settings, name, RECIPE.replace(iterations=(60, 80)))
        add(store, settings, "clip", CLIP_RECIPE, clip=True)
        expected = {name: painted_here(store, settings, name) for name in [*pictures, "clip"]}
        painter = ClusterPainter(start_board(), needs_of, partial(RayExecutor, None, checked=True))
        draining = threading.Event()
        room = partial(cluster.room_for, Needs())
        dispatcher = Dispatcher(settings, store, painter, room, draining)
        thread = threading.Thread(target=dispatcher.run, daemon=True)
        thread.start()
        wait(lambda: store.count_by_state().get("running", 0) == 3)
        wait(lambda: any(job.progress for job in store.all_jobs()))
        machines.lose()
        wait(lambda: store.count_by_state() == {"done": 4}, 600.0)
        for job in store.all_jobs():
            assert job.result is not None
            assert (settings.job_folder(job.id) / job.result).read_bytes() == expected[job.id]
            assert (job.attempts, job.last_error) == (1, None), "Ray repeats it, the queue does not notice"
        add(store, settings, "long", LONG)
        wait(lambda: bool((job := store.get("long")) and job.preview), 120.0)
        store.cancel("long")
        wait(lambda: store.count_by_state().get("cancelled", 0) == 1, 60.0)
        job = store.get("long")
        assert job is not None
        assert job.result == "result.png"
        wait(lambda: ray.available_resources().get("CPU", 0.0) == 2.0, 60.0)
        draining.set()
        thread.join(30.0)
