from __future__ import annotations

import http.client
import json
import logging
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gradwire.v1 import service_pb2 as pb
from gradwire_server.observability.http import HttpServer
from gradwire_server.observability.logs import FIELDS, JsonFormatter, TextFormatter, log_calls
from gradwire_server.observability.metrics import OVERLOAD_LIMITS, Metrics
from gradwire_server.runtime.devices import DeviceInfo
from gradwire_server.serving.call_record import STAGES, CallRecord
from gradwire_server.start_error import StartError
from programs import function, node, program, vector
from serving import inline, inputs, prepare_request, refused, serving

EXECUTE = (("method", "Compute"), ("stage", "execute"))
X = np.array([0.5, -1.0, 2.0])
SIN = program(function([vector(3)], node("sin", [0], 1), results=[1]))
JACOBIAN = program(
    function([vector(3)], node("sin", [0], 1), results=[1]),
    function([vector(3)], node("jacobian", [0], 1, 2, functions=[0]), results=[2]),
    mapped=[True],
)


def _samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_finished_calls_are_counted() -> None:
    """By method, operator and status; bytes and rows as well."""
    metrics = Metrics()
    record = CallRecord("Compute", operator="jvp", bytes_in=10, bytes_out=20, rows=5)
    record.execute = 0.02
    metrics.observe([record, record, CallRecord("Prepare", status="INTERNAL")])
    samples = _samples(metrics.render().decode())
    labels = (("method", "Compute"), ("operator", "jvp"), ("status", "OK"))
    assert samples["gradwire_calls_total", labels] == 2
    labels = (("method", "Prepare"), ("operator", ""), ("status", "INTERNAL"))
    assert samples["gradwire_calls_total", labels] == 1
    stage = (("method", "Compute"), ("stage", "execute"))
    assert samples["gradwire_stage_seconds_count", stage] == 2
    assert samples["gradwire_stage_seconds_sum", stage] == pytest.approx(0.04)
    assert samples["gradwire_received_bytes_total", ()] == 20
    assert samples["gradwire_sent_bytes_total", ()] == 40
    assert samples["gradwire_batch_rows_sum", ()] == 10


def test_every_stage_has_a_histogram() -> None:
    """Also before anything has happened, so that a query finds it; of no stage that can't be."""
    samples = _samples(Metrics().render().decode())
    counts = {
        (labels[0][1], labels[1][1]): value
        for (name, labels), value in samples.items()
        if name == "gradwire_stage_seconds_count"
    }
    prepare = {("Prepare", stage) for stage in ("validate", "compile", "serialise")}
    assert set(counts) == prepare | {("Compute", stage) for stage in STAGES}
    assert not any(counts.values())


def test_what_goes_wrong_is_counted_by_its_kind() -> None:
    """By reason and by bound; so are attempts after the first, and values that aren't finite."""
    metrics = Metrics()
    refused_call = CallRecord("Compute", status="RESOURCE_EXHAUSTED", reason="OVERLOADED")
    refused_call.limit = "max_calls"
    again = CallRecord("Compute", operator="grad", attempt=2, non_finite=7, total=0.2)
    metrics.observe([refused_call, again])
    samples = _samples(metrics.render().decode())
    labels = (("method", "Compute"), ("reason", "OVERLOADED"))
    assert samples["gradwire_failures_total", labels] == 1
    for limit in OVERLOAD_LIMITS:
        counted = samples["gradwire_calls_refused_total", (("limit", limit),)]
        assert counted == (limit == "max_calls")
    assert samples["gradwire_retries_total", ()] == 1
    assert samples["gradwire_non_finite_calls_total", (("operator", "grad"),)] == 1
    labels = (("method", "Compute"), ("operator", "grad"))
    assert samples["gradwire_call_seconds_sum", labels] == pytest.approx(0.2)
    labels = (("le", "0.1"), *labels)
    assert samples["gradwire_call_seconds_bucket", labels] == 0


def test_calls_refused_unread_have_no_time() -> None:
    """They are counted, and don't lower the times of those that were answered."""
    metrics = Metrics()
    unread = CallRecord("Compute", status="RESOURCE_EXHAUSTED", reason="OVERLOADED", unread=True)
    metrics.observe([unread, unread, CallRecord("Compute", total=2.0)])
    samples = _samples(metrics.render().decode())
    labels = (("method", "Compute"), ("operator", ""))
    assert samples["gradwire_calls_total", (*labels, ("status", "RESOURCE_EXHAUSTED"))] == 2
    assert samples["gradwire_call_seconds_count", labels] == 1
    assert samples["gradwire_call_seconds_sum", labels] == 2


