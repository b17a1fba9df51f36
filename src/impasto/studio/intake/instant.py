"""``InstantIntake``: instant pictures for the page, few at a time and so many a minute for each client."""

from __future__ import annotations

import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from impasto.studio.errors import RefusedError
from impasto.studio.intake.chosen_settings import choose_settings, refusal_about_setting
from impasto.studio.intake.intake import JobIntake
from impasto.studio.intake.request import JobRequest
from impasto.studio.intake.uploads import store_uploads
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.sandbox.instant_pictures import INSTANT_FILE, write_instant_picture
from impasto.studio.settings import StudioSettings

__all__ = ["InstantIntake"]

_MINUTE = 60.0
_MAX_WAITING = 8  # requests that wait or are painted at the same time


class InstantIntake:
    """Accepts requests for instant pictures. Nothing of them is left on the disk.

    Args:
        intake: of jobs, whose checks and limits apply.
    """

    def __init__(self, settings: StudioSettings, intake: JobIntake) -> None:
        self._settings, self._intake = settings.without_token(), intake
        self._recent: dict[str, deque[float]] = {}
        self._waiting = 0
        self._lock = Lock()

    def count(self, client: str) -> None:
        """Count a request, before it is read.

        Args:
            client: the address for which requests are counted.

        Raises:
            RefusedError: status 404 if instant pictures are turned off, 429 if there are too many requests.
        """
        most = self._settings.instant_minute
        if not most:
            raise RefusedError("instant pictures are turned off here", remedy="paint a job", status=404)
        with self._lock:
            times = self._times(client)
            if len(times) >= most:
                raise RefusedError(
                    f"more than {most} instant pictures in a minute", remedy="wait a moment", status=429
                )
            times.append(time.monotonic())

    @contextmanager
    def reserve_place(self) -> Iterator[None]:
        """A place while a request waits and is painted; not while it is read, or silent clients had them all.

        Raises:
            RefusedError: status 429 if all are taken.
        """
        with self._lock:
            if self._waiting >= _MAX_WAITING:
                raise RefusedError("the studio is busy", remedy="wait a moment", status=429)
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _times(self, client: str) -> deque[float]:
        """When the client asked during the last minute; clients who did not are forgotten."""
        oldest = time.monotonic() - _MINUTE
        for times in self._recent.values():
            while times and times[0] < oldest:
                times.popleft()
        self._recent = {known: times for known, times in self._recent.items() if times}
        return self._recent.setdefault(client, deque())

    def paint(self, request: JobRequest) -> bytes:
        """The picture as JPEG, its longer side at most 384 pixels.

        Raises:
            RefusedError: the request cannot be accepted.
        """
        self._intake.check_files(request)
        if not request.styles:
            raise RefusedError("no style", "a name in 'style_id' or a picture in 'style'", field="style")
        for field, given in (
            ("video", request.video), ("style_mask", request.style_masks), ("key", request.keys),
            ("webhook", request.webhook),
        ):  # fmt: skip
            if given:
                raise RefusedError(f"'{field}' for an instant picture", "none", "leave it out", field=field)
        if request.preset not in (None, "instant"):
            raise RefusedError(f"preset {request.preset!r}", "instant", "leave it out", field="preset")
        chosen = choose_settings(replace(request, preset="instant"), None, self._settings)
        folder = self._settings.data / "incoming" / secrets.token_hex(8)
        folder.mkdir()
        try:
            inputs = JobInputs.from_uploads(chosen.recipe_json, None, store_uploads(folder, request))
            self._intake.render_styles(inputs.style_names)
            self._intake.run_sandboxed(write_instant_picture, folder, inputs, self._settings)
            return (folder / INSTANT_FILE).read_bytes()
        except RefusedError as error:
            raise refusal_about_setting(error) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
