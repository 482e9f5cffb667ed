"""The pages of the HTTP server: the metrics, and whether calls are accepted."""

from __future__ import annotations

from gradwire_server.observability.http import TEXT, Page
from gradwire_server.observability.metrics import CONTENT_TYPE, Metrics
from gradwire_server.observability.recorder import CallRecorder
from gradwire_server.serving.lifecycle import Lifecycle, State


def metrics_page(metrics: Metrics, recorder: CallRecorder) -> Page:
    """Makes the page for Prometheus; every call that has ended before counts in it."""

    def page() -> tuple[int, str, bytes]:
        recorder.flush()
        return 200, CONTENT_TYPE, metrics.render()

    return page


def readiness_page(lifecycle: Lifecycle) -> Page:
    """Makes the page for probes: the state, and a status of 503 unless calls are asked for."""

    def page() -> tuple[int, str, bytes]:
        state = lifecycle.state
        return 200 if state is State.SERVING else 503, TEXT, f"{state}\n".encode()

    return page