def test_no_series_comes_twice() -> None:
    """There is no second one for the moment at which each was made."""
    text = Metrics().render().decode()
    assert "_created" not in text
    assert "process_start_time_seconds" in text


def test_what_others_count_is_read_when_asked() -> None:
    """Gauges, counters and devices."""
    value = 1.0
    metrics = Metrics(
        [("gauge", "a_gauge", "A.", lambda: value), ("counter", "a_count", "B.", lambda: value)],
        lambda: [DeviceInfo(0, "gpu", "H100", 100, 40)],
    )
    value = 7.0
    samples = _samples(metrics.render().decode())
    assert samples["a_gauge", ()] == 7
    assert samples["a_count_total", ()] == 7
    device = (("device", "0"), ("kind", "H100"), ("platform", "gpu"))
    assert samples["gradwire_device_memory_bytes", device] == 100
    assert samples["gradwire_device_memory_used_bytes", device] == 40


def test_a_server_under_use_shows_it(tmp_path: Path) -> None:
    """Over HTTP, as Prometheus reads it; a call is counted as soon as it has ended."""
    values = {"metrics": "127.0.0.1:0", "max_plans": 1, "cache_dir": str(tmp_path / "cache")}
    with serving(tmp_path, **values) as (app, stub):
        plan_id = stub.Prepare(prepare_request(SIN)).plan.id
        stub.Compute(pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X])))
        stub.Compute(inline(JACOBIAN, np.ones((3, 3))))
        with refused("PLAN_NOT_FOUND"):
            stub.Compute(pb.ComputeRequest(plan_id=plan_id, inputs=inputs([X])))
        stub.GetServerInfo(pb.GetServerInfoRequest())
        assert app.metrics_url is not None
        status, text = _get(f"{app.metrics_url}/metrics")
        assert status == 200
        samples = _samples(text)
    for method, operator, code in (
        ("Prepare", "function", "OK"),
        ("Compute", "function", "OK"),
        ("Compute", "jacobian", "OK"),
        ("Compute", "", "NOT_FOUND"),
        ("GetServerInfo", "", "OK"),
    ):
        labels = (("method", method), ("operator", operator), ("status", code))
        assert samples["gradwire_calls_total", labels] == 1
    for name, value in (
        ("calls_in_flight", 0),
        ("plans_held", 1),
        ("plan_hits_total", 1),
        ("plan_misses_total", 3),
        ("plan_evictions_total", 1),
        ("executables_compiled_total", 2),
        ("executables_loaded_total", 0),
        ("batch_rows_count", 1),
        ("batch_rows_sum", 3),
        ("compiles_waiting", 0),
        ("compiles_running", 0),
        ("executables_failed_total", 0),
        ("executions_running", 0),
        ("executions_waiting", 0),
        ("calls_waiting", 0),
        ("bytes_in_flight", 0),
        ("ready", 1),
        ("draining", 0),
        ("records_dropped_total", 0),
        ("cache_failed_writes_total", 0),
        ("retries_total", 0),
    ):
        assert samples[f"gradwire_{name}", ()] == value, name
    assert samples["gradwire_plans_held_bytes", ()] > 2**18
    assert samples["gradwire_limit", (("limit", "max_plans"),)] == 1
    busy = samples["gradwire_device_busy_seconds_total", ()]
    assert 0 < busy <= samples["gradwire_stage_seconds_sum", EXECUTE]
    assert 0 < samples["gradwire_compile_seconds_total", ()] < 60
    files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    on_disk = sum(path.stat().st_size for path in files)
    assert samples["gradwire_cache_bytes", ()] == on_disk > 1000
    assert samples["gradwire_cache_free_bytes", ()] > 0
    (build,) = [dict(labels) for name, labels in samples if name == "gradwire_build_info"]
    assert (build["replica"], build["platform"]) == ("test", "cpu")
    assert set(build) == {
        "version",
        "jax",
        "jaxlib",
        "python",
        "platform",
        "device_kind",
        "replica",
    }
    assert samples["gradwire_received_bytes_total", ()] > 100
    assert samples["gradwire_sent_bytes_total", ()] > 100


