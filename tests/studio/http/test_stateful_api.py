"""Sequences of requests made from the OpenAPI document: no answer is a failure of the server's.

Jobs are sent, painted, repeated and deleted by two people, by whoever has the shared token and by strangers,
who sign in and out meanwhile. Most values are sensible, the others whatever the document allows, or does not.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from impasto.studio.app import create_app
from impasto.studio.http.job_feed import JobFeed
from impasto.studio.http.login import SESSION_COOKIE
from impasto.studio.http.views import JobView
from impasto.studio.queue.people import Quotas
from impasto.studio.queue.storage import folder_size
from impasto.studio.sandbox.isolation import wait_for_forkserver
from impasto.studio.settings import StudioSettings
from serving import TINY, encoded, post, without_workers

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: pip install '.[dev]'")

#: A few at each change; `make soak` tries more.
SCENARIOS = int(os.environ.get("IMPASTO_API_SCENARIOS", "6"))
STEPS = 40
SHARED = "a rather long secret"
#: There is no worker here.
NOT_READY = ("GET /readyz", 503)


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks; refuses some of them."""

    received = 0

    def do_POST(self) -> None:
        Receiver.received += 1
        self.send_response(500 if Receiver.received % 3 == 0 else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class House:
    """The studio, its people, and what its clients know.

    Attributes:
        tokens: name → token; of ``nobody`` one that is wrong.
        jobs: (id, by whose token it was sent), oldest first.
        sender: by whose token the next request is sent.
    """

    def __init__(self, folder: Path, samples: Path, webhook: str) -> None:
        folder.mkdir()
        (folder / "samples").symlink_to(samples)  # rendered once for all
        self.app = create_app(
            StudioSettings(
                data=folder,
                public_name=("testserver",),
                token=SHARED,
                queue=10**6,
                client_jobs=10**6,
                client_hourly=10**6,
                instant_minute=10**6,
                upload_bytes=2_000_000,
                decode_seconds=10,
                webhook_host=(webhook.split("/")[2],),
                webhook_secret="0123456789abcdef" * 2,
            )
        )
        self.service = self.app.state.studio
        self.webhook, self.chance = webhook, random.Random(0)
        self.jobs: list[tuple[str, str]] = []
        self.sender = "anna"
        self.cookies: list[str] = ["none"]
        self.tokens = {"shared": SHARED, "nobody": "a token that is wrong"}
        for name in ("anna", "ben"):
            self.tokens[name] = self.service.people.add(name, Quotas())
        for name in ("anna", "ben", "shared"):
            headers = {"Authorization": f"Bearer {self.tokens[name]}"}
            sent = post(TestClient(self.app, headers=headers), encoded(), webhook=webhook)
            self.jobs.append((sent.json()["id"], name))
        self.paint_one()

    def happen(self) -> None:
        """What may happen between two requests: a job is painted; somebody is shut out and let in again."""
        if self.chance.random() < 0.2:
            self.paint_one()
        self.service.webhooks.send_due()
        if self.chance.random() < 0.01:
            name = self.chance.choice(("anna", "ben"))
            self.service.people.revoke(name)
            self.tokens[name] = self.service.people.add(name, Quotas())

    def paint_one(self) -> None:
        """Do a worker's part for the next job, if one waits."""
        store = self.service.store
        job = store.claim("w")
        if job is None:
            return
        folder = self.service.settings.job_folder(job.id)
        if self.chance.random() < 0.2:
            store.finish(job.id, "w", "failed", error="no such luck", failure="permanent")
            return
        for name in ("result.png", "thumb.webp"):
            (folder / name).write_bytes((folder / "content.png").read_bytes())
        (folder / "preview.jpg").write_bytes((folder / "content.jpg").read_bytes())
        store.finish(
            job.id, "w", "done", result="result.png", preview=1, seconds=2.0, bytes=folder_size(folder)
        )

    def make_sensible(self, case: Any) -> None:
        """Give a request a job that exists, a picture that can be read, a token that is right."""
        some = self.chance.random
        self.sender = self.chance.choices(("anna", "ben", "shared", "nobody"), (8, 4, 4, 1))[0]
        if "job" in (case.path_parameters or {}) and some() < 0.8:
            case.path_parameters["job"], owner = self.chance.choice(self.jobs[-6:])
            self.sender = owner if some() < 0.8 else self.sender
        if case.method == "POST" and case.path == "/v1/session" and some() < 0.8:
            case.body = {"token": self.chance.choice(list(self.tokens.values()))}
        elif case.method == "POST" and case.path in ("/v1/jobs", "/v1/instant", "/v1/look") and some() < 0.7:
            case.media_type = "multipart/form-data"
            case.body = {"content": encoded(seed=self.chance.randrange(5))}
            if case.path != "/v1/look":
                case.body |= {"style": [encoded("PNG", (40, 40), 7)], "recipe": TINY}
            if case.path == "/v1/jobs" and some() < 0.3:
                case.body["webhook"] = self.webhook
        elif case.path.endswith("/again") and some() < 0.7:
            case.media_type = "application/json"
            case.body = {"recipe": {"seed": self.chance.randrange(5)}, "webhook": self.webhook}

    def credentials(self) -> dict[str, Any]:
        """How the next request says who sends it: by a token, by a cookie or not at all."""
        way = self.chance.choices(("token", "cookie", "nothing"), (12, 2, 1))[0]
        if way == "token":
            return {"headers": {"Authorization": f"Bearer {self.tokens[self.sender]}"}}
        return {"cookies": {SESSION_COOKIE: self.chance.choice(self.cookies[-4:])}} if way == "cookie" else {}

    def learn(self, response: Any, case: Any) -> None:
        """Remember jobs and sessions."""
        for header in response.headers.get("set-cookie", []):
            self.cookies.append(header.partition("=")[2].partition(";")[0])
        if case.method == "POST" and response.status_code in (200, 202) and "/jobs" in case.path:
            self.jobs.append((response.json()["id"], self.sender))
        for address in list(self.service.login_attempts._failures):  # or all would have to wait from now on
            self.service.login_attempts.record_success(address)


async def followed_once(feed: JobFeed, job_id: str, _: str | None = None) -> AsyncIterator[JobView]:
    """The stream of a job, ended after the first event."""
    views = feed._read({job_id}, True) or {}
    if (view := views[job_id]) is not None:
        yield view


@pytest.fixture
def webhook() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_no_sequence_of_requests_makes_the_server_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, webhook: str
) -> None:
    monkeypatch.setattr(JobFeed, "follow", followed_once)
    wait_for_forkserver()
    (tmp_path / "samples").mkdir()
    calls: Counter[tuple[str, int]] = Counter()
    schema = schemathesis.openapi.from_dict(without_workers(tmp_path / "document").app.openapi())
    numbers, houses = count(), list[House]()

    async def newest(scope: Any, receive: Any, send: Any) -> None:
        """The application of this scenario, without its threads: the same requests have the same answers."""
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await houses[-1].app(scope, receive, send)

    schema.app = newest
    operations = [result.ok() for result in schema.get_all_operations()]
    creating = [operation for operation in operations if operation.path == "/v1/jobs"]

    class Clients(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.house = House(tmp_path / str(next(numbers)), tmp_path / "samples", webhook)
            houses.append(self.house)

        @rule(data=st.data())
        def any_request(self, data: st.DataObject) -> None:
            """Links alone seldom lead to routes that no other leads to."""
            case = data.draw(data.draw(st.sampled_from(operations + 3 * creating)).as_strategy())
            self.before_call(case)
            response = case.call(**self.get_call_kwargs(case))
            self.after_call(response, case)
            self.validate_response(response, case)

        def before_call(self, case: Any) -> None:
            self.house.happen()
            self.house.make_sensible(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            # A busy machine is no failure.
            return self.house.credentials() | {"timeout": 600}

        def after_call(self, response: Any, case: Any) -> None:
            calls[f"{case.method} {case.path}", response.status_code] += 1
            self.house.learn(response, case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            known = (f"{case.method} {case.path}", response.status_code) == NOT_READY
            assert response.status_code < 500 or known, response.text
            if response.status_code >= 400:
                assert "\n" not in response.json()["detail"]

    Clients.run(
        settings=settings(
            max_examples=SCENARIOS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
    )
    record(calls)
    tried = {operation for operation, _ in calls}
    # What a few scenarios reach depends on the answers, such as ids drawn at random.
    assert len(tried) == len(operations) or (SCENARIOS < 50 and len(tried) > 12)
    seen = {status for _, status in calls}
    assert seen >= ({200, 401, 404} if SCENARIOS < 50 else {200, 202, 204, 401, 404, 422})


def record(calls: Counter[tuple[str, int]]) -> None:
    """Write the table of `make soak`: route, status, how often; and the webhooks that arrived."""
    if path := os.environ.get("IMPASTO_API_TABLE"):
        lines = [f"{operation}\t{status}\t{count}\n" for (operation, status), count in calls.items()]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(
            "".join([*sorted(lines), f"webhooks\t\t{Receiver.received}\n"]), encoding="utf-8"
        )
