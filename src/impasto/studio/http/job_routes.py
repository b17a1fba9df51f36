"""Routes of jobs and their files, and of the view of an upload."""

from __future__ import annotations

import io
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, StreamingResponse
from opentelemetry.trace import SpanKind
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from impasto.pictures.geometry import Size
from impasto.studio.errors import RefusedError
from impasto.studio.http import openapi
from impasto.studio.http.bodies import read_job_request
from impasto.studio.http.job_events import JobEvents
from impasto.studio.http.requester import get_requester
from impasto.studio.http.responses import (
    ERROR_RESPONSES,
    FILE_RESPONSE,
    PRIVATE,
    ResponseTable,
    error_responses,
)
from impasto.studio.http.service import StudioService, get_service
from impasto.studio.http.views import JobView, job_view
from impasto.studio.intake.request import JobRequest
from impasto.studio.queue.jobs import FINAL_STATES, StudioJob
from impasto.studio.queue.storage import folder_size
from impasto.studio.sandbox.exports import export_name, export_result, write_browser_view
from impasto.studio.sandbox.images import THUMBNAIL_SIZE
from impasto.studio.traces import job_facts

__all__ = ["router"]

_MAX_LISTED = 60
_PICTURE_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
#: FFmpeg's name of a container → media type.
_CLIP_TYPES = {"mov": "video/mp4", "matroska": "video/webm", "avi": "video/x-msvideo", "mpegts": "video/mp2t"}

router = APIRouter(responses=ERROR_RESPONSES)
_ACCEPTED: ResponseTable = {
    200: {"model": JobView, "description": "An identical job was finished before: here is its result."},
    **error_responses(400, 408, 409, 413, 415, 422, 429, 507),
}


def _find_own(request: Request, job: str) -> StudioJob:
    """The job of that id. Somebody else's is answered as one that does not exist."""
    found = get_service(request).store.get(job)
    if found is None or not get_requester(request).owns(found):
        raise HTTPException(404, "there is no such job; it may have been deleted")
    return found


async def _own_job(request: Request, job: str) -> StudioJob:
    """The job of a path, read without a thread, as in ``Authenticator``."""
    return _find_own(request, job)


OwnJob = Annotated[StudioJob, Depends(_own_job)]


def _view(request: Request, job: StudioJob) -> JobView:
    return job_view(job, get_service(request).store.position(job))


async def _accept(request: Request, response: Response, earlier: StudioJob | None) -> JobView:
    service, requester = get_service(request), get_requester(request)
    client, key = requester.client, _request_key(request)
    service.admission.check(client)  # first of all, because it asks neither disk nor database
    if not await _was_accepted(service, client, key):
        check = partial(service.intake.check_place, client, requester.person)
        await run_in_threadpool(check)  # before anything is read
    body = request.state.body
    with service.admission.enter(client, body.silence, body.stated_bytes) as upload:
        with service.uploads.one(client):
            job_request = await read_job_request(request, allow_json=earlier is not None)
        # A place in the queue is taken only once everything is here, or silent clients would fill it.
        try:
            known = await _was_accepted(service, client, key)
            with nullcontext() if known else service.intake.reserve_place(client, requester.person):
                accept = partial(service.intake.accept, job_request, client, earlier, key, requester.person)
                with service.traces.span("accept", SpanKind.PRODUCER) as span:
                    job = await service.run_accepting(upload, accept)
                    span.set_attributes(job_facts(job))
        finally:
            if hasattr(request.state, "form"):
                await request.state.form.close()
    response.status_code = 200 if job.state == "done" else 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers.update(await run_in_threadpool(service.intake.rate_limits, client, requester.person))
    return await run_in_threadpool(_view, request, job)


async def _was_accepted(service: StudioService, client: str, key: str | None) -> bool:
    """Whether a request with this key is a job already, which takes no other place and uses up no quota."""
    return key is not None and await run_in_threadpool(service.store.find_by_key, client, key) is not None


