from __future__ import annotations

from gradwire_server.observability.metrics import Metrics
from gradwire_server.observability.pages import metrics_page, readiness_page
from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.lifecycle import Lifecycle


def test_metrics_count_every_call_that_has_ended() -> None:
    """Though the observers have not processed it when the page is requested."""
    metrics = Metrics()
    recorder = CallRecorder([metrics.observe])
    recorder.add(CallRecord("Compute", operator="jvp"))
    status, kind, body = metrics_page(metrics, recorder)()
    recorder.stop()
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert b'gradwire_calls_total{method="Compute",operator="jvp",status="OK"} 1.0' in body


def test_only_a_server_that_serves_is_ready() -> None:
    """Before and after it the page names the state, with a status that probes understand."""
    lifecycle = Lifecycle(100)
    page = readiness_page(lifecycle)
    seen = [(page()[0], page()[2])]
    for step in (lifecycle.serve, lifecycle.leave_rotation, lifecycle.drain):
        step()
        seen.append((page()[0], page()[2]))
    assert seen == [
        (503, b"starting\n"), (200, b"serving\n"), (503, b"leaving\n"), (503, b"draining\n"),
    ]  # fmt: skip
