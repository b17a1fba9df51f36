"""A job as a piece of work for a machine of a cluster: painted there by the worker's own code.

Its files travel with it; reports and previews come back over a board while it is painted, the result at the
end. The machine needs neither the queue nor the studio's data folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.files import write_atomically
from impasto.pieces.board import Board
from impasto.pieces.piece import Files, Report, Stopped
from impasto.studio.queue.attempts import failure_kind
from impasto.studio.queue.storage import INPUTS
from impasto.studio.queue.studio_job import StudioJob
from impasto.studio.settings import StudioSettings
from impasto.studio.worker.claimed_job import ClaimedJob, ReportIntervals
from impasto.studio.worker.painting import paint_here

__all__ = ["JobPiece", "PaintedJob", "Wanted", "job_piece"]

#: Reports pass through two processes, so they come less often. States are not saved: they would be lost
#: with the machine.
_INTERVALS = ReportIntervals(progress=1.0, preview=1.0, save=float("inf"))
_PREVIEW = "preview.jpg"


@dataclass(frozen=True)
class Wanted:
    """What the studio answers to a report.

    Attributes:
        result: whether painting should go on; otherwise it should end with what there is.
        anything: whether even what there is will be kept.
    """

    result: bool = True
    anything: bool = True


@dataclass(frozen=True)
class PaintedJob:
    """How painting ended.

    Attributes:
        result: name of the result's file; None if there is none.
        files: name → bytes, the result last.
        columns: of the job's row, as last reported.
        failure: kind of the failure and its line; None if there was none.
    """

    result: str | None
    files: Mapping[str, bytes]
    columns: Mapping[str, Any]
    failure: tuple[str, str] | None = None


@dataclass(frozen=True)
class JobPiece:
    """One job of the studio; see :class:`impasto.pieces.piece.Piece`.

    Attributes:
        job: without what says whose it is.
        settings: those of the studio, without secrets.
        files: what it is painted from, as it stands on the studio's machine.
        max_memory: bytes that painting may take; None: as the machine allows.
    """

    job: StudioJob
    settings: StudioSettings
    files: tuple[Path, ...]
    board: Board
    max_memory: float | None

    @property
    def label(self) -> str:
        """The first letters of its id."""
        return f"job {self.job.id[:6]}…"

    @property
    def cost(self) -> float:
        """See :class:`impasto.pieces.piece.Piece`."""
        return 1.0

    def is_done(self) -> bool:
        """Never: what was finished before is not claimed again."""
        return False

    def inputs(self) -> Sequence[Path]:
        """See :class:`impasto.pieces.piece.Piece`."""
        return self.files

    def work(self, files: Files, report: Report) -> PaintedJob:
        """Paint it in a temporary folder. Whatever fails is told in the result, because its kind counts."""
        with tempfile.TemporaryDirectory(prefix="impasto-") as name:
            settings = self.settings.model_copy(update={"data": Path(name)})
            folder = settings.job_folder(self.job.id)
            reports = _Reports(self.board, self.job, folder / _PREVIEW, report)
            try:
                folder.mkdir(parents=True)
                for path in self.files:
                    write_atomically(folder / path.name, files.read(path))
                claimed = ClaimedJob(self.job, reports, settings, "", _INTERVALS, max_memory=self.max_memory)
                result = paint_here(claimed, settings.cluster_device)
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the studio decides what becomes of it
                return PaintedJob(None, {}, reports.columns, (failure_kind(error).value, _line(error)))
            names = [name for name in (_PREVIEW, result) if name is not None and (folder / name).exists()]
            contents = {name: (folder / name).read_bytes() for name in names}
            # The last evaluations may have come too soon after a report to be reported.
            return PaintedJob(result, contents, {**reports.columns, **claimed.latest})

    def keep(self, result: PaintedJob) -> None:
        """Put result and preview into the job's folder."""
        folder = self.settings.job_folder(self.job.id)
        for name, data in result.files.items():
            write_atomically(folder / name, data)


def job_piece(claimed: ClaimedJob, board: Board, max_memory: float | None) -> JobPiece:
    """The piece for a job that this worker has claimed."""
    job = replace(claimed.job, client="", person=None, request_key=None, webhook=None)
    patterns = ("content.png", *(("content",) if job.kind == "video" else ()), *INPUTS)
    files = tuple(path for pattern in patterns for path in sorted(claimed.folder.glob(pattern)))
    return JobPiece(job, claimed.settings.without_token(), files, board, max_memory)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@dataclass
class _Reports:
    """The way from a painting machine to the queue; see :class:`claimed_job.Reports`.

    Attributes:
        columns: the latest of all.
    """

    board: Board
    job: StudioJob
    preview: Path
    report: Report
    columns: dict[str, Any] = field(default_factory=dict)
    _previews: int = -1

    def update(self, job_id: str, slot: str, **columns: Any) -> bool:
        self.columns |= columns
        return self._tell(columns).result

    def touch(self, job_id: str, slot: str, seconds: float) -> bool:
        return self._tell({}).anything

    def get(self, job_id: str) -> StudioJob | None:
        return self.job if self._tell({}).anything else None

    def _tell(self, columns: Mapping[str, Any]) -> Wanted:
        news: dict[str, Any] = {"columns": dict(self.columns)}
        number = columns.get("preview", self._previews)
        if number != self._previews and self.preview.exists():
            self._previews = number
            news["preview"] = self.preview.read_bytes()
        self.report(float(columns.get("progress") or 0.0))
        answer = self.board.tell(self.job.id, news)
        return answer if isinstance(answer, Wanted) else Wanted()
