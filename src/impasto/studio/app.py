"""Routes and the page. What happens behind them is elsewhere: ``accepting``, ``jobs``, ``preparing``."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import secrets
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from impasto import __version__, samples
from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.studio import accepting, isolation, preparing, schema
from impasto.studio.accepting import Asked, Desk
from impasto.studio.changes import Changes
from impasto.studio.guard import COOKIE, Attempts, Guard, client_of, cookie_for, same_token
from impasto.studio.isolation import RefusedError
from impasto.studio.jobs import FINAL, Job, Jobs
from impasto.studio.metrics import exposition
from impasto.studio.settings import StudioSettings
from impasto.studio.supervisor import Supervisor
from impasto.studio.views import Entry, JobView, Limits, Preset, Problem, SettingsView, job_view, title

__all__ = ["create_app"]

T = TypeVar("T")
PAGE = Path(__file__).parent / "page"
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
_CHILDREN = 2  # at work at once
_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_CLIPS = {"mov": "video/mp4", "matroska": "video/webm", "avi": "video/x-msvideo", "mpegts": "video/mp2t"}
_PRIVATE = {"Cache-Control": "private, no-cache"}
_KEPT = {"Cache-Control": "public, max-age=86400"}

router = APIRouter(responses={code: {"model": Problem} for code in (401, 403, 404, 421)})
_POSTED: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "An identical job was finished before: here is its result."},
    **{code: {"model": Problem} for code in (400, 409, 413, 415, 422, 429)},
}


class Studio:
    """What the routes stand on."""

    def __init__(self, settings: StudioSettings) -> None:
        try:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)  # other people's pictures
            for name in ("jobs", "incoming"):
                (settings.data / name).mkdir(exist_ok=True)
            self.jobs = Jobs(settings.data / "studio.db", durable=True)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            got = f"the folder '{settings.data}' cannot be used: {reason}"
            raise RecipeError(got, remedy="choose another --data") from None
        self.settings = settings
        self.desk = Desk(settings.model_copy(update={"token": None}), self.jobs)
        self.supervisor = Supervisor(settings, self.jobs)
        self.changes = Changes(self.jobs)
        self.attempts = Attempts()
        self.children = CapacityLimiter(_CHILDREN)

    async def apart(self, function: Callable[..., T], *arguments: Any) -> T:
        """Something that has a child at work, in a thread; those that wait for it hold no thread."""
        return await to_thread.run_sync(partial(function, *arguments), limiter=self.children)

    def warm(self) -> None:
        """In the background: the process that children come from, then our own style pictures, once."""
        with suppress(Exception):
            isolation.warm()
            names = (*PHOTOGRAPHS, *samples.PAINTINGS)  # first what is ready at once
            isolation.run(
                preparing.render_samples, self.settings.data / "samples", names, memory=4 * 10**9, seconds=600
            )

    def sample(self, name: str) -> Path:
        """Path of a sample's PNG, without its ending."""
        folder = self.settings.data / "samples"
        if not (folder / f"{name}.png").exists():
            self.desk.run(preparing.render_sample, folder, name)
        return folder / name


def create_app(settings: StudioSettings) -> FastAPI:
    """The server for ``settings``; its lifespan starts and ends the workers.

    Raises:
        RecipeError: others could reach it without a token.
    """
    settings.require_safe()
    studio = Studio(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(studio.supervisor.start)
        threading.Thread(target=studio.warm, daemon=True).start()
        watching = asyncio.create_task(studio.changes.watch())
        yield
        watching.cancel()
        await run_in_threadpool(studio.supervisor.stop)

    app = FastAPI(
        title="Impasto's studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "auto_configure": False},
    )  # fmt: skip
    app.state.studio = studio
    app.include_router(router)
    app.add_middleware(Guard, settings=settings, attempts=studio.attempts)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(OSError, _no_room)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    schema.install(app)
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("application/manifest+json", ".webmanifest")
    if PAGE.is_dir():
        app.mount("/", _Page(directory=PAGE, html=True))
    return app


class _Page(StaticFiles):
    """The page's files; a browser asks each time whether its copy is still the newest."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


# -- refusals: {"detail": one line, "field": …} --------------------------------------------------------


def _said(
    status: int, line: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"detail": line, "field": field}, status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _said(
        error.status, str(error), error.field, {"Retry-After": "30"} if error.status == 429 else None
    )


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if first["loc"] else "request"
    return _said(422, f"{name}: {first['msg'].lower()}", name)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(error.status_code, str(error.detail), None, dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> Response:
    return _said(400, "the connection ended before the request did")


async def _failed(request: Request, _: Exception) -> Response:
    return _said(500, f"the studio failed at this; its log has it as {request.state.request_id}")


async def _no_room(request: Request, error: Exception) -> Response:
    logging.getLogger("impasto.studio").error("%s %s", request.state.request_id, error)
    full = isinstance(error, OSError) and error.errno == 28
    return _said(
        507 if full else 500, "the studio's disk is full" if full else "the studio cannot use its disk"
    )


# -- what there is -------------------------------------------------------------------------------------


def _studio(request: Request) -> Studio:
    found: Studio = request.app.state.studio
    return found


def _entries(names: Any, base: str) -> list[Entry]:
    return [
        Entry(id=one, title=title(one), thumbnail=f"{base}/{one}/thumbnail", picture=f"{base}/{one}/picture")
        for one in names
    ]


@router.get("/v1/styles")
def styles() -> list[Entry]:
    """The studio's own style pictures."""
    return _entries(samples.PAINTINGS, "/v1/styles")


@router.get("/v1/samples")
def photographs() -> list[Entry]:
    """Photographs to try it with."""
    return _entries(PHOTOGRAPHS, "/v1/samples")


async def _sample(request: Request, name: str, known: Any, ending: str) -> Response:
    if name not in known:
        raise HTTPException(404, f"there is no '{name[:40]}'; possible are {', '.join(known)}")
    studio = _studio(request)
    path = studio.settings.data / "samples" / name
    if not path.with_suffix(".png").exists():
        await studio.apart(studio.sample, name)
    return FileResponse(path.with_suffix(f".{ending}"), headers=_KEPT)


_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in ("image/webp", "image/jpeg", "image/png", "video/mp4")}}
}


