"""The JSON objects of the API."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, Field

from impasto.recipe import Recipe
from impasto.studio.queue.jobs import FINAL_STATES, HELD, StudioJob
from impasto.studio.queue.people import Person
from impasto.studio.queue.usage import Usage
from impasto.video.settings import VideoSettings

__all__ = [
    "ErrorView",
    "JobStyleView",
    "JobView",
    "PresetView",
    "QuotaView",
    "SampleView",
    "SessionView",
    "SettingsView",
    "UploadLimits",
    "job_view",
    "sample_title",
    "session_view",
]


class ErrorView(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="One line: what was got, what is possible, what to do.")
    field: str | None = Field(None, description="The setting or the form part that it is about.")


class SampleView(BaseModel):
    """A style or a photograph that comes with the studio."""

    id: str
    title: str
    thumbnail: str = Field(description="Address of a WebP, 256 pixels.")
    picture: str = Field(description="Address of a JPEG at full size.")


class JobStyleView(BaseModel):
    """A style of a job."""

    id: str | None = Field(description="Name of a style of the studio; null: uploaded.")
    title: str
    thumbnail: str = Field(description="Of a learned style: a photograph painted in it.")
    learned: bool = Field(False, description="A file of `impasto learn`.")


class PresetView(BaseModel):
    """A named set of settings."""

    name: str
    purpose: str
    settings: dict[str, Any]


class UploadLimits(BaseModel):
    """What the server accepts; fields of ``StudioSettings``."""

    upload_bytes: int
    pixels: int
    seconds: float
    frames: int
    result_side: int


class SettingsView(BaseModel):
    """Everything that a job can be given."""

    presets: list[PresetView]
    usual_presets: dict[Literal["image", "video"], str] = Field(
        description="The preset where none is chosen, of a picture and of a clip."
    )
    recipe: dict[str, Any] = Field(description="JSON schema of a picture's settings.")
    video: dict[str, Any] = Field(description="JSON schema of a clip's settings.")
    limits: UploadLimits
    site: bool = Field(description="Whether the static site, with the network for browsers, is at /web/.")
    version: str


class QuotaView(BaseModel):
    """What a person may use of something, and has used."""

    limit: float | None = Field(description="null: as much as they like.")
    used: float
    renewed_in: int | None = Field(description="Seconds until it is counted from 0 again; null: never.")


class SessionView(BaseModel):
    """Who is signed in."""

    person: str | None = Field(description="null where nobody has to sign in, or all share one token.")
    quotas: dict[str, QuotaView] = Field(
        description="jobs and seconds (of painting) a day in UTC, and bytes."
    )


class JobView(BaseModel):
    """A picture or clip that a client asked for."""

    id: str
    kind: Literal["image", "video"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    position: int | None = Field(
        description="How many jobs are before it; null unless it waits for a worker."
    )
    waits_for: Literal["turn", "quota"] | None = Field(
        description="What a queued job waits for; quota: painting time of the next day."
    )
    created: str
    started: str | None
    finished: str | None
    progress: float = Field(ge=0.0, le=1.0)
    eta: float | None = Field(description="Seconds left, from the measured pace.")
    scale: int | None
    scales: int | None
    evaluation: int | None
    frame: int | None
    frames: int | None
    loss: float | None
    size: list[int] | None = Field(description="(height, width) of the result.")
    preview: str | None
    content: str | None
    original: str | None = Field(description="The uploaded clip.")
    thumbnail: str | None
    result: str | None
    error: str | None
    preset: str
    recipe: Recipe
    video: dict[str, Any] | None
    styles: list[JobStyleView]
    masks: int
    keys: list[int] = Field(description="Numbers of the frames that were sent painted.")
    seconds: float | None = Field(description="Time spent painting.")


def sample_title(name: str) -> str:
    """A sample's name as people read it."""
    return name.replace("-", " ").capitalize()


def job_view(job: StudioJob, position: int | None) -> JobView:
    """A row as its client sees it.

    Args:
        position: how many jobs are before it, or ``HELD``; None unless it waits.
    """
    address = f"/v1/jobs/{job.id}"
    # Different for each preview and for the result, so that browsers fetch the thumbnail again.
    thumbnail_version = job.preview + (1_000_000 if job.result else 0)
    video = None
    if job.kind == "video":
        video = VideoSettings.model_validate_json(job.video or "{}").model_dump(mode="json")
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        position=None if position == HELD else position,
        waits_for=None if position is None else "quota" if position == HELD else "turn",
        created=_timestamp(job.created) or "",
        started=_timestamp(job.started),
        finished=_timestamp(job.finished),
        progress=1.0 if job.state == "done" else job.progress,
        eta=None if job.state in FINAL_STATES or job.eta is None else round(job.eta, 1),
        scale=job.scale,
        scales=job.scales,
        evaluation=job.evaluation,
        frame=job.frame,
        frames=job.frames,
        loss=job.loss,
        size=[job.height, job.width],
        preview=f"{address}/preview?v={job.preview}" if job.preview else None,
        content=f"{address}/content",
        original=f"{address}/original" if job.kind == "video" else None,
        thumbnail=f"{address}/thumbnail?v={thumbnail_version}",
        result=f"{address}/result" if job.result else None,
        error=job.error,
        preset=job.preset,
        recipe=job.inputs.complete_recipe(),
        video=video,
        styles=_style_views(job),
        masks=job.inputs.masks,
        keys=sorted(job.inputs.keys),
        seconds=None if job.seconds is None else round(job.seconds, 2),
    )


def session_view(person: Person | None, usage: Usage | None) -> SessionView:
    """A person with what they may use and have used; both None where nobody is named."""
    if person is None or usage is None:
        return SessionView(person=None, quotas={})
    quotas = {
        "jobs": QuotaView(limit=person.daily_jobs, used=usage.jobs, renewed_in=usage.renewal),
        "seconds": QuotaView(
            limit=person.daily_seconds, used=round(usage.seconds, 1), renewed_in=usage.renewal
        ),
        "bytes": QuotaView(limit=person.bytes, used=usage.bytes, renewed_in=None),
    }
    return SessionView(person=person.name, quotas=quotas)


def _timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _style_views(job: StudioJob) -> list[JobStyleView]:
    views = []
    for number, style in enumerate(job.files["styles"]):
        name = style["id"]
        if name is None:
            title, thumbnail = "Your own", f"/v1/jobs/{job.id}/styles/{number}"
        else:
            title, thumbnail = sample_title(name), f"/v1/styles/{name}/thumbnail"
        learned = style.get("learned", False)
        views.append(JobStyleView(id=name, title=title, thumbnail=thumbnail, learned=learned))
    return views
