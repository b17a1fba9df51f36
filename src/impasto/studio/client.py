"""A Python client of the studio: send a photograph or a clip, wait for the painting.

>>> from impasto.studio.client import Client
>>> studio = Client("http://127.0.0.1:7860")
>>> studio.paint("cat.jpg", "wave", size=800).save("out.png")  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from impasto.errors import ImpastoError
from impasto.files import write_atomically

__all__ = ["Client", "RemoteJob", "RemoteResult", "StudioError"]

PathLike = str | os.PathLike[str]
_FINAL_STATES = ("done", "failed", "cancelled")
_BUSY = (502, 503, 504)  # the studio, or a proxy before it, may answer in a moment
_LATER = (409, 429)  # with Retry-After: the same request may be accepted then
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts
_EVENT_TIMEOUT = 40.0  # seconds; the studio sends something every 15


class StudioError(ImpastoError):
    """The studio refused a request, failed at a job, or does not answer.

    Attributes:
        status: HTTP status; 0 if there was no answer, or if a job failed.
        field: the setting or the form part that it is about.
        retry_after: seconds to wait before the next try, if the studio says so.
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
class RemoteJob:
    """A job as the studio describes it; ``fields`` has every field of the API."""

    id: str
    state: str
    progress: float
    eta: float | None
    error: str | None
    fields: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in _FINAL_STATES


@dataclass(frozen=True)
class RemoteResult:
    """A result: the bytes of a picture with its recipe embedded, or of an MP4."""

    job: RemoteJob
    data: bytes

    def save(self, path: PathLike) -> Path:
        """Write the result to a file, whole or not at all; raises ``StudioError`` if that fails."""
        target = Path(path)
        try:
            write_atomically(target, self.data)
        except OSError as error:
            raise StudioError(f"'{target}' cannot be written: {error.strerror}") from None
        return target


