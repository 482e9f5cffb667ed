"""Spans of finished calls, made from their records. No other module may import OpenTelemetry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gradwire_server.runtime.devices import server_version
from gradwire_server.serving.call_record import STAGES, CallRecord

_SPAN_NAMES = {**{stage: stage for stage in STAGES}, "serialise": "encode"}

_SERVER_FAULTS = {
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
}
"""The statuses that OpenTelemetry's conventions for gRPC count as a server's errors."""

_STOP_SECONDS = 2.0

_FROM_HEADERS = TraceContextTextMapPropagator()


class Spans:
    """Makes spans and hands them to an exporter, which works in a thread of its own."""

    def __init__(self, exporter: SpanExporter, service: str, replica_id: str) -> None:
        """Starts to export.

        Args:
            exporter: Where spans go.
            service: The full name of the gRPC service.
            replica_id: The name of this server.
        """
        own = {
            "service.name": "gradwire-server",
            "service.version": server_version(),
            "service.instance.id": replica_id,
        }
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._exporter = exporter
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("gradwire_server", server_version())
        self._service = service

    def observe(self, records: Iterable[CallRecord]) -> None:
        """Makes the spans of finished calls, and sets the trace of each record."""
        # From the records' clock to Unix time, in nanoseconds.
        shift = time.time_ns() - time.perf_counter_ns()
        for record in records:
            if not record.unread:
                self._observe(record, shift)

    def stop(self) -> None:
        """Exports the rest, if the collector accepts it within two seconds, and ends."""
        # The provider alone would try for half a minute.
        giving_up = threading.Timer(_STOP_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()

    def _observe(self, record: CallRecord, shift: int) -> None:
        start = shift + int(record.started * 1e9)
        method = f"{self._service}/{record.method}"
        span = self._tracer.start_span(
            method,
            _FROM_HEADERS.extract(record.parent or {}),
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
            start_time=start,
        )
        record.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        if span.is_recording():
            _describe(span, record)
            self._observe_stages(span, record, start)
        span.end(start + int(record.total * 1e9))

    def _observe_stages(self, span: trace.Span, record: CallRecord, start: int) -> None:
        """Makes the stages' spans end to end, which is right but for some microseconds."""
        inside = trace.set_span_in_context(span)
        for stage in STAGES:
            nanoseconds = int(getattr(record, stage) * 1e9)
            if nanoseconds:
                child = self._tracer.start_span(_SPAN_NAMES[stage], inside, start_time=start)
                start += nanoseconds
                child.end(start)


def _describe(span: trace.Span, record: CallRecord) -> None:
    span.set_attributes(
        {
            "rpc.response.status_code": record.status,
            "user_agent.original": record.client,
            "gradwire.call_id": record.call_id,
            "gradwire.attempt": record.attempt,
            "gradwire.operator": record.operator,
            "gradwire.plan_id": record.plan_id,
        }
    )
    if record.rows >= 0:
        span.set_attribute("gradwire.rows", record.rows)
    if record.reason:
        span.set_attributes({"gradwire.reason": record.reason, "error.type": record.status})
    if record.status in _SERVER_FAULTS:
        span.set_status(trace.StatusCode.ERROR, record.reason)
