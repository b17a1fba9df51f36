"""Event streams: one reader for all of them, which survives errors; a limit for each client."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from impasto.studio.http import job_feed
from impasto.studio.http.job_events import JobEvents
from impasto.studio.http.job_feed import JobFeed
from impasto.studio.http.views import JobView
from impasto.studio.queue.jobs import JobStore
from job_rows import add_job
from serving import in_a_thread, without_workers


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


def with_feed(feed: JobFeed, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test while the feed runs."""

    async def run() -> None:
        running = asyncio.create_task(feed.run())
        try:
            await asyncio.wait_for(test(), 20)
        finally:
            running.cancel()

    in_a_thread(run())


async def next_view(stream: AsyncIterator[JobView | None]) -> JobView:
    view = await asyncio.wait_for(anext(stream), 10)
    assert view is not None
    return view


def test_streams_read_nothing_themselves_and_share_one_reading(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred streams cost as many queries as one, and none of them runs in the event loop."""
    jobs = [add_job(store) for _ in range(10)]
    feed, threads, reads = JobFeed(store), set(), []
    get_many = store.get_many

    def recorded(ids: set[str]) -> Any:
        threads.add(threading.current_thread().name.split("_")[0])
        reads.append(len(ids))
        return get_many(ids)

    monkeypatch.setattr(store, "get_many", recorded)

    async def test() -> None:
        streams = [feed.follow(job.id) for job in jobs for _ in range(10)]
        first = await asyncio.gather(*(next_view(stream) for stream in streams))
        assert [view.position for view in first[::10]] == list(range(10))
        before = len(reads)
        JobStore(store.path).cancel(jobs[0].id)
        changed = await asyncio.gather(*(next_view(stream) for stream in streams))
        assert {view.state for view in changed[:10]} == {"cancelled"}
        assert {view.position for view in changed[10:20]} == {0}
        assert len(reads) - before <= 2
        for stream in streams[:10]:
            with pytest.raises(StopAsyncIteration):
                await next_view(stream)
        for stream in streams:
            await stream.aclose()
        assert not feed._followers

    with_feed(feed, test)
    assert threads == {"job-feed"}


def test_events_go_on_after_errors_of_the_database(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, feed = add_job(store), JobFeed(store)
    errors = [sqlite3.OperationalError("disk I/O error"), MemoryError(), OSError("EIO")]
    data_version = store.data_version

    def failing() -> int:
        if errors:
            raise errors.pop()
        return data_version()

    monkeypatch.setattr(store, "data_version", failing)

    async def test() -> None:
        stream = feed.follow(job.id)
        assert (await next_view(stream)).state == "queued"
        JobStore(store.path).mark_deleted(job.id)
        with pytest.raises(StopAsyncIteration):
            await next_view(stream)

    with_feed(feed, test)
    assert not errors


def test_a_stream_without_changes_shows_that_it_lives(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies end connections that are silent."""
    monkeypatch.setattr(job_feed, "_SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(job_feed, "_LOOK_SECONDS", 0.1)
    job, feed = add_job(store), JobFeed(store)

    async def test() -> None:
        stream = feed.follow(job.id)
        assert (await next_view(stream)).state == "queued"
        assert await anext(stream) is None
        assert await anext(stream) is None
        JobStore(store.path).cancel(job.id)
        assert (await next_view(stream)).state == "cancelled"

    with_feed(feed, test)


def test_events_are_sent_until_the_client_leaves(store: JobStore) -> None:
    job, feed = add_job(store), JobFeed(store)
    messages: list[Message] = []
    sent, left = asyncio.Event(), asyncio.Event()

    async def send(message: Message) -> None:
        messages.append(message)
        if message.get("body"):
            sent.set()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def test() -> None:
        scope = {"type": "http", "method": "GET", "asgi": {"spec_version": "2.3"}}
        answering = asyncio.create_task(JobEvents(feed.follow(job.id))(scope, receive, send))
        await asyncio.wait_for(sent.wait(), 10)
        assert feed._followers
        left.set()
        await asyncio.wait_for(answering, 10)
        assert not feed._followers

    with_feed(feed, test)
    start, event = messages[:2]
    assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
    name, data = event["body"].removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: job"
    assert JobView.model_validate_json(data.removeprefix(b"data: ")).id == job.id


def test_one_client_has_so_many_streams(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, client_streams=2)
    service = studio.app.state.studio  # type: ignore[attr-defined]
    job = add_job(service.store)
    with service.streams.one("testclient"), service.streams.one("testclient"):
        response = studio.get(f"/v1/jobs/{job.id}/events")
    assert response.status_code == 429
    assert "event streams" in response.json()["detail"]
