"""Paints one claimed job, whatever its kind, and records how it ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from impasto import api, pictures, samples
from impasto.recipe import Recipe
from impasto.studio.queue.attempts import FailureKind, failure_kind
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import link_cached_result
from impasto.studio.sandbox.images import write_thumbnail
from impasto.studio.traces import note_error
from impasto.studio.worker.claimed_job import ClaimedJob, DrainedError
from impasto.studio.worker.pictures import paint_picture

__all__ = ["Painter", "paint_here", "paint_job", "warm_up"]

#: Paints a job; returns the name of the result's file in its folder, or None if the job was stopped before
#: there was one.
Painter: TypeAlias = Callable[[ClaimedJob], str | None]


def warm_up(device: str) -> None:
    """Paint a tiny picture to load what every job needs, so that the first job need not wait for it."""
    picture = samples.photograph("chelsea")[..., :128, :128]
    api.run(api.prepare(picture, picture, Recipe(size=128, iterations=(3,)), device=device))


def paint_job(claimed: ClaimedJob, store: JobStore, paint: Painter) -> bool:
    """Paint a job to its end, or put it back into the queue if the failure was not its own.

    Args:
        paint: such as :func:`paint_here` for a device.

    Returns:
        Whether this process can paint another job; False after an error that may have damaged it.

    Raises:
        OSError, sqlite3.Error: how it ended cannot be recorded; the job still belongs to this worker.
    """
    try:
        claimed.finish(store, _result(claimed, store, paint))
    except DrainedError:
        claimed.retry_later(store, "the studio was stopped", counts=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job must not be lost
        return _record_failure(claimed, store, error)
    return True


def _record_failure(claimed: ClaimedJob, store: JobStore, error: Exception) -> bool:
    kind = failure_kind(error)
    note_error(type(error).__qualname__)
    if kind is FailureKind.PERMANENT:
        claimed.finish(store, None, str(error))
        return True
    logging.error("job %s…, attempt %d", claimed.job.id[:6], claimed.job.attempts, exc_info=error)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    claimed.retry_later(store, reason, counts=kind is not FailureKind.DISK_FULL)
    return kind is FailureKind.DISK_FULL


def _result(claimed: ClaimedJob, store: JobStore, paint: Painter) -> str | None:
    """The name of the result's file: an equal job's, an earlier attempt's, or painted now."""
    preview = claimed.folder / "preview.jpg"
    duplicate = store.find_duplicate(claimed.job.digest, claimed.job.person)
    if duplicate is not None and link_cached_result(duplicate, claimed.folder, claimed.settings):
        claimed.preview_count = max(int(preview.exists()), claimed.preview_count)
        return duplicate.result
    # Results are written whole or not at all: one that is there was finished, but not recorded.
    result = painted_before(claimed) or paint(claimed)
    if result is not None and preview.is_file():  # one that could not be written is only missed
        write_thumbnail(claimed.folder / "thumb.webp", pictures.load(preview))
    return result


def painted_before(claimed: ClaimedJob) -> str | None:
    """The result of an earlier attempt that ended before it was recorded; None if there is none."""
    name = "result.mp4" if claimed.job.kind == "video" else "result.png"
    if not (claimed.folder / name).is_file():
        return None
    if claimed.job.kind == "image":
        claimed.publish_preview(pictures.load(claimed.folder / name).pixels)
    return name if (claimed.folder / "preview.jpg").is_file() else None


def paint_here(claimed: ClaimedJob, device: str) -> str | None:
    """Paint in this process, see :data:`Painter`; its working directory is the job's folder meanwhile."""
    with _working_directory(claimed.folder):
        if claimed.job.kind == "image":
            return paint_picture(claimed, device)
        from impasto.studio.worker.clips import paint_clip  # PyAV and OpenCV are loaded for clips only

        return paint_clip(claimed, device)


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    previous = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(previous)
