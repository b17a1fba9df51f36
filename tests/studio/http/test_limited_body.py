"""Bodies that are too large are refused by their length, and while they arrive."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from impasto.studio.http import limited_body
from impasto.studio.http.limited_body import LimitedBody
from impasto.studio.http.protocol import ImpatientProtocol
from serving import Studio, in_a_thread, listening, post, served_here, without_workers

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, upload_bytes=50_000)
    assert post(studio, b"x" * 60_000).status_code == 413

    def stream() -> Iterator[bytes]:
        yield FORM_HEAD
        for _ in range(100):
            yield b"x" * 1000

    response = studio.post("/v1/jobs", content=stream(), headers=FORM)
    assert response.status_code == 413
    assert "0.05 MB" in response.json()["detail"]
    assert list((tmp_path / "jobs").iterdir()) == []


UNSTATED: Scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}


def test_a_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up even if nothing arrives at all; afterwards waiting for a disconnect has no limit."""

    async def silent() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    async def run(max_seconds: float, max_silence: float) -> float:
        begin = time.monotonic()
        with pytest.raises(HTTPException) as caught:
            await LimitedBody(UNSTATED, silent, 100, max_seconds, max_silence)()
        assert caught.value.status_code == 408
        return time.monotonic() - begin

    assert in_a_thread(run(0.1, 60)) < 2
    assert in_a_thread(run(60, 0.1)) < 2

    async def whole() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def complete() -> None:
        body = LimitedBody(UNSTATED, whole, 100, 0.0, 0.0)
        body._complete = True
        assert (await body())["body"] == b""

    in_a_thread(complete())


def test_uploads_on_their_way_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = without_workers(tmp_path)
    usage = shutil.disk_usage(tmp_path)

    def stream() -> Iterator[bytes]:
        yield FORM_HEAD
        for _ in range(60):
            monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
            yield bytes(1_000_000)

    response = studio.post("/v1/jobs", content=stream(), headers=FORM)
    assert (response.status_code, "short of space" in response.json()["detail"]) == (507, True)


@pytest.mark.slow
def test_silent_clients_do_not_fill_the_queue(tmp_path: Path) -> None:
    """A request has a place in the queue only once its body is here."""
    with served_here(tmp_path, queue=2, client_jobs=100) as (address, _):
        host, port = address.removeprefix("http://").split(":")
        sockets = []
        for _ in range(20):
            connection = socket.create_connection((host, int(port)))
            head = "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
            connection.sendall(f"{head}Content-Type: {FORM['Content-Type']}\r\n\r\n".encode())
            sockets.append(connection)
        # For two seconds they may yet arrive, and an upload of the same client comes after them.
        time.sleep(2.5)
        with httpx.Client(base_url=address, timeout=60) as http:
            assert post(http).status_code == 202
        for connection in sockets:
            connection.close()


@pytest.mark.slow
def test_a_stream_of_500_megabytes_is_cut_off_early(server: Studio) -> None:
    sent = 0

    def stream() -> Iterator[bytes]:
        nonlocal sent
        yield FORM_HEAD
        for _ in range(500):
            sent += 1_000_000
            yield bytes(1_000_000)

    before = sorted((server.folder / "jobs").iterdir())
    response = server.http.post("/v1/jobs", content=stream(), headers=FORM)
    assert response.status_code == 413
    assert "20 MB" in response.json()["detail"]
    assert sent < 200_000_000
    assert server.http.post("/v1/jobs", content=bytes(30_000_000), headers=FORM).status_code == 413
    assert sorted((server.folder / "jobs").iterdir()) == before
    incoming = [path.name for path in (server.folder / "incoming").iterdir()]
    # Python's own folder for the fork server's socket may be there; nothing of the request is.
    assert [name for name in incoming if not name.startswith("pymp")] == []


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = bytes(5_000_000)
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:1000]
received: list[int] = []  # bytes of each piece of a body that the server took


async def answers_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses every request before its body is here."""

    async def noted() -> Message:
        message = await receive()
        received.append(len(message.get("body", b"")))
        return message

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("full", 429)(scope, receive, send)

    await LimitedBody(scope, noted, 10**7, 60).run(refuse, scope, send)


@pytest.fixture
def port() -> Iterator[int]:
    received.clear()
    with listening(answers_at_once, timeout_graceful_shutdown=1) as number:
        yield number


def answer_of(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(1000):
        answer += part
        if answer.endswith(b"full"):
            break
    assert b" 429 " in answer
    return answer.lower()


def test_a_body_that_is_refused_is_taken_to_its_end_and_no_request_follows(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(POST)
        assert b"connection: close" in answer_of(connection)
        connection.sendall(BODY[1000:])  # is not cut off
        assert connection.recv(1000) == b""
    assert sum(received) == len(BODY)


def test_a_request_without_much_of_a_body_leaves_the_connection_open(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for request in (HEAD, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"):
            connection.sendall(request)
            assert b"connection: close" not in answer_of(connection)


def test_refused_bodies_do_not_keep_the_server_from_others(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_body, "_DISCARDED_BYTES", 1.0)
    monkeypatch.setattr(LimitedBody, "_next_discarded", 0.0)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as refused,
        socket.create_connection(("127.0.0.1", port), timeout=60) as other,
    ):
        refused.sendall(POST)
        answer_of(refused)
        refused.setblocking(False)
        refused.send(BODY[1000:])
        other.sendall(HEAD)
        answer_of(other)
        assert len(received) <= 1


def test_small_parts_are_passed_on_as_large_ones() -> None:
    """A form's parser changes threads at each part, which made many uploads slow to be accepted."""
    sent = [bytes([number % 251]) * 65_536 for number in range(100)]
    messages = iter(sent)

    async def receive() -> Message:
        part = next(messages)
        return {"type": "http.request", "body": part, "more_body": part is not sent[-1]}

    async def run() -> list[bytes]:
        body, received = LimitedBody(UNSTATED, receive, 10**8, 60), []
        while True:
            message = await body()
            received.append(message["body"])
            if not message["more_body"]:
                return received

    received = in_a_thread(run())
    assert b"".join(received) == b"".join(sent)
    assert len(received) <= 8
    assert all(len(part) >= 1_000_000 for part in received[:-1])


def test_a_client_that_leaves_in_the_middle_is_reported() -> None:
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def run() -> Message:
        return await LimitedBody(UNSTATED, receive, 100, 60)()

    assert in_a_thread(run()) == {"type": "http.disconnect"}


@pytest.mark.slow
def test_nothing_of_a_request_waits_for_the_garbage_collector(tmp_path: Path) -> None:
    """Thousands a minute would: under load a full collection comes about once in minutes."""

    def kept() -> int:
        return sum(isinstance(one, (LimitedBody, RequestResponseCycle)) for one in gc.get_objects())

    with listening(without_workers(tmp_path).app, http=ImpatientProtocol) as port:
        gc.collect()
        gc.disable()
        try:
            before, deadline = kept(), time.monotonic() + 5
            for path in ("/v1/settings", "/v1/jobs/none", "/none"):
                address, last = f"http://127.0.0.1:{port}{path}", {"Connection": "close"}
                assert httpx.get(address, headers=last).status_code in (200, 404)
            while kept() > before and time.monotonic() < deadline:
                time.sleep(0.05)  # the server ends the connection after its answer
            assert kept() == before
        finally:
            gc.enable()
