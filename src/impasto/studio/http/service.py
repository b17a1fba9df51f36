"""``StudioService``: the parts of a running studio, which all routes share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from impasto import samples
from impasto.errors import RecipeError
from impasto.studio.http.login import LoginAttempts
from impasto.studio.intake.instant import InstantIntake
from impasto.studio.intake.intake import JobIntake
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.notifications import ChangeNotifier
from impasto.studio.sandbox.isolation import run_sandboxed, wait_for_forkserver
from impasto.studio.sandbox.samples import EXAMPLE_PHOTOGRAPHS, render_sample, render_samples
from impasto.studio.settings import StudioSettings
from impasto.studio.worker.supervisor import Supervisor

__all__ = ["StudioService", "get_service"]

T = TypeVar("T")

_MAX_SANDBOXED_CALLS = 2  # at the same time


class StudioService:
    """The parts of a running studio: queue, intake, workers.

    Raises:
        RecipeError: the data folder cannot be used.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.store = _open_data_folder(settings)
        self.intake = JobIntake(settings, self.store)
        self.instant_intake = InstantIntake(settings, self.intake)
        self.supervisor = Supervisor(settings, self.store)
        self.notifier = ChangeNotifier(self.store)
        self.login_attempts = LoginAttempts()
        self._limiter = CapacityLimiter(_MAX_SANDBOXED_CALLS)

    async def run_in_worker_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that waits for a sandboxed call in a thread.

        At most ``_MAX_SANDBOXED_CALLS`` run at once. The others wait without taking up threads of the pool,
        which other routes need.
        """
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._limiter)

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
            await self.run_in_worker_thread(
                self.intake.run_sandboxed, render_sample, self._samples_folder, name
            )
        return path

    @property
    def _samples_folder(self) -> Path:
        return self.settings.data / "samples"


def _open_data_folder(settings: StudioSettings) -> JobStore:
    try:
        # Nobody else on the machine may read other people's pictures.
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("jobs", "incoming"):
            (settings.data / name).mkdir(exist_ok=True)
        return JobStore(settings.data / "studio.db", durable=True)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        got = f"the folder '{settings.data}' cannot be used: {reason}"
        raise RecipeError(got, remedy="choose another --data") from None


def get_service(request: Request) -> StudioService:
    """The service behind a request's application."""
    service: StudioService = request.app.state.studio
    return service
