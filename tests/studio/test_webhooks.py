"""Webhooks: to allowed hosts alone, signed, repeated until they arrive, one for each end of a job."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from impasto.errors import RecipeError
from impasto.studio.errors import RefusedError
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.webhooks import Deliveries
from impasto.studio.settings import StudioSettings
from impasto.studio.webhooks import WebhookSender, allowed_webhook
from job_rows import add_job
from serving import encoded, post, without_workers

SECRET = "a secret for webhooks"
URL = "https://hooks.example.org/jobs?of=anna"
HOSTS = ("hooks.example.org", "other.example.org:8443", "127.0.0.1:9000")


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


class Receiver:
    """Answers with the given statuses, then with 204; an exception is raised instead."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers, self.requests = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"Location": "http://169.254.169.254/"})


def sender(store: JobStore, receiver: Callable[[httpx.Request], httpx.Response]) -> WebhookSender:
    settings = StudioSettings(data=store.path.parent, webhook_host=HOSTS, webhook_secret=SECRET)
    return WebhookSender(settings, store.database, httpx.MockTransport(receiver))


def end(store: JobStore, url: str | None = URL, state: str = "done") -> str:
    job = add_job(store, webhook=url)
    claimed = store.claim("w")
    assert claimed is not None
    store.finish(job.id, "w", state)
    return job.id


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (URL, True),
        ("https://HOOKS.example.org/", True),
        ("https://other.example.org:8443/x", True),
        ("http://127.0.0.1:9000/x", True),
        ("https://other.example.org/x", False),
        ("https://hooks.example.org:8443/", False),
        ("http://hooks.example.org/", False),
        ("http://127.0.0.1/", False),
        ("http://127.0.0.1:9001/", False),
        ("http://localhost:9000/", False),
        ("http://2130706433:9000/", False),
        ("https://hooks.example.org.evil.example/", False),
        ("https://evil.example/hooks.example.org", False),
        ("https://hooks.example.org@evil.example/", False),
        ("https://evil.example\\@hooks.example.org/", False),
        ("https://user:pass@hooks.example.org/", False),
        ("https://hooks.example.org./", False),
        ("https://hooks.example.org/\r\nX: y", False),
        ("https://hooks.example.org/ x", False),
        ("https://hooks.example.org/#x", False),
        ("https://höoks.example.org/", False),
        ("ftp://hooks.example.org/", False),
        ("file:///etc/passwd", False),
        ("//hooks.example.org/", False),
        ("hooks.example.org", False),
        ("https://[::1", False),
        ("https://hooks.example.org:99999/", False),
        ("https://hooks.example.org/" + "x" * 2000, False),
        ("", False),
    ],
)
def test_only_hosts_that_the_operator_allowed_are_told(url: str, allowed: bool) -> None:
    if allowed:
        assert allowed_webhook(url, HOSTS) == url
    else:
        with pytest.raises(RefusedError, match="webhook"):
            allowed_webhook(url, HOSTS)
    with pytest.raises(RefusedError, match="no host"):
        allowed_webhook(url, ())


def test_a_request_is_signed_and_says_nothing_of_the_picture(store: JobStore) -> None:
    """The signature as Standard Webhooks has receivers compute it."""
    job, receiver = end(store), Receiver()
    assert sender(store, receiver).send_due() == 1
    (request,) = receiver.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    identifier, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{identifier}.{timestamp}.".encode() + request.content
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(timestamp) - time.time()) < 60
    event = json.loads(request.content)
    assert (event["type"], event["data"]) == ("job.done", {"id": job, "state": "done"})
    assert abs(event["timestamp"] - time.time()) < 60
    assert Deliveries(store.database).due() == []
    assert sender(store, receiver).send_due() == 0


