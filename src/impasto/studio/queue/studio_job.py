"""``StudioJob``: one row of the queue."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, fields
from typing import Any

from impasto.studio.queue.inputs import JobInputs

__all__ = ["COLUMNS", "FINAL_STATES", "StudioJob", "new_job_id"]

FINAL_STATES = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class StudioJob:
    """One row of the queue. Times are seconds since the epoch.

    Attributes:
        number: order of acceptance.
        client: whom limits are counted for and who takes turns: the sender's address (or network), or the
            person who signed in.
        person: whose it is; None for everybody's who knows the id. See ``people``.
        kind: ``image`` or ``video``.
        digest: hash of all uploaded bytes and settings: equal digests give equal results.
        recipe, video, uploads: JSON.
        height, width: of the result.
        progress: 0 to 1.
        eta: estimated seconds left.
        preview: how many previews were published; 0 means that there is none yet.
        result: name of the result's file in the job's folder.
        seconds: painting time so far.
        owner: slot of the worker that paints it.
        attempts: how often it was claimed; an attempt that ended through no fault of the job's is taken back.
        cancel, deleted: 1 if a client asked for it.
        bytes: size of its folder, as last measured.
        not_before: when it may be claimed again after a failed attempt.
        failure: why it failed: ``permanent`` (its own fault), or ``attempts`` (set aside after too many). Of
            one that is done ``time``: its time was over, and the result is the best until then.
        last_error: what the last failed attempt ended with; for the operator.
        reserved: bytes that it may still take on the disk while it is painted.
        request_key: the client's ``Idempotency-Key``.
        webhook: address that is told when it ends.
        traceparent: the span that accepted it, as W3C Trace Context writes it; see ``traces``.
    """

    number: int
    id: str
    client: str
    kind: str
    state: str
    digest: str
    created: float
    started: float | None
    finished: float | None
    preset: str
    recipe: str
    video: str | None
    uploads: str
    height: int
    width: int
    progress: float
    eta: float | None
    scale: int | None
    scales: int | None
    evaluation: int | None
    frame: int | None
    frames: int | None
    loss: float | None
    preview: int
    result: str | None
    error: str | None
    seconds: float | None
    owner: str | None
    attempts: int
    cancel: int
    deleted: int
    bytes: int
    not_before: float
    failure: str | None
    last_error: str | None
    reserved: int
    request_key: str | None
    person: int | None
    webhook: str | None
    traceparent: str | None

    @property
    def files(self) -> dict[str, Any]:
        """What was uploaded, as ``intake`` recorded it."""
        uploads: dict[str, Any] = json.loads(self.uploads)
        return uploads

    @property
    def inputs(self) -> JobInputs:
        """Settings, styles, masks and key frames."""
        return JobInputs.from_uploads(self.recipe, self.video, self.files)


COLUMNS = ", ".join(column.name for column in fields(StudioJob))


def new_job_id() -> str:
    """128 random bits, URL-safe: who knows the id may see the job, where there are no people."""
    return secrets.token_urlsafe(16)
