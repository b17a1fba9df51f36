"""OpenTelemetry traces, if asked for: where the time of a job goes, from its request to its painting.

A trace begins with a request, or goes on from the client's ``traceparent``; it is kept with the job's row and
goes on in the worker. A span has a name, its times and few facts. It never has an address, a token, a whole
id, the name of a file or of a person, or the text of an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from impasto import __version__
from impasto.studio.queue.studio_job import StudioJob
from impasto.studio.settings import StudioSettings

__all__ = ["Traces", "current_traceparent", "job_facts", "note_error", "note_state"]

_SERVICE_NAME = "impasto-studio"  # unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says another
_PATH = "/v1/traces"  # of OTLP over HTTP
_METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
_STOP_SECONDS = 2.0  # a collector that does not answer must not delay the end of a server

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class Traces:
    """Makes spans and sends them to the collector of ``settings.traces``; without one there are none."""

    def __init__(self, settings: StudioSettings) -> None:
        self._tracer: Tracer = NoOpTracer()
        self._provider = None
        if settings.traces is None:
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        facts = Resource.create({"service.name": _SERVICE_NAME, "service.version": __version__})
        provider = TracerProvider(
            resource=facts.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        endpoint = settings.traces.rstrip("/").removesuffix(_PATH) + _PATH
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._provider, self._tracer = provider, provider.get_tracer("impasto.studio", __version__)

    def stop(self) -> None:
        """Send what was not sent yet, for at most two seconds."""
        if self._provider is not None:
            sending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
            sending.start()
            sending.join(_STOP_SECONDS)

    @contextmanager
    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, parent: Context | None = None
    ) -> Iterator[Span]:
        """A span that is the present one within the block.

        Args:
            parent: the context of its parent; None: the present span.
        """
        with self._tracer.start_as_current_span(
            name, parent, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Span]:
        """The span of a request to the API; of others, and of streams without an end, there is none."""
        path, method = scope["path"], scope["method"]
        method = method if method in _METHODS else "_OTHER"  # a client may send any word
        if not path.startswith("/v1/") or path.endswith("/events"):
            yield INVALID_SPAN
            return
        with self.span(method, SpanKind.SERVER, propagate.extract(Headers(scope=scope))) as span:
            span.set_attribute("http.request.method", method)
            try:
                yield span
            except Exception as error:
                note_error(type(error).__qualname__)
                raise
            finally:
                route = getattr(scope.get("route"), "path", None)  # of a request that reached a route
                if route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)

    @contextmanager
    def painting(self, job: StudioJob, slot: str) -> Iterator[Span]:
        """The span of an attempt at a job, after that of its wait if it is the first."""
        carrier = {} if job.traceparent is None else {"traceparent": job.traceparent}
        parent = _TRACE_CONTEXT.extract(carrier, Context())
        if job.attempts == 1 and job.seconds is None and job.started is not None:
            begin, end = (int(seconds * 1e9) for seconds in (job.created, job.started))
            self._tracer.start_span("wait", parent, start_time=begin).end(max(begin, end))
        with self.span("paint", SpanKind.CONSUMER, parent) as span:
            span.set_attributes({**job_facts(job), "impasto.attempt": job.attempts, "impasto.slot": slot})
            yield span


def job_facts(job: StudioJob) -> dict[str, str | int]:
    """What spans say of a job; of its id as much as the log."""
    return {
        "impasto.job": job.id[:6],
        "impasto.kind": job.kind,
        "impasto.state": job.state,
        "impasto.preset": job.preset,
        "impasto.width": job.width,
        "impasto.height": job.height,
    }


def note_state(state: str) -> None:
    """Say in the present span what became of its job."""
    trace.get_current_span().set_attribute("impasto.state", state)


def note_error(kind: str) -> None:
    """Say that the present span failed, and of what: the class of an error, or a status."""
    span = trace.get_current_span()
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def current_traceparent() -> str | None:
    """The present span as W3C Trace Context writes it; None if there is none."""
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier)
    return carrier.get("traceparent")
