"""``JobIntake``: checks requests, stores and decodes their files, and adds rows to the queue."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from impasto import __version__, samples
from impasto.studio.errors import RefusedError
from impasto.studio.intake.chosen_settings import ChosenSettings, choose_settings, refusal_about_setting
from impasto.studio.intake.request import JobRequest, UploadSource
from impasto.studio.intake.uploads import store_uploads
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore, StudioJob, new_job_id
from impasto.studio.queue.storage import folder_size, link_cached_result
from impasto.studio.sandbox.isolation import run_sandboxed
from impasto.studio.sandbox.job_files import JobFacts, prepare_job
from impasto.studio.settings import StudioSettings

__all__ = ["JobIntake"]

T = TypeVar("T")


class JobIntake:
    """Accepts jobs for one queue."""

    def __init__(self, settings: StudioSettings, store: JobStore) -> None:
        self._settings, self._store = settings.without_token(), store
        self._reserved: Counter[str] = Counter()
        self._lock = Lock()

    def run_sandboxed(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the sandbox under the limits for the files of one request."""
        limits = self._settings
        result: T = run_sandboxed(
            function, *arguments, memory=limits.decode_bytes, seconds=limits.decode_seconds
        )
        return result

    @contextmanager
    def reserve_place(self, client: str) -> Iterator[None]:
        """Reserve a place in the queue while a request is read.

        Raises:
            RefusedError: status 429 if the queue is full or the client has too many jobs in it.
        """
        settings = self._settings
        with self._lock:
            if self._store.waiting_count() + self._reserved.total() >= settings.queue:
                raise RefusedError("the queue is full", remedy="come back in a minute", status=429)
            if self._store.unfinished_count(client) + self._reserved[client] >= settings.client_jobs:
                got = f"{settings.client_jobs} of your jobs are waiting or running already"
                raise RefusedError(got, remedy="wait for one of them, or cancel it", status=429)
            self._reserved[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved[client] -= 1

    def accept(self, request: JobRequest, client: str, earlier: StudioJob | None = None) -> StudioJob:
        """Make a job of a request. It is finished at once if an identical job was painted before.

        Args:
            client: the address for which jobs are counted.
            earlier: the job whose files and settings are taken where the request has none.

        Raises:
            RefusedError: the request cannot be accepted; nothing of it is left on the disk.
        """
        if earlier is not None:
            request = self._with_earlier_files(request, earlier)
        chosen = choose_settings(request, earlier, self._settings)
        self.check_files(request)
        job_id = new_job_id()
        folder = self._settings.job_folder(job_id)
        folder.mkdir(parents=True)
        try:
            return self._add_job(job_id, folder, request, client, chosen)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _add_job(
        self, job_id: str, folder: Path, request: JobRequest, client: str, chosen: ChosenSettings
    ) -> StudioJob:
        uploads = store_uploads(folder, request)
        digest = _digest(uploads, chosen)
        columns: dict[str, Any] = {
            "id": job_id, "client": client, "digest": digest, "preset": chosen.preset,
            "recipe": chosen.recipe_json,
        }  # fmt: skip
        duplicate = self._store.find_duplicate(digest)
        if duplicate is not None and link_cached_result(duplicate, folder, self._settings):
            return self._add_finished(columns, duplicate, folder)
        video = chosen.video.model_dump_json()
        facts = self._prepare(folder, JobInputs.from_uploads(chosen.recipe_json, video, uploads))
        is_clip = facts.kind == "video"
        if request.video and not is_clip:
            raise RefusedError("settings of a clip for a picture", "none", "leave out 'video'", field="video")
        uploads |= {"format": facts.format, "copy": list(facts.copied_streams)}
        height, width = facts.size
        return self._store.add(
            **columns, kind=facts.kind, video=video if is_clip else None, uploads=json.dumps(uploads),
            height=height, width=width, frames=facts.frames,
        )  # fmt: skip

    def _prepare(self, folder: Path, inputs: JobInputs) -> JobFacts:
        try:
            return self.run_sandboxed(prepare_job, folder, inputs, self._settings)
        except RefusedError as error:
            raise refusal_about_setting(error) from None

    def _add_finished(self, columns: dict[str, Any], duplicate: StudioJob, folder: Path) -> StudioJob:
        """A finished row for a result that was linked.

        All its times are the present: when another client painted the same picture is private.
        """
        now = time.time()
        return self._store.add(
            **columns, kind=duplicate.kind, video=duplicate.video, uploads=duplicate.uploads,
            height=duplicate.height, width=duplicate.width, frames=duplicate.frames, state="done",
            created=now, started=now, finished=now, progress=1.0, preview=1, result=duplicate.result,
            bytes=folder_size(folder),
        )  # fmt: skip

    def _with_earlier_files(self, request: JobRequest, earlier: StudioJob) -> JobRequest:
        """The request with the earlier job's files where it has none of its own."""
        folder, files = self._settings.job_folder(earlier.id), earlier.files
        styles = [style["id"] or folder / f"style-{n}" for n, style in enumerate(files["styles"])]
        masks: list[UploadSource] = []
        style_masks: list[UploadSource] = []
        if not request.no_mask:
            masks += [folder / f"mask-{n}" for n in range(files["masks"])]
            style_masks += [folder / f"style_mask-{n}" for n in range(files["style_masks"])]
        return replace(
            request,
            content=folder / "content",
            styles=request.styles or styles,
            masks=request.masks or masks,
            style_masks=request.style_masks or style_masks,
        )

    def check_files(self, request: JobRequest) -> None:
        """Raise ``RefusedError`` for a missing content, an unknown style or too many files."""
        if request.content is None:
            raise RefusedError("no content", "a picture or a clip in 'content'", field="content")
        for style in request.styles:
            if isinstance(style, str) and style not in samples.PAINTINGS:
                possible = f"possible are {', '.join(samples.PAINTINGS)}"
                raise RefusedError(f"unknown style {style[:40]!r}", possible, field="style")
        counts = {
            "style": len(request.styles),
            "mask": len(request.masks),
            "style_mask": len(request.style_masks),
        }
        for name, count in counts.items():
            if count > self._settings.files:
                raise RefusedError(f"{count} of '{name}'", f"at most {self._settings.files}", field=name)


def _digest(uploads: Mapping[str, Any], chosen: ChosenSettings) -> str:
    """A hash that is equal for equal uploads and settings, painted by the same version."""
    parts = [__version__, uploads, chosen.recipe.to_json(), chosen.video.model_dump_json()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