def _request_key(request: Request) -> str | None:
    """The header ``Idempotency-Key``; None if there is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise RefusedError("an Idempotency-Key that cannot be used", "1 to 200 printable ASCII characters")
    return key


@router.post("/v1/jobs", status_code=202, responses=_ACCEPTED, openapi_extra=openapi.JOB_BODY)
async def create_job(request: Request, response: Response) -> JobView:
    """Have a picture or a clip painted."""
    return await _accept(request, response, None)


@router.post("/v1/jobs/{job}/again", status_code=202, responses=_ACCEPTED, openapi_extra=openapi.REPAINT_BODY)
async def paint_again(request: Request, response: Response, job: OwnJob) -> JobView:
    """The same files with other settings: JSON, or a form as for a new job without ``content``."""
    return await _accept(request, response, job)


@router.get("/v1/jobs")
def list_jobs(request: Request) -> list[JobView]:
    """The newest jobs of whoever is signed in, newest first; where nobody is, there is no list (404)."""
    person = get_requester(request).person_id
    if person is None:
        raise HTTPException(404, "there is no list of jobs here; it takes people who sign in")
    store = get_service(request).store
    positions = store.positions()
    return [job_view(job, positions.get(job.id)) for job in store.jobs_of(person, _MAX_LISTED)]


@router.get("/v1/jobs/{job}")
def show_job(request: Request, job: OwnJob) -> JobView:
    """State, progress and settings of a job."""
    return _view(request, job)


async def _stream_place(request: Request, job: OwnJob) -> AsyncIterator[StudioJob]:
    """The job to follow, and one of the event streams that the client may have."""
    with get_service(request).streams.one(get_requester(request).client):
        yield job


@router.get(
    "/v1/jobs/{job}/events",
    response_class=StreamingResponse,
    responses=openapi.EVENTS | error_responses(429),
)
async def job_events(request: Request, followed: Annotated[StudioJob, Depends(_stream_place)]) -> JobEvents:
    """The job as server-sent events named ``job``: now, at each change, and when it ends."""
    credential = get_requester(request).credential
    return JobEvents(get_service(request).feed.follow(followed.id, credential))


@router.post("/v1/jobs/{job}/cancel")
def cancel_job(request: Request, job: OwnJob) -> JobView:
    """Stop a job; the best picture so far is kept."""
    return _view(request, get_service(request).store.cancel(job.id) or _find_own(request, job.id))


@router.delete("/v1/jobs/{job}", status_code=204)
def delete_job(request: Request, job: OwnJob) -> None:
    """Stop a job and delete all its files."""
    get_service(request).store.mark_deleted(job.id)


# -- files of a job -----------------------------------------------------------------------------------


def _job_file(request: Request, job: StudioJob, name: str, **options: Any) -> FileResponse:
    path = get_service(request).settings.job_folder(job.id) / name
    if path.is_symlink() or not path.is_file():  # the studio makes no links, but the sandbox might
        raise HTTPException(404, "this file of the job does not exist yet, or no longer")
    return FileResponse(path, headers=PRIVATE, **options)


@router.get("/v1/jobs/{job}/preview", response_class=FileResponse, responses=FILE_RESPONSE)
def job_preview(request: Request, job: OwnJob) -> Response:
    """The newest preview, JPEG."""
    file = _job_file(request, job, "preview.jpg", media_type="image/jpeg")
    try:  # read whole: streaming would break if the worker replaced the file by one of another length
        return Response(Path(file.path).read_bytes(), media_type="image/jpeg", headers=PRIVATE)
    except OSError:
        raise HTTPException(404, "there is no preview any more") from None


@router.get("/v1/jobs/{job}/content", response_class=FileResponse, responses=FILE_RESPONSE)
def job_content(request: Request, job: OwnJob) -> Response:
    """The upload at the result's size, JPEG; of a clip its first frame."""
    return _job_file(request, job, "content.jpg", media_type="image/jpeg")


@router.get("/v1/jobs/{job}/original", response_class=FileResponse, responses=FILE_RESPONSE)
def job_original(request: Request, job: OwnJob) -> Response:
    """The uploaded clip, unchanged."""
    if job.kind != "video":
        raise HTTPException(404, "the original of a picture is not given out; see content")
    media_type = _CLIP_TYPES.get(job.files.get("format", ""), "video/mp4")
    return _job_file(request, job, "content", media_type=media_type)


@router.get("/v1/jobs/{job}/styles/{number}", response_class=FileResponse, responses=FILE_RESPONSE)
def job_style(request: Request, job: OwnJob, number: Annotated[int, PathParameter(ge=0, le=999)]) -> Response:
    """An uploaded style, WebP, 256 pixels."""
    return _job_file(request, job, f"style-{number}.webp", media_type="image/webp")