class Client:
    """A connection to one studio.

    Args:
        url: its address.
        token: its secret, or yours, if it asks for one.
        timeout: seconds to wait for an answer; waiting for a painting has no limit.
        patience: seconds to go on trying while the studio does not answer or is busy. A job that was sent
            again after a lost answer is still painted once.
        certificate: file of the studio's certificate, if it made one itself: ``tls/certificate.pem`` in its
            data folder. No other certificate is then accepted.

    Raises:
        StudioError: ``certificate`` cannot be read or is something else.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:7860",
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 60.0,
        certificate: PathLike | None = None,
    ) -> None:
        self._patience, self._never_answered = patience, True
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        trusted = _trusting(certificate) if certificate is not None else True
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout, verify=trusted)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def styles(self) -> list[str]:
        """Names of the built-in styles."""
        return [style["id"] for style in self._request("GET", "/v1/styles").json()]

    def submit(
        self,
        content: PathLike,
        style: PathLike | Sequence[PathLike] = (),
        *,
        mask: Sequence[PathLike] = (),
        style_mask: Sequence[PathLike] = (),
        keys: Mapping[int, PathLike] | None = None,
        preset: str | None = None,
        video: Mapping[str, Any] | None = None,
        webhook: str | None = None,
        **settings: Any,
    ) -> RemoteJob:
        """Send a job; returns as soon as the studio has accepted it.

        Args:
            content: a picture or a clip.
            style: the name of a built-in style, or a picture; or several of these; none with ``keys``.
            mask, style_mask: pictures of regions, see docs/control.md.
            keys: number of a frame of the clip, from 0 → its painting, which is carried through the clip.
            preset: name of a preset of the studio, such as ``fine``; None: ``fast`` for a picture and
                ``classic`` for a clip.
            video: settings of a clip; None for a picture or for the defaults.
            webhook: address that the studio tells when the job ends; at a host that its operator allowed.
            settings: any field of :class:`~impasto.recipe.Recipe`; they override the preset's.

        Raises:
            StudioError: with the studio's message if it refused.
        """
        styles = [style] if isinstance(style, (str, os.PathLike)) else list(style)
        built_in = set(self.styles())
        fields: list[tuple[str, Any]] = [("recipe", (None, json.dumps(settings)))]
        if preset is not None:
            fields.append(("preset", (None, preset)))
        if video is not None:
            fields.append(("video", (None, json.dumps(dict(video)))))
        if webhook is not None:
            fields.append(("webhook", (None, webhook)))
        with ExitStack() as stack:

            def upload(path: PathLike) -> Any:
                try:
                    return ("upload", stack.enter_context(Path(path).open("rb")))
                except OSError as error:
                    raise StudioError(f"'{path}' cannot be read: {error.strerror}") from None

            fields.append(("content", upload(content)))
            for path in styles:
                if isinstance(path, str) and path in built_in:
                    fields.append(("style_id", (None, path)))
                else:
                    fields.append(("style", upload(path)))
            fields += [("mask", upload(path)) for path in mask]
            fields += [("style_mask", upload(path)) for path in style_mask]
            for frame, path in (keys or {}).items():
                fields += [("key_frame", (None, str(frame))), ("key", upload(path))]
            uploads = [part[1] for _, part in fields if part[0] is not None]

            def rewind() -> None:
                for file in uploads:
                    file.seek(0)

            return _to_job(self._submit("/v1/jobs", rewind, files=fields).json())

    def jobs(self) -> list[RemoteJob]:
        """Your newest jobs, newest first; only where people sign in."""
        return [_to_job(fields) for fields in self._request("GET", "/v1/jobs").json()]

    def job(self, job_id: str) -> RemoteJob:
        """State and progress of a job."""
        return _to_job(self._request("GET", f"/v1/jobs/{job_id}").json())

    def events(self, job_id: str) -> Iterator[RemoteJob]:
        """The job at each change until it has ended; a lost connection is opened again.

        Raises:
            StudioError: the studio did not answer for ``patience`` seconds, or the job was deleted.
        """
        last: RemoteJob | None = None
        while last is None or not last.final:
            try:
                for last in self._stream(job_id):
                    yield last
            except httpx.TransportError:
                pass
            if last is None or not last.final:
                time.sleep(_FIRST_PAUSE)
                last = self.job(job_id)  # raises if it was deleted meanwhile
                yield last

    def _stream(self, job_id: str) -> Iterator[RemoteJob]:
        path = f"/v1/jobs/{job_id}/events"
        with self._http.stream("GET", path, timeout=_EVENT_TIMEOUT) as response:
            if response.status_code in _BUSY:
                return
            if response.status_code != 200:
                response.read()
                raise _to_error(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield _to_job(json.loads(line[5:]))

    def result(self, job_id: str, *, format: str = "png", strength: float = 1.0) -> RemoteResult:
        """The finished picture or clip.

        Args:
            format: ``png``, ``jpeg`` or ``webp``.
            strength: 1 is the result, 0 the content.

        Raises:
            StudioError: there is no result; for a failed job with the reason.
        """
        job = self.job(job_id)
        if job.state == "failed":
            raise StudioError(job.error or "the job failed")
        query = {"format": format, "strength": strength}
        return RemoteResult(job, self._request("GET", f"/v1/jobs/{job_id}/result", params=query).content)

    def paint(self, content: PathLike, style: PathLike | Sequence[PathLike], **options: Any) -> RemoteResult:
        """Submit a job, wait for it and fetch its result. Arguments as :meth:`submit`."""
        job = self.submit(content, style, **options)
        for _ in self.events(job.id):
            pass
        return self.result(job.id)

    def cancel(self, job_id: str) -> RemoteJob:
        """Stop a job; the best picture so far is kept."""
        return _to_job(self._request("POST", f"/v1/jobs/{job_id}/cancel").json())

    def again(self, job_id: str, **settings: Any) -> RemoteJob:
        """Paint the same files with some settings changed."""
        path = f"/v1/jobs/{job_id}/again"
        return _to_job(self._submit(path, lambda: None, json={"recipe": settings}).json())

    def delete(self, job_id: str) -> None:
        """Stop a job and delete all its files."""
        self._request("DELETE", f"/v1/jobs/{job_id}")

    def _submit(self, path: str, rewind: Callable[[], None], **options: Any) -> httpx.Response:
        """POST a job, again if the answer is lost: the key tells the studio that it is the same job."""
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
        return self._request("POST", path, rewind=rewind, headers=headers, **options)

    def _request(
        self, method: str, path: str, *, rewind: Callable[[], None] = lambda: None, **options: Any
    ) -> httpx.Response:
        """A response below 400; requests that can be repeated are, while the studio is away or busy."""
        repeatable = method == "GET" or "headers" in options
        begin, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            patient = repeatable and time.monotonic() - begin + pause < self._patience
            try:
                rewind()
                response = self._http.request(method, path, **options)
            except httpx.ConnectError as error:
                if not patient or self._never_answered:  # a wrong address is reported at once
                    raise self._unreachable(error) from None
            except httpx.TransportError as error:
                if not patient:
                    raise self._unreachable(error) from None
            except httpx.InvalidURL as error:
                got = f"the studio's address is not a URL: {error}"
                raise StudioError(got, "such as http://127.0.0.1:7860") from None
            else:
                self._never_answered = False
                if response.status_code < 400:
                    return response
                failure = _to_error(response)
                if failure.status in _LATER and failure.retry_after is not None:
                    pause = max(pause, failure.retry_after)
                elif failure.status not in _BUSY:
                    raise failure
                if not repeatable or time.monotonic() - begin + pause >= self._patience:
                    raise failure
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2.0 * pause)

    def _unreachable(self, error: httpx.TransportError) -> StudioError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            got = f"the studio at {self._http.base_url} has a certificate that this client does not know"
            return StudioError(got, remedy="give its tls/certificate.pem as certificate=")
        got = f"the studio at {self._http.base_url} does not answer ({error or type(error).__name__})"
        return StudioError(got, remedy="start it with `impasto studio`, or check the address")


def _trusting(certificate: PathLike) -> ssl.SSLContext:
    """TLS that accepts a server with this certificate alone."""
    try:
        return ssl.create_default_context(cafile=certificate)
    except OSError as error:  # an SSLError too
        reason = "it has no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise StudioError(f"'{certificate}' cannot be used: {reason}", "a PEM file of certificates") from None


def _to_job(fields: Mapping[str, Any]) -> RemoteJob:
    return RemoteJob(
        fields["id"], fields["state"], fields["progress"], fields["eta"], fields["error"], fields
    )


def _to_error(response: httpx.Response) -> StudioError:
    """The error that a response reports; a proxy in between may answer with something else than JSON."""
    try:
        body = response.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    retry_after = response.headers.get("retry-after", "")
    return StudioError(
        fields.get("detail") or f"the studio answered {response.status_code}",
        status=response.status_code,
        field=fields.get("field"),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )
