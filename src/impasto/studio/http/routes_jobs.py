"""Routes to jobs and their files, and to a look at an upload."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from PIL import Image
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from impasto.recipe import Recipe
from impasto.studio.http import schema
from impasto.studio.http.answers import PICTURE, PRIVATE, REFUSALS
from impasto.studio.http.bodies import asked_for
from impasto.studio.http.guard import client_of
from impasto.studio.http.views import JobView, Problem, job_view
from impasto.studio.queue.accepting import Asked
from impasto.studio.queue.jobs import FINAL, Job
from impasto.studio.sandbox import preparing
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.service import Studio, studio_of

__all__ = ["router"]

_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_CLIPS = {"mov": "video/mp4", "matroska": "video/webm", "avi": "video/x-msvideo", "mpegts": "video/mp2t"}

router = APIRouter(responses=REFUSALS)
_POSTED: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "An identical job was finished before: here is its result."},
    **{code: {"model": Problem} for code in (400, 409, 413, 415, 422, 429)},
}


def _job(request: Request, job: str) -> Job:
    found = studio_of(request).jobs.get(job)
    if found is None:
        raise HTTPException(404, "there is no such job; it may have been deleted")
    return found


def _view(request: Request, job: Job) -> JobView:
    return job_view(job, studio_of(request).jobs)


async def _accepted(request: Request, response: Response, before: Job | None) -> JobView:
    studio, client = studio_of(request), client_of(request.scope)
    with studio.desk.place(client):
        asked = await asked_for(request, json_too=before is not None)
        try:
            job = await studio.apart(studio.desk.accept, asked, client, before)
        finally:
            if hasattr(request.state, "form"):
                await request.state.form.close()
    response.status_code = 200 if job.state == "done" else 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _view(request, job)


@router.post("/v1/jobs", status_code=202, responses=_POSTED, openapi_extra=schema.FORM)
async def create_job(request: Request, response: Response) -> JobView:
    """Have a picture or a clip painted."""
    return await _accepted(request, response, None)


@router.post("/v1/jobs/{job}/again", status_code=202, responses=_POSTED, openapi_extra=schema.AGAIN)
async def paint_again(request: Request, response: Response, job: str) -> JobView:
    """The same files with other settings: JSON, or a form as for a new job without ``content``."""
    before = await run_in_threadpool(_job, request, job)
    return await _accepted(request, response, before)


@router.get("/v1/jobs/{job}")
def show_job(request: Request, job: str) -> JobView:
    """How a job stands."""
    return _view(request, _job(request, job))


@router.get("/v1/jobs/{job}/events", response_class=EventSourceResponse)
async def job_events(request: Request, job: str) -> AsyncIterator[ServerSentEvent]:
    """The job as server-sent events named ``job``: now, at each change, and when it ends."""
    studio, last = studio_of(request), None
    while True:
        seen = studio.changes.number
        found = studio.jobs.get(job)
        if found is None:
            return
        view = job_view(found, studio.jobs)
        if view != last:
            last = view
            yield ServerSentEvent(event="job", data=view)
        if found.state in FINAL:
            return
        await studio.changes.after(seen)


@router.post("/v1/jobs/{job}/cancel")
def cancel_job(request: Request, job: str) -> JobView:
    """Stop it; the best so far is kept."""
    return _view(request, studio_of(request).jobs.cancel(_job(request, job).id) or _job(request, job))


@router.delete("/v1/jobs/{job}", status_code=204)
def delete_job(request: Request, job: str) -> None:
    """Stop it and delete everything of it."""
    studio_of(request).jobs.mark_deleted(_job(request, job).id)


def _file(request: Request, job: str, name: str, **options: Any) -> FileResponse:
    path = studio_of(request).settings.folder(_job(request, job).id) / name
    if not path.is_file():
        raise HTTPException(404, "it is not there yet, or no longer")
    return FileResponse(path, headers=PRIVATE, **options)


@router.get("/v1/jobs/{job}/preview", response_class=FileResponse, responses=PICTURE)
def job_preview(request: Request, job: str) -> Response:
    """The newest preview, JPEG."""
    found = _file(request, job, "preview.jpg", media_type="image/jpeg")
    try:  # read at once: the worker puts a newer one in its place, of another length
        return Response(Path(found.path).read_bytes(), media_type="image/jpeg", headers=PRIVATE)
    except OSError:
        raise HTTPException(404, "there is no preview any more") from None


@router.get("/v1/jobs/{job}/content", response_class=FileResponse, responses=PICTURE)
def job_content(request: Request, job: str) -> Response:
    """The upload at the result's size, JPEG; of a clip its first frame."""
    return _file(request, job, "content.jpg", media_type="image/jpeg")


