"""What the API says: the shapes of its answers, and a job's row as one of them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, Field

from impasto.recipe import Recipe
from impasto.studio.queue.jobs import FINAL, Job, Jobs
from impasto.video.settings import VideoSettings

__all__ = [
    "Entry",
    "JobView",
    "Limits",
    "Preset",
    "Problem",
    "SettingsView",
    "StyleUsed",
    "job_view",
    "title",
]


class Problem(BaseModel):
    """Why something was refused."""

    detail: str = Field(description="One line: what was got, what is possible, what to do.")
    field: str | None = Field(None, description="The setting or the part of the form that it is about.")


class Entry(BaseModel):
    """A style or a photograph that comes with the studio."""

    id: str
    title: str
    thumbnail: str = Field(description="Address of a WebP, 256 pixels.")
    picture: str = Field(description="Address of a JPEG at full size.")


class StyleUsed(BaseModel):
    """A style of a job."""

    id: str | None = Field(description="Name of a style of the studio; null: uploaded.")
    title: str
    thumbnail: str


class Preset(BaseModel):
    """Settings by name."""

    name: str
    purpose: str
    settings: dict[str, Any]


class Limits(BaseModel):
    """What is accepted."""

    upload_bytes: int
    pixels: int
    seconds: float
    frames: int
    result_side: int


class SettingsView(BaseModel):
    """All there is to set."""

    presets: list[Preset]
    recipe: dict[str, Any] = Field(description="JSON schema of a picture's settings.")
    video: dict[str, Any] = Field(description="JSON schema of a clip's settings.")
    limits: Limits
    version: str


class JobView(BaseModel):
    """A picture or clip that was asked for."""

    id: str
    kind: Literal["image", "video"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    position: int | None = Field(description="How many wait before it; null unless it waits.")
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
    styles: list[StyleUsed]
    masks: int
    seconds: float | None = Field(description="Time spent painting.")


def title(name: str) -> str:
    """A sample's name as people read it."""
    return name.replace("-", " ").capitalize()


def _when(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def _styles(job: Job) -> list[StyleUsed]:
    found = []
    for number, one in enumerate(job.files["styles"]):
        name = one["id"]
        own = f"/v1/jobs/{job.id}/styles/{number}"
        thumbnail = own if name is None else f"/v1/styles/{name}/thumbnail"
        found.append(StyleUsed(id=name, title=title(name or "your own"), thumbnail=thumbnail))
    return found


def job_view(job: Job, jobs: Jobs) -> JobView:
    """A row for its client."""
    own = f"/v1/jobs/{job.id}"
    version = job.preview + (1_000_000 if job.result else 0)
    video = None
    if job.kind == "video":
        video = VideoSettings.model_validate_json(job.video or "{}").model_dump(mode="json")
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        position=jobs.position(job),
        created=_when(job.created) or "",
        started=_when(job.started),
        finished=_when(job.finished),
        progress=1.0 if job.state == "done" else job.progress,
        eta=None if job.state in FINAL or job.eta is None else round(job.eta, 1),
        scale=job.scale,
        scales=job.scales,
        evaluation=job.evaluation,
        frame=job.frame,
        frames=job.frames,
        loss=job.loss,
        size=[job.height, job.width],
        preview=f"{own}/preview?v={job.preview}" if job.preview else None,
        content=f"{own}/content",
        original=f"{own}/original" if job.kind == "video" else None,
        thumbnail=f"{own}/thumbnail?v={version}",
        result=f"{own}/result" if job.result else None,
        error=job.error,
        preset=job.preset,
        recipe=Recipe.from_json(job.recipe),
        video=video,
        styles=_styles(job),
        masks=job.files["masks"],
        seconds=None if job.seconds is None else round(job.seconds, 2),
    )