@router.get("/v1/styles/{name}/thumbnail", response_class=FileResponse, responses=_PICTURE)
async def style_thumbnail(request: Request, name: str) -> Response:
    """A style, WebP, 256 pixels."""
    made = PAGE / "styles" / f"{name}.webp"  # so that the first page ever opened has its gallery
    if name in samples.PAINTINGS and made.exists():
        return FileResponse(made, headers=_KEPT)
    return await _sample(request, name, samples.PAINTINGS, "webp")


@router.get("/v1/styles/{name}/picture", response_class=FileResponse, responses=_PICTURE)
async def style_picture(request: Request, name: str) -> Response:
    """A style, JPEG, 768 pixels."""
    return await _sample(request, name, samples.PAINTINGS, "jpg")


@router.get("/v1/samples/{name}/thumbnail", response_class=FileResponse, responses=_PICTURE)
async def photograph_thumbnail(request: Request, name: str) -> Response:
    """A photograph, WebP, 256 pixels."""
    return await _sample(request, name, PHOTOGRAPHS, "webp")


@router.get("/v1/samples/{name}/picture", response_class=FileResponse, responses=_PICTURE)
async def photograph_picture(request: Request, name: str) -> Response:
    """A photograph, JPEG, at its own size."""
    return await _sample(request, name, PHOTOGRAPHS, "jpg")


@router.get("/v1/settings")
def all_settings(request: Request) -> SettingsView:
    """Presets, schemas of all settings, limits."""
    limits = _studio(request).settings
    presets = [
        Preset(
            name=name, purpose=purpose, settings=Recipe(**given).model_dump(mode="json", include=set(given))
        )
        for name, (purpose, given) in accepting.usable_presets().items()
    ]
    return SettingsView(
        presets=presets,
        recipe=schema.recipe(accepting.usable_encoders(), limits.result_side),
        video=schema.video(),
        limits=Limits(**{name: getattr(limits, name) for name in Limits.model_fields}),
        version=__version__,
    )


# -- jobs ----------------------------------------------------------------------------------------------


def _job(request: Request, job: str) -> Job:
    found = _studio(request).jobs.get(job)
    if found is None:
        raise HTTPException(404, "there is no such job; it may have been deleted")
    return found


def _view(request: Request, job: Job) -> JobView:
    return job_view(job, _studio(request).jobs)


