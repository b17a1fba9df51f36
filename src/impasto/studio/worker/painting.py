"""Paints one claimed job, whatever its kind, and records how it ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from impasto import api, pictures, samples
from impasto.errors import ImpastoError
from impasto.recipe import Recipe
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import link_cached_result
from impasto.studio.sandbox.images import write_thumbnail
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.pictures import paint_picture

__all__ = ["paint_job", "warm_up"]


def warm_up(device: str) -> None:
    """Paint a tiny picture to load what every job needs, so that the first job need not wait for it."""
    picture = samples.photograph("chelsea")[..., :128, :128]
    api.run(api.prepare(picture, picture, Recipe(size=128, iterations=(3,)), device=device))


def paint_job(claimed: ClaimedJob, store: JobStore, device: str) -> None:
    """Paint a job to its end; any exception becomes the job's one-line error."""
    duplicate = store.find_duplicate(claimed.job.digest)
    if duplicate is not None and link_cached_result(duplicate, claimed.folder, claimed.settings):
        claimed.preview_count = max(1, claimed.preview_count)
        claimed.finish(duplicate.result)
        return
    try:
        with _working_directory(claimed.folder):
            result = _paint(claimed, device)
            if result is not None:
                write_thumbnail(Path("thumb.webp"), pictures.load("preview.jpg"))
        claimed.finish(result)
    except ImpastoError as error:
        claimed.finish(None, str(error))
    except Exception:
        logging.exception("job %s…", claimed.job.id[:6])
        claimed.finish(None, "the studio failed at this job; its log says why")


def _paint(claimed: ClaimedJob, device: str) -> str | None:
    """Paint; returns the name of the result's file, or None if the job was stopped before there was one."""
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
