"""Finished calls are counted."""

from __future__ import annotations

import pytest

from gradwire_server.observability.metrics import MAX_CALLERS, OVERLOAD_LIMITS, Metrics
from gradwire_server.runtime.devices import DeviceInfo
from gradwire_server.serving.call_record import STAGES, CallRecord
from monitoring import samples_of


def test_finished_calls_are_counted() -> None:
    """By method, operator and status; bytes and rows as well."""
    metrics = Metrics()
    record = CallRecord("Compute", operator="jvp", bytes_in=10, bytes_out=20, rows=5)
    record.execute = 0.02
    metrics.observe([record, record, CallRecord("Prepare", status="INTERNAL")])
    samples = samples_of(metrics.render().decode())
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
    samples = samples_of(Metrics().render().decode())
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
    samples = samples_of(metrics.render().decode())
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
    samples = samples_of(metrics.render().decode())
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
    samples = samples_of(metrics.render().decode())
    assert samples["a_gauge", ()] == 7
    assert samples["a_count_total", ()] == 7
    device = (("device", "0"), ("kind", "H100"), ("platform", "gpu"))
    assert samples["gradwire_device_memory_bytes", device] == 100
    assert samples["gradwire_device_memory_used_bytes", device] == 40


def test_callers_are_labels_of_a_bounded_number() -> None:
    """The first are named, the others count together."""
    metrics = Metrics()
    for number in range(MAX_CALLERS + 3):
        metrics.observe([CallRecord("Compute", caller=f"client:{number}", execute=2.0)])
    metrics.observe([CallRecord("Compute", caller="client:0", execute=1.0)])
    samples = samples_of(metrics.render().decode())
    name = "gradwire_caller_execute_seconds_total"
    assert samples[name, (("caller", "client:0"),)] == 3.0
    assert samples[name, (("caller", "other"),)] == 6.0
    assert sum(found == name for found, _ in samples) == MAX_CALLERS + 1