@router.get("/v1/jobs/{job}/original", response_class=FileResponse, responses=PICTURE)
def job_original(request: Request, job: str) -> Response:
    """The uploaded clip as it came."""
    found = _job(request, job)
    if found.kind != "video":
        raise HTTPException(404, "the original of a picture is not given out; see content")
    return _file(request, job, "content", media_type=_CLIPS.get(found.files.get("format", ""), "video/mp4"))


@router.get("/v1/jobs/{job}/styles/{number}", response_class=FileResponse, responses=PICTURE)
def job_style(request: Request, job: str, number: int) -> Response:
    """An uploaded style, WebP, 256 pixels."""
    return _file(request, job, f"style-{number}.webp", media_type="image/webp")


@router.get("/v1/jobs/{job}/thumbnail", response_class=FileResponse, responses=PICTURE)
def job_thumbnail(request: Request, job: str) -> Response:
    """The result, else the newest preview, else the content, at 256 pixels."""
    folder = studio_of(request).settings.folder(_job(request, job).id)
    if (folder / "thumb.webp").is_file():
        return _file(request, job, "thumb.webp", media_type="image/webp")
    source = next((one for one in (folder / "preview.jpg", folder / "content.jpg") if one.is_file()), None)
    if source is None:
        raise HTTPException(404, "it is not there yet, or no longer")
    with Image.open(source) as picture:  # written by us
        picture.thumbnail((preparing.THUMBNAIL, preparing.THUMBNAIL))
        return _encoded(picture)


def _encoded(picture: Image.Image) -> Response:
    import io

    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=PRIVATE)


@router.get(
    "/v1/jobs/{job}/result",
    response_class=FileResponse,
    responses=PICTURE | {409: {"model": Problem}, 422: {"model": Problem}},
)
async def job_result(
    request: Request,
    job: str,
    format: Annotated[Literal["png", "jpeg", "webp"], Query()] = "png",
    strength: Annotated[float, Query(ge=0.0, le=1.0, allow_inf_nan=False)] = 1.0,
    download: Annotated[bool, Query()] = False,
) -> Response:
    """The picture, its recipe inside, as strong as is asked for; the clip as MP4."""
    studio, found = studio_of(request), await run_in_threadpool(_job, request, job)
    if found.result is None:
        raise HTTPException(
            409 if found.state not in FINAL else 404, "there is no result; see the job's state"
        )
    clip = found.kind == "video"
    ending = "mp4" if clip else format
    name = f"impasto-{found.id[:8]}.{ending}" if download else None
    kind = "video/mp4" if clip else _TYPES[format]
    if clip or (format == "png" and strength == 1.0):
        return _file(request, job, found.result, media_type=kind, filename=name)
    recipe = Recipe.from_json(found.recipe).to_json()
    folder = studio.settings.folder(found.id)
    path: Path = await studio.apart(studio.desk.run, preparing.export, folder, recipe, format, strength)
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type=kind, filename=name, headers=PRIVATE, background=gone)


@router.post(
    "/v1/look",
    response_class=FileResponse,
    responses=PICTURE | {code: {"model": Problem} for code in (400, 413, 415, 422)},
    openapi_extra=schema.LOOK,
)
async def look(request: Request) -> Response:
    """A picture or a clip's first frame as JPEG, for browsers that cannot show it; nothing is kept."""
    studio = studio_of(request)
    asked = await asked_for(request, json_too=False)
    folder = studio.settings.data / "incoming" / secrets.token_hex(8)
    folder.mkdir()
    try:
        kind, height, width = await studio.apart(_look, studio, asked, folder)
        data = (folder / "look.jpg").read_bytes()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        await request.state.form.close()
    headers = {"X-Impasto-Kind": kind, "X-Impasto-Size": f"{width}x{height}", "Cache-Control": "no-store"}
    return Response(data, media_type="image/jpeg", headers=headers)


def _look(studio: Studio, asked: Asked, folder: Path) -> tuple[str, int, int]:
    if asked.content is None or isinstance(asked.content, Path):
        raise RefusedError("no content", "a picture or a clip in 'content'", field="content")
    asked.content.seek(0)
    with (folder / "content").open("xb") as file:
        shutil.copyfileobj(asked.content, file, 1 << 20)
    found: tuple[str, int, int] = studio.desk.run(preparing.look, folder, studio.settings)
    return found
