"""Assembles the server from page, routes, access control and workers."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import Scope

from impasto import __version__
from impasto.studio.http import (
    catalogue_routes,
    instant_routes,
    job_routes,
    service_routes,
    session_routes,
)
from impasto.studio.http.audit import RequestAudit
from impasto.studio.http.authentication import Authenticator
from impasto.studio.http.error_handlers import install_error_handlers
from impasto.studio.http.guard import RequestGuard
from impasto.studio.http.openapi import install_setting_schemas
from impasto.studio.http.responses import PAGE_FOLDER
from impasto.studio.http.service import StudioService
from impasto.studio.queue.people import has_people
from impasto.studio.settings import StudioSettings

__all__ = ["create_app"]

_READ_AT_ONCE = 500_000  # bytes; all files of the page, and of the site all but its network and runtime


def create_app(settings: StudioSettings) -> FastAPI:
    """The server for ``settings``. Workers run during its lifespan; the service is ``app.state.studio``.

    Raises:
        RecipeError: others could reach it without a token, or the folder of the data or of the site cannot be
            used.
    """
    settings.require_safe(people=has_people(settings.data / "studio.db"))
    settings.require_site()
    service = StudioService(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.supervisor.start)
        threading.Thread(target=service.warm_up, daemon=True).start()
        service.webhooks.start()
        feeding = asyncio.create_task(service.feed.run())
        yield
        feeding.cancel()
        await run_in_threadpool(service.webhooks.stop)
        await run_in_threadpool(service.supervisor.stop)
        await run_in_threadpool(service.traces.stop)

    app = FastAPI(
        title="Impasto's studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "auto_configure": False},
    )  # fmt: skip
    app.state.studio = service
    for routes in (catalogue_routes, instant_routes, job_routes, service_routes, session_routes):
        app.include_router(routes.router)
    authenticator = Authenticator(settings, service.people, service.login_attempts)
    audit = RequestAudit(service.audit)
    app.add_middleware(
        RequestGuard, settings=settings, authenticator=authenticator, audit=audit, traces=service.traces
    )
    install_error_handlers(app)
    install_setting_schemas(app)
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("application/manifest+json", ".webmanifest")
    if settings.web is not None:
        app.mount("/web", _PageFiles(directory=settings.web, html=True))
    if PAGE_FOLDER.is_dir():
        app.mount("/", _PageFiles(directory=PAGE_FOLDER, html=True))
    return app


class _PageFiles(StaticFiles):
    """The page's files; browsers ask each time whether their copy is current, so updates show at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        names = [path, f"{path}/index.html"] if scope["path"].endswith("/") else [path]
        for name in names if scope["method"] in ("GET", "HEAD") else ():
            # Not in a thread: each change of threads waits anew for a processor while the server is busy.
            with suppress(OSError, ValueError):  # names that cannot be: the answer is Starlette's
                full_path, stat_result = self.lookup_path(name)
                if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
                    return self.file_response(full_path, stat_result, scope)
        return await super().get_response(path, scope)

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        if (
            isinstance(response, FileResponse)
            and stat_result.st_size <= _READ_AT_ONCE
            and "range" not in Headers(scope=scope)
        ):
            return Response(Path(full_path).read_bytes(), status_code, response.headers)
        return response
