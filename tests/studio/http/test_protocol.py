"""Connections that begin no request are ended; others may take their time, but not the server's."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from impasto.studio.http import protocol

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers after more than the time that a head may take."""
    await asyncio.sleep(0.8)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.4)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        slow, http=protocol.ImpatientProtocol, ws="none", lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", HEAD[:20], HEAD + HEAD[:20]])
def test_a_head_that_does_not_come_ends_the_connection(port: int, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begun)
        received = b""
        while part := connection.recv(1000):
            received += part
    assert received.count(b" 204 ") == begun.count(HEAD)


@pytest.mark.slow
def test_a_slow_answer_and_a_pause_between_requests_are_no_reason(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for _ in range(2):
            connection.sendall(HEAD)
            assert b" 204 " in connection.recv(1000)
            time.sleep(0.8)  # uvicorn's own limit for this is longer


BODY = bytes(5_000_000)
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:1000]


def send_the_rest(connection: socket.socket) -> None:
    with suppress(OSError):  # the server does not read it to its end
        connection.sendall(BODY[1000:])


@pytest.mark.slow
def test_what_is_sent_after_the_answer_is_read_when_there_is_time(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    monkeypatch.setattr(protocol, "_IGNORED_BYTES", 1.0)
    monkeypatch.setattr(protocol.ImpatientProtocol, "_next_ignored", 0.0)
    pieces: list[int] = []
    receive = H11Protocol.data_received

    def counted(self: H11Protocol, data: bytes) -> None:
        pieces.append(len(data))
        receive(self, data)

    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as ignored,
        socket.create_connection(("127.0.0.1", port), timeout=60) as other,
    ):
        ignored.sendall(POST)
        assert b" 204 " in ignored.recv(1000)
        monkeypatch.setattr(H11Protocol, "data_received", counted)
        threading.Thread(target=send_the_rest, args=(ignored,), daemon=True).start()
        other.sendall(HEAD)
        assert b" 204 " in other.recv(1000)
    assert len(pieces) <= 2  # one of the body, and the other request


@pytest.mark.slow
def test_the_next_request_follows_a_body_that_was_ignored(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for _ in range(2):
            connection.sendall(POST)
            assert b" 204 " in connection.recv(1000)
            connection.sendall(BODY[1000:])
