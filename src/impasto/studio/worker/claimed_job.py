"""``ClaimedJob``: a job that this worker paints; reports progress, previews and the end of it."""

from __future__ import annotations

import io
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from impasto import pictures
from impasto.files import write_atomically
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.storage import (
    TEMPORARY_FILES,
    delete_files,
    delete_work_files,
    folder_size,
    sync_folder,
)
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import note_state

__all__ = ["ClaimedJob", "DrainedError", "ReportIntervals", "Reports"]

_PREVIEW_SIZE = 1024  # long side in pixels
_WRITE_ATTEMPTS, _WRITE_PAUSE = 5, 0.2  # seconds; doubled after each attempt

log = logging.getLogger("impasto.studio")


class DrainedError(Exception):
    """The worker was asked to end; the job is saved and goes back into the queue."""


@dataclass(frozen=True)
class ReportIntervals:
    """How often a worker reports about its job.

    Attributes:
        progress: minimum seconds between two progress reports.
        preview: minimum seconds between two previews.
        save: minimum seconds between two saved states.
        save_cost_factor: minimum interval between two saved states, in multiples of the time to save one.
    """

    progress: float = 0.2
    preview: float = 0.5
    save: float = 5.0
    save_cost_factor: float = 20.0


DEFAULT_INTERVALS = ReportIntervals()


class Reports(Protocol):
    """Where reports about a job go while it is painted: the queue, or from another machine a way to it."""

    def update(self, job_id: str, slot: str, **columns: Any) -> bool:
        """See :meth:`JobStore.update`."""

    def touch(self, job_id: str, slot: str, seconds: float) -> bool:
        """See :meth:`JobStore.touch`."""

    def get(self, job_id: str) -> StudioJob | None:
        """See :meth:`JobStore.get`."""


