"""The clients of ``load.py``: they upload, follow, look, or are silent, and record what they see."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from PIL import Image
from skimage import data

BOUNDARY = "impasto-load"
PART = 1 << 18  # bytes of a body that are sent at once
LATER = (429, 503, 507)  # refusals after which a client comes back

#: Width, height, standard deviation of the grain, JPEG quality: files of about 1, 2, 4, 7, 13 and 20 MB.
PHOTOGRAPHS = (
    (2016, 1512, 7, 90), (3024, 2268, 7, 90), (4032, 3024, 8, 90), (4032, 3024, 12, 95), (6000, 4000, 10, 95),
    (8064, 6048, 8, 93),
)  # fmt: skip


def photograph(width: int, height: int, grain: float, quality: int) -> bytes:
    """A JPEG of the astronaut with grain, which makes it as large as a camera's."""
    picture = np.asarray(Image.fromarray(data.astronaut()).resize((width, height))).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal((height, width, 1), np.float32)
    buffer = io.BytesIO()
    grainy = (picture + grain * noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(grainy).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@dataclass
class Person:
    """Somebody with a token.

    Attributes:
        live: jobs that are not finished.
        accepted, painted: jobs.
    """

    name: str
    token: str
    live: set[str] = field(default_factory=set)
    accepted: int = 0
    painted: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Record:
    """A request that was answered, or broke.

    Attributes:
        at: seconds since the start when the answer was there.
        kind: ``page``, ``job``, ``accept``, ``refuse`` or ``broken``.
        seconds: from the request's first byte to the whole answer.
        waited: of an accepted upload, from its first attempt, refusals and pauses included.
        status: 0 if the connection broke.
    """

    at: float
    kind: str
    seconds: float
    status: int
    waited: float = 0.0


class Load:
    """All clients of one run.

    Args:
        address: of the studio, without a slash at the end.
        files: what is uploaded, one of them drawn at random each time.
        patience: seconds after which a client deletes a job that is not painted.
    """

    def __init__(
        self, address: str, session: aiohttp.ClientSession, files: list[bytes], patience: float
    ) -> None:
        self.address, self.session, self.files, self.patience = address, session, files, patience
        self.records: list[Record] = []
        self.errors: Counter[str] = Counter()
        self.open_streams = self.events = self.silent = 0
        self.begin = time.monotonic()

    def record(self, kind: str, begin: float, status: int, waited: float = 0.0) -> None:
        now = time.monotonic()
        self.records.append(Record(now - self.begin, kind, now - begin, status, waited))

    async def run(self, clients: list[Coroutine[Any, Any, None]], seconds: float) -> None:
        """Let clients act until the time is over. One that fails ends the run."""
        self.begin = time.monotonic()
        tasks = [asyncio.create_task(client) for client in clients]
        done, running = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        while running:  # more than once: in Python 3.11 `asyncio.wait_for` can lose a cancellation
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=2.0)
        for task in done:
            task.result()

    async def _again(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Repeat an act for ever; a broken connection is counted."""
        while True:
            try:
                await act()
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(1.0)

    # -- those who paint --------------------------------------------------------------------------------
    async def paint(self, person: Person, chance: random.Random) -> None:
        """Upload, wait until it is painted or patience ends, delete, and again."""

        async def once() -> None:
            job = await self.send(person, chance)
            try:
                await self.follow(person, job, self.patience)
            finally:
                person.live.discard(job)
            async with self.session.delete(f"{self.address}/v1/jobs/{job}", headers=person.headers):
                pass

        await self._again(once)

    async def send(self, person: Person, chance: random.Random) -> str:
        """Upload until it is accepted, and come back when the studio says so; returns the job's id."""
        first, data = time.monotonic(), chance.choice(self.files)
        recipe = {"seed": chance.randrange(1 << 31)}  # a job that was painted before is free
        while True:
            begin = time.monotonic()
            try:
                status, answer, pause = await self.post(person, data, recipe)
            except (aiohttp.ClientError, OSError) as error:
                self.record("broken", begin, 0)
                self.errors[f"upload: {type(error).__name__}"] += 1
                status, answer, pause = 0, {}, 5.0
            if status in (200, 202):
                self.record("accept", begin, status, time.monotonic() - first)
                person.accepted += 1
                person.live.add(answer["id"])
                return str(answer["id"])
            if status:
                self.record("refuse", begin, status)
            if status not in (0, *LATER):
                raise RuntimeError(f"an upload was answered with {status}: {answer}")
            await asyncio.sleep(pause * chance.uniform(1.0, 1.5))

    async def post(
        self, person: Person, data: bytes, recipe: dict[str, Any]
    ) -> tuple[int, dict[str, Any], float]:
        """Status, answer and ``Retry-After`` in seconds of an upload."""
        head = (
            _part("style_id", "wave") + _part("preset", "instant") + _part("recipe", json.dumps(recipe)) +
            f"--{BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="content"; filename="x.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()  # fmt: skip
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()

        async def body() -> AsyncIterator[bytes]:
            yield head
            for first in range(0, len(data), PART):
                yield data[first : first + PART]
            yield tail

        headers = person.headers | {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Content-Length": str(len(head) + len(data) + len(tail)),
        }
        async with self.session.post(f"{self.address}/v1/jobs", data=body(), headers=headers) as response:
            pause = float(response.headers.get("Retry-After", "5"))
            return response.status, await response.json(), pause

    # -- those who watch --------------------------------------------------------------------------------
    async def follow(self, person: Person, job: str, seconds: float, *, counts: bool = True) -> None:
        """Read a job's events until it ends, or for some seconds from when the stream is open.

        Args:
            counts: count it for the person if it was painted.
        """
        address = f"{self.address}/v1/jobs/{job}/events"
        async with self.session.get(address, headers=person.headers) as response:
            self.errors[f"stream: {response.status}"] += response.status != 200
            self.open_streams += 1
            try:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._read_events(response, person, counts), seconds)
            finally:
                self.open_streams -= 1

    async def _read_events(self, response: aiohttp.ClientResponse, person: Person, counts: bool) -> None:
        async for line in response.content:
            if line.startswith(b"data:"):
                self.events += 1
                person.painted += counts and b'"state":"done"' in line

    async def watch(
        self, people: list[Person], kept: list[tuple[Person, str]], limit: int, chance: random.Random
    ) -> None:
        """Have a stream open while fewer than ``limit`` are: of anybody's job, or of one that is kept."""

        async def once() -> None:
            if self.open_streams >= limit:
                await asyncio.sleep(chance.uniform(0.2, 1.0))
                return
            person = chance.choice(people)
            if person.live:
                owner, job = person, chance.choice(sorted(person.live))
            else:
                owner, job = chance.choice(kept)
            await self.follow(owner, job, chance.uniform(10.0, 60.0), counts=False)

        await self._again(once)

    async def look(self, person: Person, paths: list[str], pause: float) -> None:
        """Open the page's files in turn, and the list of one's jobs."""

        async def once() -> None:
            for path in (*paths, "/v1/jobs"):
                begin = time.monotonic()
                async with self.session.get(self.address + path, headers=person.headers) as response:
                    await response.read()
                kind = "job" if path == "/v1/jobs" else "page"
                self.record(kind if response.status == 200 else "broken", begin, response.status)
                await asyncio.sleep(pause)

        await self._again(once)

    async def warm_up(self, person: Person) -> None:
        """Wait until the built-in pictures are rendered, as the studio does after its first start."""
        async with self.session.get(f"{self.address}/v1/styles", headers=person.headers) as response:
            pictures = [style["picture"] for style in await response.json()]
        for picture in pictures:
            async with self.session.get(self.address + picture, headers=person.headers) as response:
                await response.read()

    async def page_files(self) -> list[str]:
        """Paths of the page and of its scripts and styles."""
        async with self.session.get(f"{self.address}/") as response:
            links = re.findall(r'(?:src|href)="/?([\w./-]+\.(?:js|css))"', await response.text())
        return ["/", *(f"/{link}" for link in dict.fromkeys(links))]

    async def be_silent(self, number: int) -> None:
        """Send nothing, half a request's head, or the beginning of a body, then wait to be shown out."""
        host, _, port = self.address.removeprefix("http://").partition(":")
        head = f"POST /v1/session HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()
        begun = (b"", head, head + b'Content-Length: 1000\r\n\r\n{"token":')[number % 3]

        async def once() -> None:
            reader, writer = await asyncio.open_connection(host, int(port))
            self.silent += 1
            try:
                writer.write(begun)
                await reader.read()
            finally:
                self.silent -= 1
                writer.close()

        await self._again(once)


def _part(name: str, value: str) -> str:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
