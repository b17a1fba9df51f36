"""The Python client."""

from __future__ import annotations

from pathlib import Path

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
