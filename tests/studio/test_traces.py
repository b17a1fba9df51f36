"""Traces: one from a request to the painting in another process, with nothing private in it."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from collector import Collector, collecting, facts
from impasto.errors import RecipeError
from impasto.studio import traces as studio_traces
from impasto.studio.queue.jobs import JobStore
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import Traces, current_traceparent
from job_rows import add_job
from serving import LONG, TINY, Studio, encoded, post, served_here, without_workers

pytest.importorskip("opentelemetry.sdk.trace")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
#: Every attribute that a span may have: another one has to be judged before it is let out.
PUBLIC = {
    "error.type", "http.request.method", "http.response.status_code", "http.route", "impasto.attempt",
    "impasto.height", "impasto.job", "impasto.kind", "impasto.preset", "impasto.request", "impasto.slot",
    "impasto.state", "impasto.width",
}  # fmt: skip


def assert_private(collector: Collector, *secrets: str) -> None:
    for secret in (*secrets, "127.0.0.1", "localhost"):
        assert secret not in collector.received, secret
    for span in collector.spans:
        assert set(facts(span)) <= PUBLIC
        assert not span.events


@pytest.mark.slow
def test_one_trace_from_the_request_to_the_painting_in_the_worker(tmp_path: Path) -> None:
    """By OTLP, as a collector gets it: parents, order, and an attempt that ended with the studio."""
    with collecting() as collector:
        with served_here(tmp_path, workers=True, traces=collector.url) as (address, _):
            studio = Studio(tmp_path)
            studio.http = httpx.Client(base_url=address, timeout=60)
            files = [("style", ("my holiday.png", encoded("PNG", (40, 40), 7)))]
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "Cookie": "a=biscuit"}
            sent = studio.http.post(
                "/v1/jobs",
                files=[("content", ("grandmother.jpg", encoded())), *files],
                data={"recipe": json.dumps(TINY)},
                headers=headers,
            )
            job = studio.finished(sent.json()["id"])["id"]
            drained = studio.post(encoded(seed=2), LONG).json()["id"]
            studio.running(drained)
        spans = [collector.named(name) for name in ("POST /v1/jobs", "accept", "wait", "paint")]
        assert [len(found) for found in spans] == [2, 2, 2, 2]
        request, accept, wait, paint = (found[0] for found in spans)
        assert {span.trace_id.hex() for span in (request, accept, wait, paint)} == {TRACE}
        assert request.parent_span_id.hex() == SPAN
        assert accept.parent_span_id == request.span_id
        assert wait.parent_span_id == paint.parent_span_id == accept.span_id
        assert wait.end_time_unix_nano <= paint.start_time_unix_nano <= paint.end_time_unix_nano
        assert facts(accept)["impasto.state"] == "queued"
        done = {"impasto.state": "done", "impasto.job": job[:6], "impasto.attempt": 1, "impasto.width": 48}
        assert done.items() <= facts(paint).items()
        assert facts(spans[3][1])["impasto.state"] == "queued"  # put back at the end of the studio
        assert collector.services == {"impasto-studio"}
        assert set(collector.paths) == {"/v1/traces"}
        assert_private(collector, job, drained, "grandmother", "holiday", "biscuit", str(tmp_path))


@pytest.mark.slow
def test_requests_have_spans_but_health_files_and_streams_have_none(tmp_path: Path) -> None:
    secret = "a rather long secret"
    with collecting() as collector:
        studio = without_workers(tmp_path, traces=collector.url + "/", token=secret)
        for path in ("/", "/healthz", "/metrics"):
            studio.get(path)
        refused = studio.get("/v1/jobs/0aF3someid?name=anna")
        studio.request("BISCUIT", "/v1/jobs")
        studio.headers["Authorization"] = f"Bearer {secret}"
        missing = studio.get("/v1/jobs/0aF3someid?name=anna")
        bad = post(studio, b"not a picture")
        studio.app.state.studio.traces.stop()  # type: ignore[attr-defined]
        assert [answer.status_code for answer in (refused, missing, bad)] == [401, 404, 415]
        named = {span.name: facts(span) for span in collector.spans}
        assert set(named) == {"GET", "_OTHER", "GET /v1/jobs/{job}", "POST /v1/jobs", "accept"}
        assert named["GET"]["http.response.status_code"] == 401
        assert named["GET /v1/jobs/{job}"] == {
            "http.request.method": "GET", "http.route": "/v1/jobs/{job}", "http.response.status_code": 404,
            "impasto.request": missing.headers["x-request-id"],
        }  # fmt: skip
        assert all(span.status.code == 0 for span in collector.spans)  # a refusal is no failure
        assert_private(collector, secret, "0aF3", "anna", "picture", "BISCUIT")


@pytest.mark.slow
def test_a_failure_says_its_class_and_not_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        studio = without_workers(tmp_path, traces=collector.url)
        service = studio.app.state.studio  # type: ignore[attr-defined]

        def fail(_: str) -> None:
            raise ValueError("the text of the error")

        monkeypatch.setattr(service.store, "get", fail)
        assert studio.get("/v1/jobs/x").status_code == 500
        service.traces.stop()
        (span,) = collector.spans
        assert (span.status.code, span.status.message, facts(span)["error.type"]) == (2, "", "ValueError")
        assert "the text" not in collector.received


def test_only_the_first_attempt_has_a_wait_and_an_attempt_without_a_trace_begins_one(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "studio.db")
    with collecting() as collector:
        traces = Traces(StudioSettings(data=tmp_path, traces=f"{collector.url}/v1/traces"))
        add_job(store, traceparent=f"00-{TRACE}-{SPAN}-01", created=time.time() + 60)  # a clock moved back
        for _ in range(2):
            claimed = store.claim("w")
            assert claimed is not None
            with traces.painting(claimed, "w"):
                assert TRACE in str(current_traceparent())
            store.release("w")
        other = add_job(store)
        store.cancel(claimed.id)
        claimed = store.claim("w")
        assert claimed is not None
        assert claimed.id == other.id
        with traces.painting(claimed, "w"):
            pass
        traces.stop()
        waits, paints = collector.named("wait"), collector.named("paint")
        assert [span.trace_id.hex() == TRACE for span in waits] == [False, True]
        assert [facts(span)["impasto.attempt"] for span in paints] == [1, 2, 1]
        assert not paints[2].parent_span_id
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in collector.spans)


def test_without_being_asked_nothing_is_traced_and_no_sdk_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the standard variables are set, for other programs of the machine."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    traces = Traces(StudioSettings(data=tmp_path))
    with traces.span("anything") as span:
        assert current_traceparent() is None
        assert not span.is_recording()
    traces.stop()


def test_a_collector_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and says nothing; the exporter by itself would wait ten seconds."""
    monkeypatch.setattr(studio_traces, "_STOP_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = Traces(StudioSettings(data=tmp_path, traces=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with traces.span("x"):
            pass
        traces.stop()
        assert "traces" in {thread.name for thread in threading.enumerate()}  # it still sends


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("collector:4318", "http or https"), ("ftp://127.0.0.1", "http or https"),
        ("http://", "http or https"), ("", "http or https"),
        ("http://127.0.0.1:4318/?key=x", "http or https"),
        ("http://anna:pass@collector.example", "no password"), ("http://127.0.0.1:99999", "Port"),
        ("http://[::1", "IPv6"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        StudioSettings(traces=url)
    assert "\n" not in str(caught.value)