@router.get("/v1/jobs/{job}/thumbnail", response_class=FileResponse, responses=FILE_RESPONSE)
def job_thumbnail(request: Request, job: OwnJob) -> Response:
    """The result, else the newest preview, else the content, at 256 pixels."""
    folder = get_service(request).settings.job_folder(job.id)
    if (folder / "thumb.webp").is_file():
        return _job_file(request, job, "thumb.webp", media_type="image/webp")
    candidates = (folder / "preview.jpg", folder / "content.jpg")
    source = next((path for path in candidates if path.is_file()), None)
    if source is None:
        raise HTTPException(404, "the job has no thumbnail yet, or no longer")
    buffer = io.BytesIO()
    with Image.open(source, formats=["JPEG"]) as picture:  # content.jpg is what the sandbox wrote
        picture.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
        picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=PRIVATE)


@router.get(
    "/v1/jobs/{job}/result",
    response_class=FileResponse,
    responses=FILE_RESPONSE | error_responses(409, 422, 429),
)
async def job_result(
    request: Request,
    job: OwnJob,
    format: Annotated[Literal["png", "jpeg", "webp"], Query()] = "png",
    strength: Annotated[float, Query(ge=0.0, le=1.0, allow_inf_nan=False)] = 1.0,
    download: Annotated[bool, Query()] = False,
) -> Response:
    """The picture with its recipe embedded, blended with the content if asked for; a clip as MP4."""
    service = get_service(request)
    if job.result is None:
        status = 404 if job.state in FINAL_STATES else 409
        raise HTTPException(status, "there is no result; see the job's state")
    is_clip = job.kind == "video"
    media_type = "video/mp4" if is_clip else _PICTURE_TYPES[format]
    suffix = "mp4" if is_clip else format
    filename = f"impasto-{job.id[:8]}.{suffix}" if download else None
    if is_clip or (format == "png" and strength == 1.0):
        return _job_file(request, job, job.result, media_type=media_type, filename=filename)
    recipe = job.inputs.complete_recipe().to_json()
    with service.views.one(get_requester(request).client):
        try:
            await service.run_viewing(_export, service, job, recipe, format, strength)
        except RefusedError:
            _job_file(request, job, job.result)  # answers 404 if the job was deleted meanwhile
            raise
    name = export_name(format, strength)  # not what the sandbox says, which may be a stranger's by now
    return _job_file(request, job, name, media_type=media_type, filename=filename)


def _export(service: StudioService, job: StudioJob, recipe: str, suffix: str, strength: float) -> None:
    """Have an export written, and count what it takes."""
    folder = service.settings.job_folder(job.id)
    service.intake.run_sandboxed(export_result, folder, recipe, suffix, strength)
    service.store.record_size(job, folder_size(folder))


# -- the view of an upload ------------------------------------------------------------------------------


@router.post(
    "/v1/look",
    response_class=FileResponse,
    responses=FILE_RESPONSE | error_responses(400, 408, 413, 415, 422, 429),
    openapi_extra=openapi.CONTENT_BODY,
)
async def view_upload(request: Request) -> Response:
    """A picture or a clip's first frame as JPEG, for browsers that cannot show it; nothing is kept."""
    service = get_service(request)
    with service.views.one(get_requester(request).client):
        job_request = await read_job_request(request, allow_json=False)
        try:
            kind, (height, width), data = await service.run_viewing(_make_view, service, job_request)
        finally:
            await request.state.form.close()
    headers = {"X-Impasto-Kind": kind, "X-Impasto-Size": f"{width}x{height}", "Cache-Control": "no-store"}
    return Response(data, media_type="image/jpeg", headers=headers)


def _make_view(service: StudioService, job_request: JobRequest) -> tuple[str, Size, bytes]:
    """Returns the kind and the (height, width) of the upload, and a JPEG."""
    upload = job_request.content
    if upload is None or isinstance(upload, Path):
        raise RefusedError("no content", "a picture or a clip in 'content'", field="content")
    folder = service.settings.data / "incoming" / secrets.token_hex(8)
    folder.mkdir()
    try:
        upload.seek(0)
        with (folder / "content").open("xb") as file:
            shutil.copyfileobj(upload, file, 1 << 20)
        limits = service.settings.without_token()
        kind, (height, width) = service.intake.run_sandboxed(write_browser_view, folder, limits)
        data = (folder / "look.jpg").read_bytes()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "video" if kind == "video" else "image", (int(height), int(width)), data
