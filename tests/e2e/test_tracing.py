"""Traces from the client through the server, as a collector gets them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from collector import Collector, attributes_of, grpc_collector
from gradwire.errors import InvalidInputError
from gradwire.errors import Reason as R
from gradwire.ir import encode_program
from gradwire.transport.connection import connect
from programs import chain, program, vector
from scripted_server import ScriptedServer, detailed
from server_process import run_script
from serving import serving

SERVICE = "gradwire.v1.DerivativeService"
PROGRAM = encode_program(program(chain("sin", 1, vector(3))))
X = np.arange(3.0)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """This process's spans. OpenTelemetry's global is set once in a process, hence the patch."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """The collector of the spans of this process's servers."""
    with grpc_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def _by_name(exporter: InMemorySpanExporter) -> dict[str, Any]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_trace_leads_from_the_caller_to_each_stage(
    tmp_path: Path, exporter: InMemorySpanExporter, collector: Collector
) -> None:
    """Caller, call, attempt, server, stage: each the parent of the next, all in one trace."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    with serving(tmp_path) as (app, _), connect(app.address) as connection:
        exporter.clear()
        with tracer.start_as_current_span("training step"):
            reply = connection.compute(PROGRAM, [X])
    spans = _by_name(exporter)
    step, call = spans["training step"], spans["gradwire.compute"]
    assert call.parent.span_id == step.context.span_id
    assert call.attributes["gradwire.call_id"] == reply.call_id
    for method in ("Prepare", "Compute"):
        attempt = spans[f"{SERVICE}/{method}"]
        assert attempt.kind is SpanKind.CLIENT
        assert attempt.parent.span_id == call.context.span_id
        (served,) = [
            span
            for span in collector.named(f"{SERVICE}/{method}")
            if span.parent_span_id.hex() == f"{attempt.context.span_id:016x}"
        ]
        assert served.trace_id.hex() == f"{step.context.trace_id:032x}"
        assert attributes_of(served)["gradwire.call_id"] == reply.call_id
        stages = collector.children(served)
        assert stages[0].name == "validate"
        assert {"compile", "encode"} & {span.name for span in stages}
        took = sum(span.end_time_unix_nano - span.start_time_unix_nano for span in stages)
        assert took <= served.end_time_unix_nano - served.start_time_unix_nano
        # One machine, one clock: what the server did lies within what the client waited.
        assert attempt.start_time <= served.start_time_unix_nano + 5_000_000
        assert served.end_time_unix_nano <= attempt.end_time + 5_000_000


def test_an_error_is_one_at_both_ends(
    tmp_path: Path, exporter: InMemorySpanExporter, collector: Collector
) -> None:
    """The id in the caller's exception is in every span of the call."""
    with serving(tmp_path) as (app, _), connect(app.address) as connection:
        connection.prepare(PROGRAM)
        exporter.clear()
        with pytest.raises(InvalidInputError) as caught:
            connection.compute(PROGRAM, [X[:2]])
    spans = _by_name(exporter)
    for name in ("gradwire.compute", f"{SERVICE}/Compute"):
        assert spans[name].status.status_code is StatusCode.ERROR
        assert spans[name].attributes["gradwire.call_id"] == caught.value.call_id
    assert spans[f"{SERVICE}/Compute"].attributes["gradwire.reason"] == "INVALID_INPUT"
    (served,) = collector.named(f"{SERVICE}/Compute")
    assert attributes_of(served)["gradwire.call_id"] == caught.value.call_id
    assert attributes_of(served)["error.type"] == "INVALID_ARGUMENT"


def test_each_attempt_is_a_span(exporter: InMemorySpanExporter) -> None:
    """With its number and its failure; each carries headers of its own to the server."""
    with ScriptedServer() as server, connect(server.target) as connection:
        exporter.clear()
        server.then("Prepare", detailed(R.ERROR_REASON_OVERLOADED, retry_after=0.01))
        connection.prepare(PROGRAM)
        headers = [asked.metadata["traceparent"] for asked in server.asked[1:]]
    first, second, call = exporter.get_finished_spans()
    assert [span.attributes["gradwire.attempt"] for span in (first, second)] == [0, 1]
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["gradwire.reason"] == "OVERLOADED"
    assert second.status.status_code is StatusCode.UNSET
    assert call.status.status_code is StatusCode.UNSET
    for span, header in zip((first, second), headers, strict=True):
        assert f"{span.context.trace_id:032x}-{span.context.span_id:016x}" in header


def test_nobody_pays_who_has_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider, no spans and no headers, whether or not OpenTelemetry is imported."""
    with ScriptedServer() as server, connect(server.target) as connection:
        connection.prepare(PROGRAM)
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        connection.prepare(PROGRAM)
    assert all("traceparent" not in asked.metadata for asked in server.asked)


SCRIPT = """
import sys
import numpy as np
import gradwire as gw

gw.connect(sys.argv[1]).info()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


def test_opentelemetry_is_not_imported_for_nothing() -> None:
    """A client that calls doesn't have it, although it is installed."""
    with ScriptedServer() as server:
        assert run_script(SCRIPT, server.target) == ["[]"]
