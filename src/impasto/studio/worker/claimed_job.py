"""``ClaimedJob``: a job that this worker paints; reports progress, previews and the end of it."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from impasto import pictures
from impasto.files import write_atomically
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.storage import folder_size
from impasto.studio.settings import StudioSettings

__all__ = ["ClaimedJob", "ReportIntervals"]

_PREVIEW_SIZE = 1024  # long side in pixels
_TEMPORARY_FILES = ("style-*.png", "mask-*.png", "style_mask-*.png", "state.*", "*.partial*")


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


class ClaimedJob:
    """One job of this worker's slot.

    Attributes:
        folder: the job's files; the worker's working directory while it paints.
        preview_count: previews published so far, those of earlier workers included.
        not_cancelled: whether the client still wanted the job at the last report.
    """

    def __init__(
        self,
        job: StudioJob,
        store: JobStore,
        settings: StudioSettings,
        slot: str,
        intervals: ReportIntervals = DEFAULT_INTERVALS,
    ) -> None:
        self.job, self.settings, self.intervals = job, settings, intervals
        self.inputs, self.folder = job.inputs, settings.job_folder(job.id)
        self.preview_count = job.preview
        self.not_cancelled = True
        self._store, self._slot = store, slot
        self._started = time.monotonic()
        self._last_report = self._last_preview = 0.0
        self._latest: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """Painting time, that of earlier workers included."""
        return (self.job.seconds or 0.0) + time.monotonic() - self._started

    def report_progress(self, *, force: bool = False, **columns: Any) -> bool:
        """Write columns of the job's row, unless the last report was less than ``intervals.progress`` ago.

        Args:
            force: write in any case.

        Returns:
            False if painting should stop: the job was cancelled, or its time is over.
        """
        self._latest |= columns
        if force or time.monotonic() - self._last_report > self.intervals.progress:
            self._last_report = time.monotonic()
            columns |= {"preview": self.preview_count, "seconds": self.seconds}
            self.not_cancelled = self._store.update(self.job.id, self._slot, **columns)
        return self.not_cancelled and self.seconds < self.settings.job_seconds

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
        write_atomically(self.folder / "preview.jpg", buffer.getvalue())
        self.preview_count, self._last_preview = self.preview_count + 1, time.monotonic()

    def preview_due(self) -> bool:
        """Whether the last preview was long enough ago for another."""
        return time.monotonic() - self._last_preview > self.intervals.preview

    def finish(self, result: str | None, error: str | None = None) -> None:
        """Delete temporary files and write the final state.

        Args:
            result: name of the result's file in the job's folder; None if there is none.
            error: one line for the client if the job failed.
        """
        for pattern in _TEMPORARY_FILES:
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        state = "failed" if error else "done" if self.not_cancelled else "cancelled"
        self._store.finish(
            self.job.id, self._slot, state, **self._latest, result=result, error=error,
            preview=self.preview_count, seconds=self.seconds, bytes=folder_size(self.folder),
        )  # fmt: skip
