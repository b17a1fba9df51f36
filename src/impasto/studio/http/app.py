"""The server put together: page, routes, guard, workers."""

from __future__ import annotations

import asyncio
import mimetypes
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from impasto import __version__
from impasto.studio.http import refusals, routes_jobs, routes_offer, routes_service, schema
from impasto.studio.http.answers import PAGE
from impasto.studio.http.guard import Guard
from impasto.studio.service import Studio
from impasto.studio.settings import StudioSettings

__all__ = ["create_app"]


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
    for routes in (routes_offer, routes_jobs, routes_service):
        app.include_router(routes.router)
    app.add_middleware(Guard, settings=settings, attempts=studio.attempts)
    refusals.install(app)
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