def test_only_three_pages_are_served() -> None:
    """To readers alone."""
    monitor = HttpServer(
        "127.0.0.1:0", lambda: (200, "text/plain", b"m"), lambda: (503, "x/y", b"r")
    )
    monitor.start()
    try:
        assert _get(f"{monitor.url}/metrics?x=1") == (200, "m")
        assert _get(f"{monitor.url}/readyz") == (503, "r")
        assert _get(f"{monitor.url}/livez") == (200, "ok\n")
        for wrong in ("/", "/metrics/", "/../etc/passwd", "/Livez", "/livez/x"):
            assert _get(monitor.url + wrong)[0] == 404
        connection = http.client.HTTPConnection(urlsplit(monitor.url).netloc, timeout=10)
        for method, status in (("HEAD", 200), ("POST", 501), ("DELETE", 501)):
            connection.request(method, "/livez")
            reply = connection.getresponse()
            assert (reply.status, reply.read() == b"") == (status, method == "HEAD")
            connection.close()
    finally:
        monitor.stop()


def test_silent_connections_do_not_stop_the_monitor() -> None:
    """As many as it takes are held; beyond them it closes at once, and it still ends."""
    monitor = HttpServer("127.0.0.1:0", lambda: (200, "x/y", b""), lambda: (200, "x/y", b""))
    monitor.start()
    address = urlsplit(monitor.url)
    held = [socket.create_connection((address.hostname, address.port), 10) for _ in range(16)]
    try:
        with socket.create_connection((address.hostname, address.port), 10) as refused_:
            assert refused_.recv(1) == b""
        held.pop().close()
    finally:
        for connection in held:
            connection.close()
        monitor.stop()


def test_an_address_in_use_is_an_error() -> None:
    """When the monitor starts, not later; and it can be stopped all the same."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monitor = HttpServer(
            f"127.0.0.1:{other.getsockname()[1]}", lambda: (0, "", b""), lambda: (0, "", b"")
        )
        with pytest.raises(
            StartError, match=r"`metrics` must be .* got .127\.0\.0\.1:\d+. .*in use"
        ):
            monitor.start()
        assert monitor.url is None
        monitor.stop()


def test_a_monitor_that_is_off_answers_nowhere() -> None:
    """It starts and stops as others do."""
    monitor = HttpServer("off", lambda: (0, "", b""), lambda: (0, "", b""))
    monitor.start()
    assert monitor.url is None
    monitor.stop()


def _formatted(formatter: logging.Formatter, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [formatter.format(record) for record in caplog.records]


def test_each_call_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """In JSON and in text; what a caller chose can't forge another line."""
    caplog.set_level(logging.INFO)
    record = CallRecord("Compute", 'a" \n forged', operator="jvp", plan_id="p", rows=3, total=0.5)
    record.execute = 0.25
    record.attempt, record.client, record.peer, record.trace_id = 2, "c\n", "ipv4:1", "abc"
    log_calls([record])
    (line,) = _formatted(JsonFormatter(), caplog)
    assert "\n" not in line
    read = json.loads(line)
    assert read["call_id"] == 'a" \n forged'
    assert (read["ms"], read["execute_ms"], read["queue_ms"]) == (500.0, 250.0, 0.0)
    assert (read["status"], read["rows"], read["plan_id"]) == ("OK", 3, "p")
    assert (read["attempt"], read["client"], read["trace_id"]) == (2, "c\n", "abc")
    assert set(read) >= {"time", "level", "method", "operator", *(f"{s}_ms" for s in STAGES)}
    (text,) = _formatted(TextFormatter(), caplog)
    assert "\n" not in text
    assert r'call_id="a\" \n forged" attempt=2 client="c\n" peer="ipv4:1" method="Comp' in text


def test_tracebacks_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """In JSON as a value of the same line."""
    try:
        raise ValueError("cause")
    except ValueError:
        logging.getLogger("gradwire_server").exception("it failed", extra={FIELDS: {"x": 1.5}})
    (line,) = _formatted(JsonFormatter(), caplog)
    read = json.loads(line)
    assert (read["message"], read["level"], read["x"]) == ("it failed", "error", 1.5)
    assert read["traceback"].endswith("ValueError: cause")
    (text,) = _formatted(TextFormatter(), caplog)
    assert "it failed x=1.5\nTraceback" in text
