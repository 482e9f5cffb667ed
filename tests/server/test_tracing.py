"""Whether calls are traced, and where to, OpenTelemetry's own variables say."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import Collector, attributes_of, grpc_collector, http_collector
from gradwire_server.observability.tracing import open_spans
from programs import SIN, X
from serving import inline, refused, serving

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
