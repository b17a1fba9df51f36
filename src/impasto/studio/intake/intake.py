"""``JobIntake``: checks requests, stores and decodes their files, and adds rows to the queue."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import torch

from impasto import __version__, samples
from impasto.api import SAVED_STYLE_SUFFIX
from impasto.files import readable_size
from impasto.machine import available_memory
from impasto.studio.errors import RefusedError
from impasto.studio.intake.chosen_settings import ChosenSettings, choose_settings, refusal_about_setting
from impasto.studio.intake.client_limits import HourlyLimit, rate_limit_headers
from impasto.studio.intake.quotas import QuotaCheck
from impasto.studio.intake.request import JobRequest, UploadSource
from impasto.studio.intake.uploads import store_uploads
from impasto.studio.queue.data_folder import disk_short, room_for_jobs
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore, StudioJob, new_job_id
from impasto.studio.queue.people import Person
from impasto.studio.queue.storage import folder_size, link_cached_result, sync_folder
from impasto.studio.sandbox.isolation import run_sandboxed
from impasto.studio.sandbox.job_files import JobFacts, prepare_job
from impasto.studio.sandbox.landlock import Fence
from impasto.studio.sandbox.samples import render_sample
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import current_traceparent
from impasto.studio.webhooks import allowed_webhook

__all__ = ["JobIntake"]

T = TypeVar("T")

#: Share of the free memory that one decoding may take, and what it may take in any case, in bytes.
_DECODE_SHARE, _LEAST_DECODE_BYTES = 0.4, 500_000_000


class JobIntake:
    """Accepts jobs for one queue."""

    def __init__(self, settings: StudioSettings, store: JobStore) -> None:
        self._settings, self._store = settings.without_token(), store
        self._reserved: Counter[str] = Counter()
        self._hourly = HourlyLimit(settings.client_hourly)
        self._quotas = QuotaCheck(self._settings, store)
        self._keys: set[tuple[str, str]] = set()  # (client, request key) of requests in progress
        self._lock = Lock()
        self._adding = Lock()  # held while a person's space is compared and taken

    def run_sandboxed(self, function: Callable[..., T], folder: Path, *arguments: Any) -> T:
        """Call a function of the sandbox under the limits for the files of one request.

        Args:
            folder: the function's first argument, and the only folder in which it may write or find uploads.
        """
        limits = self._settings
        fence = Fence((folder,), (limits.data / "samples",))
        free = _DECODE_SHARE * available_memory(torch.device("cpu"))
        memory = int(min(limits.decode_bytes, max(free, _LEAST_DECODE_BYTES)))
        result: T = run_sandboxed(
            function, folder, *arguments, memory=memory, seconds=limits.decode_seconds, fence=fence
        )
        return result

    def render_styles(self, names: Iterable[str | None]) -> None:
        """Render the built-in styles of those names unless they are there; None stands for an upload."""
        samples_folder = self._settings.data / "samples"
        for name in names:
            if name is not None and not (samples_folder / f"{name}.png").exists():
                run_sandboxed(render_sample, samples_folder, name, memory=4 * 10**9, seconds=600)

    def check_place(self, client: str, person: Person | None = None) -> None:
        """Refuse a request that would not get a place, before its body is read.

        Args:
            client: for whom jobs are counted: an address, or a person.
            person: who signed in, if anybody.

        Raises:
            RefusedError: status 429 if the queue is full, the client has too many jobs in it or a quota of
                the person's is used up; 507 if the disk is short of space, or the person's space is full.
        """
        if disk_short(self._settings):
            raise RefusedError("the studio's disk is short of space", remedy="come back later", status=507)
        with self._lock:
            self._require_place(client, person)
        if person is not None:
            self._quotas.require_space(person, 1)

    @contextmanager
    def reserve_place(self, client: str, person: Person | None = None) -> Iterator[None]:
        """Reserve a place in the queue while the files of a request are decoded.

        Raises:
            RefusedError: as :meth:`check_place`; also if the client has sent too many within an hour.
        """
        with self._lock:
            self._require_place(client, person)
            self._hourly.count(client)
            self._reserved[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved[client] -= 1
                if not self._reserved[client]:
                    del self._reserved[client]

    def rate_limits(self, client: str, person: Person | None) -> dict[str, str]:
        """Headers that say how many jobs the client may still send."""
        limits = [self._hourly.remaining(client)]
        return rate_limit_headers([*limits, *(self._quotas.rate_limits(person) if person else ())])

    def _require_place(self, client: str, person: Person | None) -> None:
        settings = self._settings
        if self._store.waiting_count() + self._reserved.total() >= settings.queue:
            raise RefusedError("the queue is full", remedy="come back in a minute", status=429)
        if self._store.unfinished_count(client) + self._reserved[client] >= settings.client_jobs:
            got = f"{settings.client_jobs} of your jobs are waiting or running already"
            remedy = "wait for one of them, or cancel it"
            raise RefusedError(got, remedy=remedy, status=429, policy="client-jobs")
        if person is not None:
            self._quotas.require_today(person, self._reserved[client])

    @contextmanager
    def _one_at_a_time(self, client: str, key: str | None) -> Iterator[None]:
        """Refuse a request whose key another request in progress has."""
        if key is None:
            yield
            return
        entry = (client, key)
        with self._lock:
            if entry in self._keys:
                got = "a request with this Idempotency-Key is in progress"
                raise RefusedError(got, remedy="try again in a moment", status=409, retry_after=2)
            self._keys.add(entry)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(entry)

    def accept(
        self,
        request: JobRequest,
        client: str,
        earlier: StudioJob | None = None,
        key: str | None = None,
        person: Person | None = None,
    ) -> StudioJob:
        """Make a job of a request. It is finished at once if an identical job was painted before.

        Args:
            client: for whom jobs are counted: an address, or a person.
            earlier: the job whose files and settings are taken where the request has none.
            key: the client's own name for the request: the same request with the same key is the same job.
            person: whose job it becomes.

        Raises:
            RefusedError: the request cannot be accepted; nothing of it is left on the disk.
        """
        if earlier is not None:
            request = self._with_earlier_files(request, earlier)
        chosen = choose_settings(request, earlier, self._settings)
        self.check_files(request)
        if request.webhook is not None:
            allowed_webhook(request.webhook, self._settings.webhook_host)
        job_id = new_job_id()
        folder = self._settings.job_folder(job_id)
        with self._one_at_a_time(client, key):
            folder.mkdir(parents=True)
            try:
                job = self._add_job(job_id, folder, request, client, chosen, key, person)
            except BaseException:
                self._remove_unless_accepted(job_id, folder)
                raise
            if job.id != job_id:
                shutil.rmtree(folder, ignore_errors=True)
        return job

    def _remove_unless_accepted(self, job_id: str, folder: Path) -> None:
        """Delete the files of a request that failed.

        They stay if the row was written before the error, or if the database cannot say: what has no row is
        removed at the next start.
        """
        with suppress(sqlite3.Error, OSError, MemoryError):
            if self._store.get(job_id) is None:
                shutil.rmtree(folder, ignore_errors=True)

    def _add_job(
        self,
        job_id: str,
        folder: Path,
        request: JobRequest,
        client: str,
        chosen: ChosenSettings,
        key: str | None,
        person: Person | None,
    ) -> StudioJob:
        """The new job, or the one that the same request with the same key was accepted as."""
        uploads = store_uploads(folder, request)
        digest = _digest(uploads, chosen)
        accepted = None if key is None else self._store.find_by_key(client, key)
        if accepted is not None:
            if accepted.digest != digest:
                raise RefusedError("this Idempotency-Key was used for another request", "a new key for each")
            return accepted
        columns: dict[str, Any] = {
            "id": job_id, "client": client, "digest": digest, "preset": chosen.preset,
            "recipe": chosen.recipe_json, "request_key": key, "webhook": request.webhook,
            "person": None if person is None else person.id, "traceparent": current_traceparent(),
        }  # fmt: skip
        duplicate = self._store.find_duplicate(digest, columns["person"])
        if duplicate is not None and link_cached_result(duplicate, folder, self._settings):
            return self._add_finished(columns, duplicate, folder)
        video = chosen.video.model_dump_json()
        inputs = JobInputs.from_uploads(chosen.recipe_json, video, uploads)
        facts = self._prepare(folder, inputs)
        for number, style in enumerate(uploads["styles"]):
            style["learned"] = (folder / f"style-{number}{SAVED_STYLE_SUFFIX}").exists()
        is_clip = facts.kind == "video"
        if request.video and not is_clip:
            raise RefusedError("settings of a clip for a picture", "none", "leave out 'video'", field="video")
        uploads |= {"format": facts.format, "copy": list(facts.copied_streams)}
        height, width = facts.size
        reserved = self._reserve_disk(facts, inputs)
        sync_folder(folder)  # what was accepted has to survive a power cut
        columns |= {
            "kind": facts.kind, "video": video if is_clip else None, "uploads": json.dumps(uploads),
            "height": height, "width": width, "frames": facts.frames, "reserved": reserved,
        }  # fmt: skip
        size = folder_size(folder)
        if person is None:
            return self._store.add(**columns, bytes=size)
        with self._adding:
            self._quotas.require_space(person, size + reserved)
            return self._store.add(**columns, bytes=size)

    def _reserve_disk(self, facts: JobFacts, inputs: JobInputs) -> int:
        """Bytes that painting will take on the disk at most; refuses the job if there is no room for them."""
        frames = (facts.frames or self._settings.frames) if facts.kind == "video" else None
        needed = inputs.painting_bytes(facts.size, frames)
        if room_for_jobs(self._settings) - self._store.reserved_bytes() < needed:
            got = (
                f"painting this takes {readable_size(needed)} on the disk, and the studio has no room for it"
            )
            raise RefusedError(got, remedy="send a smaller or shorter one, or come back later", status=507)
        return needed

    def _prepare(self, folder: Path, inputs: JobInputs) -> JobFacts:
        self.render_styles(inputs.style_names)
        try:
            return JobFacts.from_json(self.run_sandboxed(prepare_job, folder, inputs, self._settings))
        except RefusedError as error:
            raise refusal_about_setting(error) from None

    def _add_finished(self, columns: dict[str, Any], duplicate: StudioJob, folder: Path) -> StudioJob:
        """A finished row for a result that was linked.

        All its times are the present: when another client painted the same picture is private.
        """
        now = time.time()
        sync_folder(folder)
        return self._store.add(
            **columns, kind=duplicate.kind, video=duplicate.video, uploads=duplicate.uploads,
            height=duplicate.height, width=duplicate.width, frames=duplicate.frames, state="done",
            created=now, started=now, finished=now, progress=1.0, result=duplicate.result,
            preview=int((folder / "preview.jpg").exists()),
            bytes=folder_size(folder),
        )  # fmt: skip

    def _with_earlier_files(self, request: JobRequest, earlier: StudioJob) -> JobRequest:
        """The request with the earlier job's files where it has none of its own; never its own content."""
        if request.content is not None:
            remedy = "leave it out, or send a new job"
            raise RefusedError("'content' for a job that is painted again", "none", remedy, field="content")
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
            keys=request.keys
            or {frame: folder / f"key-{n}" for n, frame in enumerate(files.get("keys", ()))},
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
            "key": len(request.keys),
        }
        for name, count in counts.items():
            if count > self._settings.files:
                raise RefusedError(f"{count} of '{name}'", f"at most {self._settings.files}", field=name)


def _digest(uploads: Mapping[str, Any], chosen: ChosenSettings) -> str:
    """A hash that is equal for equal uploads and settings, painted by the same version."""
    parts = [__version__, uploads, chosen.recipe.to_json(), chosen.video.model_dump_json()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
