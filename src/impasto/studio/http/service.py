"""``StudioService``: the parts of a running studio, which all routes share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from impasto import samples
from impasto.studio.http.job_feed import JobFeed
from impasto.studio.http.login import LoginAttempts
from impasto.studio.intake.admission import Admission, AdmittedUpload
from impasto.studio.intake.client_limits import ConcurrencyLimit
from impasto.studio.intake.instant import InstantIntake
from impasto.studio.intake.intake import JobIntake
from impasto.studio.queue.audit import AuditLog
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.people import People
from impasto.studio.sandbox.isolation import run_sandboxed, wait_for_forkserver
from impasto.studio.sandbox.samples import EXAMPLE_PHOTOGRAPHS, render_samples
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import Traces
from impasto.studio.webhooks import WebhookSender
from impasto.studio.worker.supervisor import Supervisor

__all__ = ["StudioService", "get_service"]

T = TypeVar("T")

#: Sandboxed calls at the same time: for new jobs, and for views and exports. They have separate places, so
#: that nobody can keep jobs from being accepted by asking for views.
_MAX_ACCEPTING, _MAX_VIEWING = 2, 2


class StudioService:
    """The parts of a running studio: queue, intake, workers.

    Raises:
        RecipeError: the data folder cannot be used.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.store = open_data_folder(settings)
        self.intake = JobIntake(settings, self.store)
        self.instant_intake = InstantIntake(settings, self.intake)
        self.supervisor = Supervisor(settings, self.store)
        self.webhooks = WebhookSender(settings, self.store.database)
        self.traces = Traces(settings)
        self.people = People(self.store.database)
        self.audit = AuditLog(settings.data)
        self.feed = JobFeed(self.store)
        self.login_attempts = LoginAttempts()
        self.streams = ConcurrencyLimit(settings.client_streams, "event streams are open")
        self.uploads = ConcurrencyLimit(settings.client_jobs, "uploads are on their way")
        self.views = ConcurrencyLimit(settings.client_views, "views and exports are being made")
        self.admission = Admission(_MAX_ACCEPTING, settings.accept_seconds)
        self._accepting = CapacityLimiter(_MAX_ACCEPTING)
        self._viewing = CapacityLimiter(_MAX_VIEWING)

    async def run_accepting(self, upload: AdmittedUpload, function: Callable[..., T], *arguments: Any) -> T:
        """Run in a thread what decodes the files of a client's new job.

        Few run at once, and clients take turns. Those that wait take up no threads of the pool, which other
        routes need.
        """
        async with self.admission.turn(upload):
            return await to_thread.run_sync(partial(function, *arguments), limiter=self._accepting)

    async def run_viewing(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run in a thread what makes views of uploads and exports of results; few at once."""
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._viewing)

    def warm_up(self) -> None:
        """Load the sandbox's libraries, then render the built-in pictures once. Runs in the background."""
        with suppress(Exception):  # the first request that needs them renders them and reports what is wrong
            wait_for_forkserver()
            names = (*EXAMPLE_PHOTOGRAPHS, *samples.PAINTINGS)  # photographs first: they take no time
            run_sandboxed(render_samples, self._samples_folder, names, memory=4 * 10**9, seconds=600)

    async def sample_path(self, name: str) -> Path:
        """Path of a built-in picture's PNG; JPEG and thumbnail are beside it. Renders them if needed."""
        path = self._samples_folder / f"{name}.png"
        if not path.exists():
            await self.run_viewing(self.intake.render_styles, [name])
        return path

    @property
    def _samples_folder(self) -> Path:
        return self.settings.data / "samples"


def get_service(request: Request) -> StudioService:
    """The service behind a request's application."""
    service: StudioService = request.app.state.studio
    return service
