"""Has jobs painted on a cluster: one process claims as many as the cluster has room for.

Each job that is being painted has a slot, as a worker has, and a thread that waits for it. What a client sees
is the same: progress, previews, the best so far of what is cancelled. When this process ends, however it
does, its slots are free, and the supervisor puts their jobs back into the queue.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from filelock import FileLock, Timeout

from impasto import api
from impasto.errors import ImpastoError
from impasto.machine import choose_device
from impasto.painting.schedule import painting_size
from impasto.painting.setup import encoder_for
from impasto.pieces.board import Board, start_board
from impasto.pieces.cluster import RayExecutor, fitting, room_for
from impasto.pieces.connection import connected
from impasto.pieces.piece import Executor, Needs, PlaceError, Stopped
from impasto.pieces.running import run_pieces
from impasto.studio.queue.attempts import AttemptError, FailureKind
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.slots import slot_lock
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import Traces
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.loop import WorkLoop
from impasto.studio.worker.painting import paint_job
from impasto.studio.worker.remote import PaintedJob, Wanted, job_piece

__all__ = ["ClusterPainter", "Dispatcher", "needs_of", "work_on_cluster"]

_EXCHANGE_SECONDS = 0.5  # between two looks at the board
_LOOK_SECONDS = 5.0  # between two looks at the size of the cluster
_WAIT_SECONDS = 0.1  # while all slots are busy
_END_SECONDS = 8.0  # that the threads have for putting their jobs back
_SILENCE_SECONDS = 30.0  # after which a job that was cancelled is ended without what there is
_FAILED = 3  # exit code

log = logging.getLogger("impasto.studio")


def work_on_cluster(
    settings: StudioSettings, store: JobStore, draining: threading.Event, on_ready: Callable[[], None]
) -> int:
    """Have jobs painted until the server ends or the cluster is gone; returns an exit code.

    Args:
        on_ready: called when the cluster has answered.
    """
    address = None if settings.workers == "ray" else settings.workers
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with connected(address):
            for number, handler in handlers.items():  # Ray takes them
                signal.signal(number, handler)
            one_job = Needs(_threads(settings), 0.0, settings.gpus_per_job)
            RayExecutor(address, one_job).check()
            board = start_board()
            painter = ClusterPainter(
                board,
                needs=lambda claimed: fitting(needs_of(claimed)),
                executor=partial(RayExecutor, address, checked=True),
            )
            on_ready()
            room = partial(room_for, one_job)
            return Dispatcher(settings, store, painter, room, draining).run()
    except ImpastoError as error:
        log.error("no jobs are painted: %s", error)
        draining.wait(_LOOK_SECONDS)
        return _FAILED


def _threads(settings: StudioSettings) -> int:
    return settings.threads or 1


def needs_of(claimed: ClaimedJob) -> Needs:
    """What painting a job takes of a machine, by our own planning."""
    settings, size = claimed.settings, (claimed.job.height, claimed.job.width)
    recipe = claimed.inputs.complete_recipe().replace(size=max(size))
    encoder = encoder_for(recipe, choose_device("cpu"))
    if claimed.job.kind == "video":
        from impasto.video.needs import shot_needs

        memory = shot_needs(recipe, encoder, size).memory
    else:
        # A little more than is needed, so that the same plan is made again where it is painted.
        painted = painting_size(recipe, *size)
        memory = api.expected_memory(recipe, encoder, painted, float("inf")).bytes + 1e6
    return Needs(_threads(settings), memory, settings.gpus_per_job)


class ClusterPainter:
    """Has claimed jobs painted somewhere else, each in the thread that calls :meth:`paint`.

    Args:
        board: on which the painting processes report.
        needs: what a job takes.
        executor: where pieces with such needs are worked on.
    """

    def __init__(
        self, board: Board, needs: Callable[[ClaimedJob], Needs], executor: Callable[[Needs], Executor]
    ) -> None:
        self._board, self._needs, self._executor = board, needs, executor
        self._jobs: dict[str, _RemoteJob] = {}

    def paint(self, claimed: ClaimedJob) -> str | None:
        """See :data:`impasto.studio.worker.painting.Painter`.

        Raises:
            PlaceError: the cluster has failed.
            AttemptError: the painting has failed there.
            DrainedError: this process was asked to end.
        """
        needs = self._needs(claimed)
        piece = job_piece(claimed, self._board, needs.memory if not needs.gpus else None)
        job = self._jobs[claimed.job.id] = _RemoteJob(claimed)
        painted: PaintedJob | None = None
        try:
            for outcome in run_pieces([piece], self._executor(needs), on_progress=lambda _: job.look()):
                if outcome.error is not None:
                    raise PlaceError(outcome.error)
                painted = outcome.result
        except Stopped:
            if claimed.not_cancelled:
                raise PlaceError("the cluster did not begin the job in time") from None
            return None
        finally:
            del self._jobs[claimed.job.id]
        assert painted is not None
        if painted.failure is not None:
            kind, reason = painted.failure
            raise AttemptError(FailureKind(kind), reason)
        claimed.preview_count = max(claimed.preview_count, painted.columns.get("preview", 0))
        claimed.report_progress(force=True, **_facts(painted.columns))
        return painted.result

    def exchange(self) -> None:
        """Take the news from the board, and answer them."""
        jobs = dict(self._jobs)
        for job_id, news in self._board.exchange({id: job.wanted for id, job in jobs.items()}).items():
            if job_id in jobs:
                jobs[job_id].hear(news)


class _RemoteJob:
    """A job that is being painted elsewhere, as seen from here.

    Attributes:
        wanted: the answer to its reports.
    """

    def __init__(self, claimed: ClaimedJob) -> None:
        self.wanted = Wanted()
        self._claimed, self._lock = claimed, threading.Lock()
        self._news: dict[str, Any] = {}
        self._heard: float | None = None

    def hear(self, news: dict[str, Any]) -> None:
        """Take a report, in any thread."""
        with self._lock:
            self._news |= news
            self._heard = time.monotonic()

    def look(self) -> None:
        """Pass on what was heard, and find out whether the job is still wanted.

        Raises:
            Stopped: it is not, and nothing is heard that would end it.
            AttemptError: nothing has been heard for too long.
            DrainedError: this process was asked to end.
        """
        claimed = self._claimed
        with self._lock:
            news, self._news = self._news, {}
        if "preview" in news:
            claimed.publish_file(news["preview"])
        going_on = claimed.report_progress(**_facts(news.get("columns", {})))
        silence = time.monotonic() - (self._heard or 0.0)
        if going_on:
            if self._heard is not None and silence > claimed.settings.stall_seconds:
                raise AttemptError(FailureKind.TRANSIENT, "nothing was heard from the cluster for too long")
            return
        claimed.sign_of_life()
        self.wanted = Wanted(False, not claimed.deleted)
        if silence > _SILENCE_SECONDS:  # before it has begun, too
            raise Stopped


def _facts(columns: dict[str, Any] | Any) -> dict[str, Any]:
    """What a report says about the painting; previews and time are counted here."""
    return {name: value for name, value in columns.items() if name not in ("preview", "seconds")}


class Dispatcher:
    """Claims jobs for as many slots as there is room for.

    Args:
        room: how many jobs can be painted at a time; raises ``PlaceError`` where nothing answers.
    """

    def __init__(
        self,
        settings: StudioSettings,
        store: JobStore,
        painter: ClusterPainter,
        room: Callable[[], int],
        draining: threading.Event,
    ) -> None:
        self._settings, self._store, self._painter, self._room = settings, store, painter, room
        self._draining, self._traces = draining, Traces(settings)
        self._threads: dict[str, threading.Thread] = {}  # by their slots
        self._slots: dict[str, tuple[FileLock, WorkLoop]] = {}
        self._size, self._looked = 0, -_LOOK_SECONDS
        self._failed = False

    def run(self) -> int:
        """Work until the server ends or the cluster is gone; returns an exit code."""
        ended = threading.Event()
        exchange = threading.Thread(target=self._exchange, args=(ended,), daemon=True)
        exchange.start()
        try:
            while not self._draining.is_set() and not self._failed:
                self._step()
        except PlaceError as error:
            log.error("this process ends, to be replaced: %s", error)
            self._failed = True
        self._draining.set()  # what is being painted goes back into the queue
        end = time.monotonic() + _END_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))
        ended.set()
        for lock, _ in self._slots.values():
            lock.release()
        self._traces.stop()
        return _FAILED if self._failed else 0

    def _step(self) -> None:
        """Claim a job if there is a free slot and a job."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._size = self._room()
            self._looked = time.monotonic()
        slot = self._free_slot()
        if slot is None:
            self._draining.wait(_WAIT_SECONDS)
            return
        lock, loop = self._slots[slot]
        code = loop.step()
        if code:
            self._failed = True
        elif code == 0:  # it has had as many jobs as a worker paints; nothing was painted in this process
            self._slots[slot] = lock, self._new_loop(slot)

    def _free_slot(self) -> str | None:
        for number in range(self._size):
            slot = f"cluster-{number}"
            thread = self._threads.get(slot)
            if (thread is None or not thread.is_alive()) and self._take(slot):
                return slot
        return None

    def _take(self, slot: str) -> bool:
        """Lock a slot; False while a process that is ending still has it."""
        if slot in self._slots:
            return True
        lock = slot_lock(self._settings, slot)
        try:
            lock.acquire(timeout=0.0)
        except Timeout:
            return False
        self._store.release(slot, attempts=self._settings.attempts)
        self._slots[slot] = lock, self._new_loop(slot)
        return True

    def _new_loop(self, slot: str) -> WorkLoop:
        start = partial(self._start, slot)
        return WorkLoop(self._settings, self._store, slot, start, self._draining)

    def _start(self, slot: str, job: StudioJob) -> bool:
        thread = threading.Thread(target=self._paint, args=(slot, job), name=slot, daemon=True)
        self._threads[slot] = thread
        thread.start()
        return True

    def _paint(self, slot: str, job: StudioJob) -> None:
        claimed = ClaimedJob(job, self._store, self._settings, slot, draining=self._draining)
        try:
            with self._traces.painting(job, slot):
                if not paint_job(claimed, self._store, self._painter.paint):
                    self._looked = -_LOOK_SECONDS  # was it the cluster?
        except Exception:
            # Its end could not be recorded. The supervisor puts the job back once this process has ended.
            log.exception("job %s…: cannot be recorded", job.id[:6])
            self._failed = True

    def _exchange(self, ended: threading.Event) -> None:
        while not ended.wait(_EXCHANGE_SECONDS):
            try:
                self._painter.exchange()
            except Exception as error:  # noqa: BLE001 - a cluster that is gone shows in many ways
                log.error("nothing is heard from the cluster: %s", " ".join(str(error).split())[:200])
                self._looked = -_LOOK_SECONDS
                ended.wait(_LOOK_SECONDS)
