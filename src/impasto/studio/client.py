"""A studio from Python: send a photograph or a clip, wait for the painting.

>>> from impasto.studio.client import Client
>>> studio = Client("http://127.0.0.1:7860")
>>> studio.paint("cat.jpg", "wave", size=800).save("out.png")  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from impasto.errors import ImpastoError

__all__ = ["Client", "Job", "Painted", "StudioError"]

PathLike = str | os.PathLike[str]
_FINAL = ("done", "failed", "cancelled")


class StudioError(ImpastoError):
    """The studio refused a request, failed at a job, or does not answer.

    Attributes:
        status: HTTP status; 0: no answer, or a job that failed.
        field: the setting or the part of the form that it is about.
        retry_after: seconds to wait before asking again, where the studio says so.
    """

    def __init__(
        self,
        got: str,
        expected: str = "",
        remedy: str = "",
        *,
        status: int = 0,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(got, expected, remedy)
        self.status, self.field, self.retry_after = status, field, retry_after


@dataclass(frozen=True)
class Job:
    """A job as the studio describes it; ``all`` has every field of the API."""

    id: str
    state: str
    progress: float
    eta: float | None
    error: str | None
    all: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Done, failed or cancelled."""
        return self.state in _FINAL


@dataclass(frozen=True)
class Painted:
    """A result: the bytes of a picture with its recipe inside, or of an MP4."""

    job: Job
    data: bytes

    def save(self, path: PathLike) -> Path:
        """Write it, whole or not at all."""
        target = Path(path)
        partial = target.with_name(target.name + ".partial")
        try:
            partial.write_bytes(self.data)
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StudioError(f"'{target}' cannot be written: {error.strerror}") from None
        return target


class Client:
    """One studio.

    Args:
        url: its address.
        token: its secret, where it has one.
        timeout: seconds to wait for an answer; painting takes as long as it takes.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:7860", token: str | None = None, *, timeout: float = 60.0
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def styles(self) -> list[str]:
        """Names of the studio's own styles."""
        return [one["id"] for one in self._request("GET", "/v1/styles").json()]

    def submit(
        self,
        content: PathLike,
        style: PathLike | Sequence[PathLike],
        *,
        mask: Sequence[PathLike] = (),
        style_mask: Sequence[PathLike] = (),
        preset: str = "fast",
        video: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Job:
        """Have something painted; returns at once.

        Args:
            content: a picture or a clip.
            style: the name of one of the studio's styles, or a picture; or several of these.
            video: settings of a clip.
            settings: any field of :class:`~impasto.recipe.Recipe`, over the preset's.

        Raises:
            StudioError: refused, with the studio's line.
        """
        styles = [style] if isinstance(style, (str, os.PathLike)) else list(style)
        own = set(self.styles())
        fields: list[tuple[str, Any]] = [("preset", (None, preset)), ("recipe", (None, json.dumps(settings)))]
        if video is not None:
            fields.append(("video", (None, json.dumps(dict(video)))))
        with ExitStack() as stack:

            def file(path: PathLike) -> Any:
                try:
                    return ("upload", stack.enter_context(Path(path).open("rb")))
                except OSError as error:
                    raise StudioError(f"'{path}' cannot be read: {error.strerror}") from None

            fields.append(("content", file(content)))
            for one in styles:
                named = isinstance(one, str) and one in own
                fields.append(("style_id", (None, one)) if named else ("style", file(one)))
            fields += [("mask", file(one)) for one in mask]
            fields += [("style_mask", file(one)) for one in style_mask]
            return _job(self._request("POST", "/v1/jobs", files=fields).json())

    def job(self, job: str) -> Job:
        """How a job stands."""
        return _job(self._request("GET", f"/v1/jobs/{job}").json())

    def events(self, job: str) -> Iterator[Job]:
        """The job at each change until it is finished; a lost connection is taken up again."""
        last: Job | None = None
        while last is None or not last.final:
            try:
                with self._http.stream("GET", f"/v1/jobs/{job}/events", timeout=40.0) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        _raise(answer)
                    for line in answer.iter_lines():
                        if line.startswith("data:"):
                            last = _job(json.loads(line[5:]))
                            yield last
            except httpx.TransportError:
                time.sleep(1.0)
            if last is None or not last.final:
                last = self.job(job)  # also tells whether it was deleted
                yield last

    def result(self, job: str, *, format: str = "png", strength: float = 1.0) -> Painted:
        """The finished picture or clip.

        Raises:
            StudioError: there is none; of a failed job, why.
        """
        found = self.job(job)
        if found.state == "failed":
            raise StudioError(found.error or "the job failed")
        asked = {"format": format, "strength": strength}
        return Painted(found, self._request("GET", f"/v1/jobs/{job}/result", params=asked).content)

    def paint(self, content: PathLike, style: PathLike | Sequence[PathLike], **options: Any) -> Painted:
        """Submit, wait, fetch. Arguments as :meth:`submit`."""
        submitted = self.submit(content, style, **options)
        for _ in self.events(submitted.id):
            pass
        return self.result(submitted.id)

    def cancel(self, job: str) -> Job:
        """Stop it; the best so far is kept."""
        return _job(self._request("POST", f"/v1/jobs/{job}/cancel").json())

    def again(self, job: str, **settings: Any) -> Job:
        """The same files with some settings changed."""
        return _job(self._request("POST", f"/v1/jobs/{job}/again", json={"recipe": settings}).json())

    def delete(self, job: str) -> None:
        """Delete everything of a job."""
        self._request("DELETE", f"/v1/jobs/{job}")

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            got = f"the studio at {self._http.base_url} does not answer ({error or type(error).__name__})"
            raise StudioError(got, remedy="start it with `impasto studio`, or check the address") from None
        except httpx.InvalidURL as error:
            raise StudioError(f"the address is not one: {error}", "as http://127.0.0.1:7860") from None
        if answer.status_code >= 400:
            _raise(answer)
        return answer


def _job(found: Mapping[str, Any]) -> Job:
    return Job(found["id"], found["state"], found["progress"], found["eta"], found["error"], found)


def _raise(answer: httpx.Response) -> None:
    try:
        said = answer.json()
    except ValueError:
        said = {}
    line = said.get("detail") if isinstance(said, dict) else None
    wait = answer.headers.get("retry-after", "")
    raise StudioError(
        line or f"the studio answered {answer.status_code}",
        status=answer.status_code,
        field=said.get("field") if isinstance(said, dict) else None,
        retry_after=float(wait) if wait.isdigit() else None,
    )
