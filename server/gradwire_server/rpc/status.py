"""The one table between our errors and gRPC's: reasons to google.rpc.Status."""

from __future__ import annotations

import random
from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gradwire.errors import REASONS, GradwireError, OverloadedError, Reason
from gradwire.v1 import error_pb2

MAX_STATUS_BYTES = 4096
"""Statuses travel in headers: above some kilobytes gRPC replaces them by another error."""

RETRY_SECONDS = {
    Reason.ERROR_REASON_OVERLOADED: 0.1,
    Reason.ERROR_REASON_STILL_COMPILING: 1.0,
    Reason.ERROR_REASON_DRAINING: 0.1,
}
"""When to try again, for each reason that is retryable, unless the error says later."""

MAX_RETRY_SECONDS = 10.0
"""The longest delay that a caller is asked for."""

_MAX_MESSAGE = 1000
_MAX_FIELD = 200
_MAX_METADATA = 8
_MAX_VALUE = 100


def describe(error: Exception, call_id: str) -> tuple[status_pb2.Status, error_pb2.ErrorDetail]:
    """Returns the status of a failed call, and the detail that it holds.

    Every error that isn't meant for callers becomes INTERNAL with a generic
    text; the function that calls this logs the rest.
    """
    reason = public_reason(error)
    rule = REASONS[reason]
    detail = error_pb2.ErrorDetail(
        reason=reason, retryable=rule.retryable, call_id=_shorten(call_id, _MAX_FIELD)
    )
    text = f"the server is at fault; the cause is in its log, under call {detail.call_id}"
    if reason != Reason.ERROR_REASON_INTERNAL:
        assert isinstance(error, GradwireError)
        text = error.message
        detail.field = _shorten(error.field, _MAX_FIELD)
        if error.function is not None:
            detail.function = error.function
        if error.node is not None:
            detail.node = error.node
        for name, value in list(error.metadata.items())[:_MAX_METADATA]:
            detail.metadata.add(name=_shorten(name, _MAX_VALUE), value=_shorten(value, _MAX_VALUE))
    details: list[Message] = [detail]
    if rule.retryable:
        delay = Duration()
        delay.FromNanoseconds(int(_retry_seconds(error, reason) * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    code = grpc.StatusCode[rule.status].value[0]
    status = status_pb2.Status(
        code=code, message=_shorten(text, _MAX_MESSAGE), details=_pack(details)
    )
    return status, detail


def to_grpc(status: status_pb2.Status) -> grpc.Status:
    """Returns the status in the form that a handler aborts with."""
    return rpc_status.to_status(status)


def public_reason(error: Exception) -> Reason:
    """Returns the reason that a caller is told."""
    if isinstance(error, GradwireError) and error.reason in REASONS:
        return error.reason
    return Reason.ERROR_REASON_INTERNAL


def _retry_seconds(error: Exception, reason: Reason) -> float:
    """Returns when to retry: later for a longer queue, with jitter."""
    usual = RETRY_SECONDS[reason]
    expected = error.retry_after if isinstance(error, OverloadedError) else None
    if expected is None or expected <= usual:
        return usual
    return min(expected * random.uniform(1.0, 1.5), MAX_RETRY_SECONDS)


def _pack(details: Sequence[Message]) -> list[AnyMessage]:
    packed = []
    for detail in details:
        message = AnyMessage()
        message.Pack(detail)
        packed.append(message)
    return packed


def _shorten(text: str, most: int) -> str:
    """Cuts a text to a number of bytes in UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - 3].decode("utf-8", "ignore") + "..."
