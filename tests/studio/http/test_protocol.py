"""Connections that begin no request are ended; others may take their time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from impasto.studio.http import protocol
from serving import listening

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers after more than the time that a head may take."""
    await asyncio.sleep(0.8)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.4)
    with listening(slow, http=protocol.ImpatientProtocol) as number:
        yield number


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
