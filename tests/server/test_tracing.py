from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from collector import Collector, attributes_of, grpc_collector, http_collector
from gradwire_server.observability.spans import Spans
from gradwire_server.observability.tracing import open_spans
from gradwire_server.serving.call_record import CallRecord
from programs import function, node, program, vector
from serving import inline, refused, serving

X = np.array([0.5, -1.0, 2.0])
SIN = program(function([vector(3)], node("sin", [0], 1), results=[1]))
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of OpenTelemetry's is set."""
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("SDK_DISABLED", "TRACES_EXPORTER", "SERVICE_NAME", "RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)


@pytest.fixture(params=[grpc_collector, http_collector])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    """One of each kind."""
    with request.param() as collector:
        yield collector


def _spans_of(*records: CallRecord) -> list[Any]:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter, "a.Service", "me")
    spans.observe(records)
    spans.stop()
    return list(exporter.get_finished_spans())


def _record(**values: Any) -> CallRecord:
    record = CallRecord("Compute", call_id="c", parent=SAMPLED, **values)
    record.validate, record.compile, record.queue = 0.001, 0.25, 0.002
    record.execute, record.serialise, record.total = 0.004, 0.003, 0.27
    return record


def test_stages_are_spans_inside_that_of_the_call() -> None:
    """In their order, end to end, each as long as it took, at the time when the call was."""
    record = _record(rows=3)
    before = time.time_ns() - 1_000_000_000
    *stages, call = _spans_of(record)
    assert [span.name for span in stages] == ["validate", "compile", "queue", "execute", "encode"]
    seconds = [(span.end_time - span.start_time) / 1e9 for span in stages]
    assert seconds == pytest.approx([0.001, 0.25, 0.002, 0.004, 0.003])
    for earlier, later in pairwise(stages):
        assert earlier.end_time == later.start_time
    assert stages[0].start_time == call.start_time
    assert stages[-1].end_time <= call.end_time
    assert (call.end_time - call.start_time) / 1e9 == pytest.approx(0.27)
    assert before < call.start_time < time.time_ns() + 1_000_000_000
    for span in stages:
        assert span.parent.span_id == call.context.span_id
        assert span.kind is SpanKind.INTERNAL


def test_the_span_of_a_call_belongs_to_its_caller() -> None:
    """It identifies the call; the record gets its trace, for the log."""
    record = _record(rows=3, attempt=2, operator="grad", client="me/1", plan_id="p")
    call = _spans_of(record)[-1]
    assert (call.name, call.kind) == ("a.Service/Compute", SpanKind.SERVER)
    assert f"{call.parent.span_id:016x}" == PARENT
    assert record.trace_id == TRACE == f"{call.context.trace_id:032x}"
    assert dict(call.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "a.Service/Compute",
        "rpc.response.status_code": "OK",
        "user_agent.original": "me/1",
        "gradwire.call_id": "c",
        "gradwire.attempt": 2,
        "gradwire.operator": "grad",
        "gradwire.plan_id": "p",
        "gradwire.rows": 3,
    }
    assert call.status.status_code is StatusCode.UNSET
    assert call.resource.attributes["service.name"] == "gradwire-server"
    assert call.resource.attributes["service.instance.id"] == "me"


@pytest.mark.parametrize(
    ("status", "expected"),
    [("INTERNAL", StatusCode.ERROR), ("INVALID_ARGUMENT", StatusCode.UNSET)],
)
def test_only_faults_of_the_server_are_errors_of_its_span(
    status: str, expected: StatusCode
) -> None:
    """An error of the caller is only in the attributes."""
    call = _spans_of(_record(status=status, reason="A_REASON"))[-1]
    assert call.status.status_code is expected
    assert call.attributes["error.type"] == call.attributes["rpc.response.status_code"] == status
    assert call.attributes["gradwire.reason"] == "A_REASON"


def test_a_caller_that_is_not_sampled_has_no_spans() -> None:
    """Its trace is recorded all the same; for a caller without a trace one is started."""
    header = {"traceparent": SAMPLED["traceparent"][:-1] + "0"}
    unsampled = CallRecord("Compute", call_id="c", parent=header)
    assert _spans_of(unsampled) == []
    assert unsampled.trace_id == TRACE
    alone = CallRecord("Compute", call_id="c")
    (span,) = _spans_of(alone)
    assert span.parent is None
    assert alone.trace_id not in ("", TRACE)


def test_a_call_that_is_refused_unread_has_no_spans() -> None:
    """Nothing is known of it, and there may be more of them than a collector takes."""
    assert _spans_of(CallRecord("Compute", status="RESOURCE_EXHAUSTED", unread=True)) == []


def test_a_broken_header_starts_a_new_trace() -> None:
    """It is the caller's, and the call succeeds."""
    (span,) = _spans_of(CallRecord("Compute", call_id="c", parent={"traceparent": "x" * 5000}))
    assert span.parent is None


def test_spans_reach_a_collector(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by OpenTelemetry's own variables, at the latest when the server ends."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", collector.protocol)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,region=north")
    with serving(tmp_path) as (_, stub):
        headers = tuple(SAMPLED.items())
        stub.Compute(inline(SIN, X), metadata=headers)
        with refused("INVALID_INPUT"):
            stub.Compute(inline(SIN, X[:2]), metadata=headers)
    bad, good = sorted(
        collector.named("gradwire.v1.DerivativeService/Compute"),
        key=lambda span: attributes_of(span)["rpc.response.status_code"],
    )
    assert attributes_of(bad)["gradwire.reason"] == "INVALID_INPUT"
    assert good.parent_span_id.hex() == PARENT
    names = [span.name for span in collector.children(good)]
    assert names == ["validate", "compile", "queue", "execute", "encode"]
    took = sum(s.end_time_unix_nano - s.start_time_unix_nano for s in collector.children(good))
    assert 0 < took <= good.end_time_unix_nano - good.start_time_unix_nano
    resource = collector.resources[0]
    assert (resource["service.name"], resource["region"]) == ("mine", "north")
    assert resource["service.instance.id"] == "test"


def test_a_collector_that_is_not_there_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are answered, and the end doesn't wait for it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(tmp_path) as (app, stub):
        stub.Compute(inline(SIN, X))
        start = time.monotonic()
        app.stop()
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    ],
)
def test_without_an_order_there_are_no_traces(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is one; OpenTelemetry's own switches are obeyed."""
    if variables:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert open_spans("a.Service", "me") is None


def test_an_order_that_can_not_be_met_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, and the server serves."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    assert open_spans("a.Service", "me") is None
    assert "must be grpc or http/protobuf; got 'http/json'" in caplog.text
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    assert open_spans("a.Service", "me") is None
    assert "Run: pip install 'gradwire[otel]'" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("TIMEOUT", "10s", "ValueError: could not convert string to float: '10s'"),
        ("COMPRESSION", "foo", 'InvalidCompressionValueException: Invalid value "foo"'),
    ],
)
def test_a_wrong_variable_is_only_warned_about(
    name: str,
    value: str,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OpenTelemetry's error is in the log, and the server serves."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    assert open_spans("a.Service", "me") is None
    assert f"there are no traces: {cause}" in caplog.text