def test_what_fails_is_repeated_with_the_same_id_and_longer_pauses(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of the network, of the receiver, and redirects, which are not followed."""
    end(store)
    receiver = Receiver(httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), 500, 302, 404)
    sending, now, pauses = sender(store, receiver), time.time(), []
    for _ in range(5):
        assert sending.send_due() == 0
        assert sending.send_due() == 0  # not yet
        row = store.database.connection().execute("SELECT not_before FROM deliveries").fetchone()
        pauses.append(row[0] - now)
        now = row[0]
        monkeypatch.setattr(time, "time", lambda now=now: now)
    assert sending.send_due() == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert {request.url.host for request in receiver.requests} == {"hooks.example.org"}
    assert len(receiver.requests) == 6
    assert all(0.4 * 5 * 3**n < pause < 1.6 * 5 * 3**n + 5 for n, pause in enumerate(pauses))


def test_a_receiver_that_is_gone_or_stays_away_is_given_up(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(store)
    gone = Receiver(410)
    assert sender(store, gone).send_due() == 0
    assert Deliveries(store.database).due() == []
    end(store)
    away, now = Receiver(*[503] * 50), time.time()
    sending = sender(store, away)
    for day in range(40):
        monkeypatch.setattr(time, "time", lambda day=day: now + day * 86400)
        sending.send_due()
    assert len(away.requests) == 12


def test_a_host_that_is_down_does_not_delay_others(store: JobStore) -> None:
    for _ in range(21):
        end(store)
    end(store, "https://other.example.org:8443/x")

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.url.host)
        return httpx.Response(500 if request.url.host == "hooks.example.org" else 200)

    tried: list[str] = []
    assert sender(store, answer).send_due() == 1
    assert sorted(tried) == ["hooks.example.org", "other.example.org"]


def test_a_host_that_is_allowed_no_more_is_not_told(store: JobStore) -> None:
    end(store, "https://former.example.org/")
    receiver = Receiver()
    assert sender(store, receiver).send_due() == 0
    assert receiver.requests == []
    assert Deliveries(store.database).due() == []


def test_every_end_of_a_job_is_told_once(store: JobStore) -> None:
    """Done, failed, cancelled while waiting or running, deleted, set aside; not being requeued."""
    ended = {end(store, state=state): state for state in ("done", "failed", "cancelled")}
    waiting = add_job(store, webhook=URL)
    store.cancel(waiting.id)
    store.cancel(waiting.id)
    deleted = add_job(store, webhook=URL)
    store.mark_deleted(deleted.id)
    ended |= {waiting.id: "cancelled", deleted.id: "cancelled"}
    aside = add_job(store, webhook=URL)
    for _ in range(2):
        assert store.claim("w") is not None
        store.release("w", attempts=2)
    ended[aside.id] = "failed"
    found = add_job(store, webhook=URL, state="done")
    ended[found.id] = "done"
    end(store, None)
    due = Deliveries(store.database).due()
    assert {delivery.job: delivery.state for delivery in due} == ended
    assert len(due) == len(ended)


@pytest.mark.slow
def test_a_webhook_is_accepted_with_a_job_or_refused_with_its_reason(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, webhook_host=HOSTS, webhook_secret=SECRET)
    accepted = post(studio, webhook=URL)
    assert accepted.status_code == 202
    assert "hooks" not in accepted.text
    refused = post(studio, encoded(seed=1), webhook="https://evil.example/")
    assert (refused.status_code, refused.json()["field"]) == (422, "webhook")
    job = accepted.json()["id"]
    again = studio.post(f"/v1/jobs/{job}/again", json={"recipe": {"seed": 9}, "webhook": URL})
    assert again.status_code == 202
    studio.post(f"/v1/jobs/{job}/cancel")
    store = studio.app.state.studio.store  # type: ignore[attr-defined]
    assert [delivery.job for delivery in Deliveries(store.database).due()] == [job]


def test_hosts_without_a_secret_do_not_start(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="secret"):
        StudioSettings(data=tmp_path, webhook_host=HOSTS).require_safe()
