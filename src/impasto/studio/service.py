"""``Studio``: what the routes stand on."""

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
from impasto.studio.http.guard import Attempts
from impasto.studio.queue.accepting import Desk
from impasto.studio.queue.changes import Changes
from impasto.studio.queue.jobs import Jobs
from impasto.studio.queue.supervisor import Supervisor
from impasto.studio.sandbox import isolation, preparing
from impasto.studio.settings import StudioSettings

__all__ = ["PHOTOGRAPHS", "Studio", "studio_of"]

T = TypeVar("T")
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
_CHILDREN = 2  # at work at once


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


def studio_of(request: Request) -> Studio:
    """The studio that a request came to."""
    found: Studio = request.app.state.studio
    return found
