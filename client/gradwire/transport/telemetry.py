"""Spans of calls, for processes that use OpenTelemetry. Only this module imports it.

Where OpenTelemetry isn't set up, it is not imported, and a call costs two look-ups.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from gradwire.errors import GradwireError, Reason
from gradwire.transport.call import Call, client_version

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_NOTHING: AbstractContextManager[None] = nullcontext()


class AttemptSpan:
    """The span of one message to the server and its answer."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def fail(self, error: GradwireError) -> None:
        """Says how it ended."""
        from opentelemetry.trace import StatusCode

        reason = Reason.Name(error.reason).removeprefix("ERROR_REASON_")
        self._span.set_attributes({"gradwire.reason": reason, "error.type": type(error).__name__})
        self._span.set_status(StatusCode.ERROR, error.message)


def trace_call(name: str, call: Call, target: str) -> AbstractContextManager[None]:
    """Makes a span of a call of the user's, with all its messages and attempts.

    Args:
        name: What is done, such as ``compute``.
        call: The call.
        target: The address of the server.
    """
    tracer = _tracer()
    return _NOTHING if tracer is None else _trace_call(tracer, name, call, target)


def trace_attempt(
    service: str, method: str, call: Call, target: str
) -> AbstractContextManager[AttemptSpan | None]:
    """Makes a span of one attempt, and has the call carry it to the server.

    Args:
        service: The full name of the gRPC service.
        method: The name of its method.
        call: The call, which has counted this attempt.
        target: The address of the server.
    """
    tracer = _tracer()
    return _NOTHING if tracer is None else _trace_attempt(tracer, service, method, call, target)


def _tracer() -> Tracer | None:
    """Returns what makes spans, if this process has set OpenTelemetry up."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):  # it stands for one that isn't set
        return None
    tracer: Tracer = provider.get_tracer("gradwire", client_version().rpartition("/")[2])
    return tracer


@contextmanager
def _trace_call(tracer: Tracer, name: str, call: Call, target: str) -> Iterator[None]:
    attributes = {"gradwire.call_id": call.id, "server.address": target}
    with tracer.start_as_current_span(f"gradwire.{name}", attributes=attributes):
        yield


@contextmanager
def _trace_attempt(
    tracer: Tracer, service: str, method: str, call: Call, target: str
) -> Iterator[AttemptSpan]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    name = f"{service}/{method}"
    attributes: dict[str, str | int] = {
        "rpc.system.name": "grpc",
        "rpc.method": name,
        "server.address": target,
        "gradwire.call_id": call.id,
        "gradwire.attempt": call.attempts - 1,
    }
    with tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
        # Not the process's own propagators: they may write names that gRPC refuses.
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        call.headers = tuple(headers.items())
        yield AttemptSpan(span)