class ClaimedJob:
    """One job of this worker's slot.

    Attributes:
        folder: the job's files; the worker's working directory while it paints.
        preview_count: previews published so far, those of earlier workers included.
        not_cancelled: whether the client still wanted the job at the last report.
        time_over: whether painting was told to stop because its time is over.
        deleted: whether the client had deleted the job at the last sign of life.
        draining: set when the worker is asked to end; the next report then raises ``DrainedError``.
        max_memory: bytes that painting may take; None: as this machine allows.
    """

    def __init__(
        self,
        job: StudioJob,
        reports: Reports,
        settings: StudioSettings,
        slot: str,
        intervals: ReportIntervals = DEFAULT_INTERVALS,
        draining: threading.Event | None = None,
        max_memory: float | None = None,
    ) -> None:
        self.job, self.settings, self.intervals = job, settings, intervals
        self.inputs, self.folder = job.inputs, settings.job_folder(job.id)
        self.preview_count = job.preview
        self.not_cancelled, self.time_over, self.deleted = True, False, False
        self.draining = draining or threading.Event()
        self.max_memory = max_memory
        self._reports, self._slot = reports, slot
        self._started = time.monotonic()
        self._last_report = self._last_preview = self._last_sign = 0.0
        self._latest: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """Painting time, that of earlier workers included."""
        return (self.job.seconds or 0.0) + time.monotonic() - self._started

    def report_progress(self, *, force: bool = False, **columns: Any) -> bool:
        """Write columns of the job's row, unless the last report was less than ``intervals.progress`` ago.

        Args:
            force: write in any case.

        An error of the database is only logged: the painting matters more than a report about it.

        Returns:
            False if painting should stop: the job was cancelled, or its time is over.

        Raises:
            DrainedError: the worker was asked to end.
        """
        if self.draining.is_set():
            raise DrainedError
        self._latest |= columns
        if force or time.monotonic() - self._last_report > self.intervals.progress:
            self._last_report = time.monotonic()
            columns |= {"preview": self.preview_count, "seconds": self.seconds}
            try:
                self.not_cancelled = self._reports.update(self.job.id, self._slot, **columns)
            except sqlite3.Error as error:
                log.warning("job %s…: no progress report: %s", self.job.id[:6], error)
        self.time_over = self.seconds >= self.settings.job_seconds
        return self.not_cancelled and not self.time_over

    @property
    def latest(self) -> Mapping[str, Any]:
        """The latest values of the row's columns, reported or not."""
        return self._latest

    def publish_preview(self, picture: Image.Image | Tensor) -> None:
        """Replace ``preview.jpg``.

        Args:
            picture: a Pillow image or (1, 3, H, W), sRGB, [0, 1].
        """
        if isinstance(picture, Tensor):
            picture = Image.fromarray(pictures.to_uint8(picture))
        picture.thumbnail((_PREVIEW_SIZE, _PREVIEW_SIZE))
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=85)
        self.publish_file(buffer.getvalue())

    def publish_file(self, preview: bytes) -> None:
        """Replace ``preview.jpg`` with these bytes of a JPEG file."""
        self._last_preview = time.monotonic()
        try:
            write_atomically(self.folder / "preview.jpg", preview)
        except OSError as error:  # such as a full disk; the result has to be written, a preview does not
            log.warning("job %s…: no preview: %s", self.job.id[:6], error)
        else:
            self.preview_count += 1

    def preview_due(self) -> bool:
        """Whether the last preview was long enough ago for another."""
        return time.monotonic() - self._last_preview > self.intervals.preview

    def sign_of_life(self) -> None:
        """Tell the supervisor that a job which was cancelled is still being ended.

        Raises:
            DrainedError: the worker was asked to end.
        """
        if self.draining.is_set():
            raise DrainedError
        if time.monotonic() - self._last_sign > self.intervals.progress:
            self._last_sign = time.monotonic()
            try:
                self._reports.touch(self.job.id, self._slot, self.seconds)
                self.deleted = self._reports.get(self.job.id) is None
            except sqlite3.Error as error:
                log.warning("job %s…: no progress report: %s", self.job.id[:6], error)

    def finish(self, store: JobStore, result: str | None, error: str | None = None) -> None:
        """Delete temporary files and write the final state.

        Args:
            store: the queue.
            result: name of the result's file in the job's folder; None if there is none.
            error: one line for the client if the job failed.

        Raises:
            OSError, sqlite3.Error: it cannot be written, though it was tried for some seconds.
        """
        if result is None and error is None and self.not_cancelled:
            error = "its time was over before there was a picture; make it smaller or shorter"
        state = "failed" if error else "done" if self.not_cancelled else "cancelled"
        failure = "permanent" if error else "time" if self.time_over and state == "done" else None
        note_state(state)
        # First of all: a row that says "done" must find its result, and so must an attempt without inputs.
        self._persist(lambda: sync_folder(self.folder))
        # Before the row is written, so that its size is right. If it cannot be written, the result is found
        # by the next attempt.
        delete_work_files(self.folder, state)
        self._persist(
            lambda: store.finish(
                self.job.id, self._slot, state, **self._latest, result=result, error=error,
                failure=failure, preview=self.preview_count, seconds=self.seconds,
                bytes=folder_size(self.folder),
            )
        )  # fmt: skip

    def retry_later(self, store: JobStore, reason: str, *, counts: bool) -> None:
        """Put the job back into the queue, or set it aside after too many attempts.

        Args:
            store: the queue.
            reason: what the attempt ended with, in one line, for the operator.
            counts: whether the attempt counts.
        """
        delete_files(self.folder, ("*.partial*",))
        attempts = self.settings.attempts
        note_state("failed" if counts and self.job.attempts >= attempts else "queued")
        self._persist(
            lambda: store.retry_later(
                self.job, self._slot, reason, attempts=attempts, counts=counts
            )
        )  # fmt: skip
        if counts and self.job.attempts >= attempts:
            delete_files(self.folder, TEMPORARY_FILES)

    def _persist(self, write: Callable[[], object]) -> None:
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            try:
                write()
                return
            except (OSError, sqlite3.Error):
                if attempt == _WRITE_ATTEMPTS:
                    raise
            time.sleep(_WRITE_PAUSE * 2.0**attempt)
