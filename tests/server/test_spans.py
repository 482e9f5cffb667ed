"""Spans are made of the records of calls."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gradwire_server.observability.spans import Spans
from gradwire_server.serving.call_record import CallRecord

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


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
    """It says which call it is; the record learns its trace, for the log."""
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
    """What its caller did wrong is told by the attributes alone."""
    call = _spans_of(_record(status=status, reason="A_REASON"))[-1]
    assert call.status.status_code is expected
    assert call.attributes["error.type"] == call.attributes["rpc.response.status_code"] == status
    assert call.attributes["gradwire.reason"] == "A_REASON"


def test_a_caller_that_is_not_sampled_has_no_spans() -> None:
    """Its trace is known all the same; a caller without a trace starts one."""
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
    """It is a caller's; it harms nothing."""
    (span,) = _spans_of(CallRecord("Compute", call_id="c", parent={"traceparent": "x" * 5000}))
    assert span.parent is None
