"""The Python client."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from impasto import pictures
from impasto.studio.client import Client, RemoteJob, RemoteResult, StudioError
from serving import LONG, TINY, Studio, encoded


@pytest.mark.slow
def test_the_client_paints_follows_and_fetches(server: Studio, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded())
    (tmp_path / "style.png").write_bytes(encoded("PNG", seed=4))
    with Client(server.url) as client:
        result = client.paint(
            tmp_path / "photo.jpg", ["wave", tmp_path / "style.png"], preset="draft", **TINY
        )
        assert pictures.load(result.save(tmp_path / "out.png")).size == (36, 48)
        job = client.again(result.job.id, seed=3)
        assert [event.state for event in client.events(job.id)][-1] == "done"
        weak = client.result(job.id, format="jpeg", strength=0.2)
        assert weak.data[:2] == b"\xff\xd8"
        client.delete(job.id)
        with pytest.raises(StudioError, match="no such job") as caught:
            client.job(job.id)
        assert caught.value.status == 404
        with pytest.raises(StudioError, match="sise") as caught:
            client.submit(tmp_path / "photo.jpg", "wave", sise=3)
        assert caught.value.field == "sise"
        with pytest.raises(StudioError, match=r"none\.jpg"):
            client.submit(tmp_path / "none.jpg", "wave")
        long = client.submit(tmp_path / "photo.jpg", "wave", **LONG)
        server.running(long.id)
        client.cancel(long.id)
        assert [event.state for event in client.events(long.id)][-1] == "cancelled"


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(StudioError, match="does not answer"):
        client.styles()


def test_a_result_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    job = RemoteJob("j", "done", 1.0, None, None, {})
    result = RemoteResult(job, b"data")
    assert result.save(tmp_path / "out.png").read_bytes() == b"data"
    with pytest.raises(StudioError, match="cannot be written"):
        result.save(tmp_path / "none" / "out.png")


JOB = {"id": "j", "state": "running", "progress": 0.5, "eta": None, "error": None}


class Flaky(http.server.BaseHTTPRequestHandler):
    """A studio whose answers are taken from a list: a status, or None to close the connection unanswered."""

    answers: ClassVar[list[int | None]] = []
    keys: ClassVar[list[str | None]] = []
    bodies: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        body = json.dumps([] if self.path == "/v1/styles" else JOB | {"state": "done"}).encode()
        if self.path.endswith("/events"):
            body = f"data: {json.dumps(JOB)}\n\n".encode()
        self.answer(body, self.path != "/v1/styles")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Flaky.bodies.append(len(body))
        Flaky.keys.append(self.headers["Idempotency-Key"])
        self.answer(json.dumps(JOB).encode(), True)

    def answer(self, body: bytes, flaky: bool) -> None:
        status = Flaky.answers.pop(0) if flaky and Flaky.answers else 200
        self.close_connection = True
        if status is None:
            return
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0" if Flaky.answers else "3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("impasto.studio.client._FIRST_PAUSE", 0.01)
    Flaky.answers, Flaky.keys, Flaky.bodies = [], [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_job_whose_answer_was_lost_is_sent_again_with_the_same_key(flaky: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded())
    (tmp_path / "style.png").write_bytes(encoded("PNG"))
    with Client(flaky) as client:
        Flaky.answers = [None, 503, 409]
        with pytest.raises(StudioError) as caught:  # this 409 has no Retry-After: it will not pass
            client.submit(tmp_path / "photo.jpg", tmp_path / "style.png")
        assert caught.value.status == 409
        Flaky.answers = [None, 502]
        client.submit(tmp_path / "photo.jpg", tmp_path / "style.png")
        Flaky.answers = [429, 503]
        client.submit(tmp_path / "photo.jpg", tmp_path / "style.png")
        Flaky.answers = [429]
        with pytest.raises(StudioError):  # in an hour: that is for the user to decide
            client.submit(tmp_path / "photo.jpg", tmp_path / "style.png")
    assert [len(set(Flaky.keys[n : n + 3])) for n in (0, 3, 6)] == [1, 1, 1]
    assert None not in Flaky.keys
    assert Flaky.keys[0] != Flaky.keys[3]
    assert len(set(Flaky.bodies)) == 1  # whole each time


def test_events_that_are_refused_for_a_moment_are_asked_for_after_a_pause(
    flaky: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("impasto.studio.client.time.sleep", pauses.append)
    with Client(flaky) as client:
        Flaky.answers = [503]
        assert [job.state for job in client.events("j")] == ["done"]
    assert len(pauses) == 1


def test_events_outlive_an_outage_of_some_length(flaky: str) -> None:
    with Client(flaky) as client:
        client.styles()
        Flaky.answers = [None, None, 503, None, None, 200]
        assert [job.state for job in client.events("j")][-1] == "done"
    Flaky.answers = [None] * 100
    with Client(flaky, patience=0.05) as client, pytest.raises(StudioError, match="answer"):
        list(client.events("j"))