async def _asked(request: Request, *, json_too: bool) -> Asked:
    """What a request asks for, its files spooled to disk; ``RefusedError`` for another kind of body."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        most = 4 * _studio(request).settings.files
        form = await request.form(max_files=most, max_fields=most, max_part_size=1 << 20)
        request.state.form = form
        return accepting.from_form(form.multi_items())
    if json_too and kind in ("application/json", ""):
        body = await _small_body(request)
        return accepting.from_json(accepting.read_json(body, "body") if body.strip() else {})
    raise RefusedError(f"a body of type '{kind[:60]}'", "multipart/form-data", status=415)


async def _small_body(request: Request, most: int = 1 << 20) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most:
            raise RefusedError("a body of more than 1 MB", "settings alone", status=413)
    return bytes(found)


async def _accepted(request: Request, response: Response, before: Job | None) -> JobView:
    studio, client = _studio(request), client_of(request.scope)
    with studio.desk.place(client):
        asked = await _asked(request, json_too=before is not None)
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
    studio, last = _studio(request), None
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
    return _view(request, _studio(request).jobs.cancel(_job(request, job).id) or _job(request, job))


@router.delete("/v1/jobs/{job}", status_code=204)
def delete_job(request: Request, job: str) -> None:
    """Stop it and delete everything of it."""
    _studio(request).jobs.mark_deleted(_job(request, job).id)


def _file(request: Request, job: str, name: str, **options: Any) -> FileResponse:
    path = _studio(request).settings.folder(_job(request, job).id) / name
    if not path.is_file():
        raise HTTPException(404, "it is not there yet, or no longer")
    return FileResponse(path, headers=_PRIVATE, **options)


@router.get("/v1/jobs/{job}/preview", response_class=FileResponse, responses=_PICTURE)
def job_preview(request: Request, job: str) -> Response:
    """The newest preview, JPEG."""
    found = _file(request, job, "preview.jpg", media_type="image/jpeg")
    try:  # read at once: the worker puts a newer one in its place, of another length
        return Response(Path(found.path).read_bytes(), media_type="image/jpeg", headers=_PRIVATE)
    except OSError:
        raise HTTPException(404, "there is no preview any more") from None


@router.get("/v1/jobs/{job}/content", response_class=FileResponse, responses=_PICTURE)
def job_content(request: Request, job: str) -> Response:
    """The upload at the result's size, JPEG; of a clip its first frame."""
    return _file(request, job, "content.jpg", media_type="image/jpeg")


@router.get("/v1/jobs/{job}/original", response_class=FileResponse, responses=_PICTURE)
def job_original(request: Request, job: str) -> Response:
    """The uploaded clip as it came."""
    found = _job(request, job)
    if found.kind != "video":
        raise HTTPException(404, "the original of a picture is not given out; see content")
    return _file(request, job, "content", media_type=_CLIPS.get(found.files.get("format", ""), "video/mp4"))


@router.get("/v1/jobs/{job}/styles/{number}", response_class=FileResponse, responses=_PICTURE)
def job_style(request: Request, job: str, number: int) -> Response:
    """An uploaded style, WebP, 256 pixels."""
    return _file(request, job, f"style-{number}.webp", media_type="image/webp")


@router.get("/v1/jobs/{job}/thumbnail", response_class=FileResponse, responses=_PICTURE)
def job_thumbnail(request: Request, job: str) -> Response:
    """The result, else the newest preview, else the content, at 256 pixels."""
    folder = _studio(request).settings.folder(_job(request, job).id)
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
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=_PRIVATE)


@router.get(
    "/v1/jobs/{job}/result",
    response_class=FileResponse,
    responses=_PICTURE | {409: {"model": Problem}, 422: {"model": Problem}},
)
async def job_result(
    request: Request,
    job: str,
    format: Annotated[Literal["png", "jpeg", "webp"], Query()] = "png",
    strength: Annotated[float, Query(ge=0.0, le=1.0, allow_inf_nan=False)] = 1.0,
    download: Annotated[bool, Query()] = False,
) -> Response:
    """The picture, its recipe inside, as strong as is asked for; the clip as MP4."""
    studio, found = _studio(request), await run_in_threadpool(_job, request, job)
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
    return FileResponse(path, media_type=kind, filename=name, headers=_PRIVATE, background=gone)


@router.post(
    "/v1/look",
    response_class=FileResponse,
    responses=_PICTURE | {code: {"model": Problem} for code in (400, 413, 415, 422)},
    openapi_extra=schema.LOOK,
)
async def look(request: Request) -> Response:
    """A picture or a clip's first frame as JPEG, for browsers that cannot show it; nothing is kept."""
    studio = _studio(request)
    asked = await _asked(request, json_too=False)
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


# -- the service ---------------------------------------------------------------------------------------


@router.post(
    "/v1/session",
    status_code=204,
    responses={code: {"model": Problem} for code in (413, 422, 429)},
    openapi_extra=schema.SESSION,
)
async def session(request: Request) -> Response:
    """A cookie for who knows the token."""
    settings = _studio(request).settings
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise RefusedError("a body of another type", "application/json", status=415)
    given = accepting.read_json(await _small_body(request), "body").get("token")
    answer = Response(status_code=204)
    if settings.token is None:
        return answer
    if not isinstance(given, str) or not same_token(given, settings.token):
        _studio(request).attempts.failed()
        raise HTTPException(401, "that is not the token", headers={"WWW-Authenticate": "Bearer"})
    answer.set_cookie(
        COOKIE, cookie_for(settings.token), max_age=90 * 86400, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """The server answers."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse, responses={503: {"model": Problem}})
def readyz(request: Request) -> str:
    """The database can be written and a worker is ready."""
    studio = _studio(request)
    try:
        studio.jobs.check_writable()
    except sqlite3.Error as error:
        raise HTTPException(503, f"the database cannot be written: {error}") from None
    if not studio.supervisor.alive():
        raise HTTPException(503, "no worker is ready yet")
    return "ready"


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    studio = _studio(request)
    return Response(exposition(studio.jobs, studio.settings), media_type="text/plain; version=0.0.4")
