"""Maps gRPC's statuses to our exceptions."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gradwire.errors import (
    REASONS,
    AuthenticationError,
    DeadlineError,
    GradwireError,
    InternalError,
    InvalidInputError,
    InvalidProgramError,
    LimitExceededError,
    OverloadedError,
    QuarantinedError,
    Reason,
    UnavailableError,
    UnsupportedError,
)
from gradwire.transport.retry import Failure
from gradwire.v1 import error_pb2

_OF_THE_SERVER = (
    AuthenticationError, DeadlineError, InternalError, OverloadedError, QuarantinedError,
    UnavailableError,
)  # fmt: skip
"""Errors that depend on the server: their messages name it."""

# A status without our ErrorDetail was not written by gradwire, but by gRPC
# itself or by something between us and the server.
FOREIGN: dict[grpc.StatusCode, tuple[type[GradwireError], str]] = {
    grpc.StatusCode.OK: (InternalError, "a call failed with the status OK"),
    grpc.StatusCode.CANCELLED: (UnavailableError, "the server has cancelled the call"),
    grpc.StatusCode.UNKNOWN: (InternalError, "an unknown failure"),
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidProgramError, "the request was refused"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (DeadlineError, "no answer in time"),
    grpc.StatusCode.NOT_FOUND: (UnavailableError, "no such service"),
    grpc.StatusCode.ALREADY_EXISTS: (InternalError, "an answer that gradwire never gives"),
    grpc.StatusCode.PERMISSION_DENIED: (AuthenticationError, "access was refused"),
    # gRPC's own bound on the size of a message, or a proxy's on something.
    grpc.StatusCode.RESOURCE_EXHAUSTED: (LimitExceededError, "a message was too large"),
    grpc.StatusCode.FAILED_PRECONDITION: (InternalError, "an answer that gradwire never gives"),
    grpc.StatusCode.ABORTED: (UnavailableError, "the call was aborted"),
    grpc.StatusCode.OUT_OF_RANGE: (InvalidInputError, "the request was refused"),
    grpc.StatusCode.UNIMPLEMENTED: (UnsupportedError, "no such method"),
    grpc.StatusCode.INTERNAL: (InternalError, "a failure of the transport"),
    grpc.StatusCode.UNAVAILABLE: (UnavailableError, "no connection"),
    grpc.StatusCode.DATA_LOSS: (InternalError, "data was lost on the way"),
    grpc.StatusCode.UNAUTHENTICATED: (AuthenticationError, "the caller is not known there"),
}
"""What each status means that gradwire did not write. A test holds it complete."""

_RETRYABLE = {
    grpc.StatusCode.UNAVAILABLE,
    # What gRPC gives to calls in flight when a server ends. Calls that this client
    # cancels, by closing the connection, are handled before.
    grpc.StatusCode.CANCELLED,
}

_OTHER_NAME = (
    "the server's certificate is for another name; where that is right, `server_name` of "
    "gradwire.TLS says which"
)

# gRPC's texts for a failed handshake, and ours. Nothing is decided by them.
_HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate does not come from an authority that "
    "`tls` names, or it has expired",
    "Hostname Verification": _OTHER_NAME,
    "not in peer certificate": _OTHER_NAME,
    "WRONG_VERSION_NUMBER": "the server there does not encrypt; leave `tls` out",
}
_CLOSED_WORDS = ("Socket closed", "reset by peer", "Broken pipe")
_CLOSED_HINTS = {
    True: "the server requires another certificate of the client: `cert` and `key` of gradwire.TLS",
    False: "the server requires `tls`",
}


def failure_of(
    error: grpc.RpcError,
    *,
    target: str,
    call_id: str,
    encrypted: bool = False,
    allowed: str = "",
) -> Failure:
    """Returns how an attempt failed.

    Args:
        error: What gRPC raised. It is the ended call, too.
        target: The server, for messages.
        call_id: Our id of the call.
        encrypted: Whether it was to be encrypted.
        allowed: The call's time and what bounds it, if that is over.
    """
    call: Any = error  # every RpcError of a call is a grpc.Call, which its type does not say
    status = _status_of(call)
    detail = _detail_of(status)
    if status is None or detail is None:
        return _foreign_failure(call, target, call_id, encrypted, allowed)
    rule = REASONS.get(detail.reason)
    if rule is None:  # a newer server has a reason that is not known here
        kind = FOREIGN.get(call.code(), (InternalError, ""))[0]
        retryable = False
    else:
        kind, retryable = rule.exception, rule.retryable
    message = status.message or "no message"
    if issubclass(kind, _OF_THE_SERVER):
        message = f"`{target}`: {message}"
    if kind is DeadlineError and allowed:
        message += f"; it had {allowed}"
    failed = kind(
        message,
        reason=detail.reason,
        field=detail.field,
        function=detail.function if detail.HasField("function") else None,
        node=detail.node if detail.HasField("node") else None,
        metadata={entry.name: entry.value for entry in detail.metadata},
        call_id=detail.call_id or call_id,
    )
    return Failure(
        failed,
        retryable,
        _retry_after(status) if retryable else None,
        refused=isinstance(failed, OverloadedError),
    )


def _foreign_failure(
    call: grpc.Call, target: str, call_id: str, encrypted: bool, allowed: str
) -> Failure:
    code = call.code()
    kind, meaning = FOREIGN.get(code, (InternalError, "an unknown status"))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and allowed:
        meaning = f"no answer within {allowed}"
    text = call.details() or "no more is known"
    name = getattr(code, "name", code)
    error = kind(
        f"`{target}`: {meaning} ({name}): {text}{_hint(text, encrypted)}",
        reason=Reason.ERROR_REASON_UNSPECIFIED,
        call_id=call_id,
    )
    return Failure(
        error,
        retryable=code in _RETRYABLE or _was_cut(code, text),
        # The client cancels no calls. A gradwire server that ends, or is flooded, does.
        refused=code is grpc.StatusCode.CANCELLED,
    )


def _hint(text: str, encrypted: bool) -> str:
    """Returns what is probably wrong where a connection could not be made; may be empty."""
    if "failed to connect" not in text:
        return ""
    hints = [hint for words, hint in _HINTS.items() if words in text]
    if not hints and any(words in text for words in _CLOSED_WORDS):
        hints = [_CLOSED_HINTS[encrypted]]
    return f". Probably {hints[0]}" if hints else ""


def _was_cut(code: grpc.StatusCode, text: str) -> bool:
    """Says whether a balancer has ended a call whose answer had begun: its server was lost.

    gRPC has no status of its own for this, only a text.
    """
    return code is grpc.StatusCode.INTERNAL and "RST_STREAM" in text


def _status_of(call: grpc.Call) -> status_pb2.Status | None:
    """Reads the google.rpc.Status of a call; None if it has none that can be read."""
    try:
        status: status_pb2.Status | None = rpc_status.from_call(call)
        return status
    except (ValueError, DecodeError):  # it contradicts the call's own status, or is garbage
        return None


def _detail_of(status: status_pb2.Status | None) -> error_pb2.ErrorDetail | None:
    detail = error_pb2.ErrorDetail()
    for entry in status.details if status is not None else ():
        try:
            if entry.Unpack(detail) and detail.reason:
                return detail
        except DecodeError:
            continue
    return None


def _retry_after(status: status_pb2.Status) -> float | None:
    info = error_details_pb2.RetryInfo()
    for entry in status.details:
        try:
            if entry.Unpack(info):
                return max(info.retry_delay.ToTimedelta().total_seconds(), 0.0)
        except (DecodeError, OverflowError):
            continue
    return None
