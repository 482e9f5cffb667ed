from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from gradwire import errors
from gradwire.errors import (
    REASONS,
    GradwireError,
    InvalidProgramError,
    OverloadedError,
    Reason,
    TraceError,
)
from gradwire.v1 import error_pb2
from gradwire_server.rpc.status import MAX_STATUS_BYTES, RETRY_SECONDS, describe, to_grpc

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, GradwireError)
]


@pytest.mark.parametrize("reason", REASONS, ids=Reason.Name)
def test_every_reason_has_its_status(reason: Reason) -> None:
    """From a reason to the status that the table says, and back from its detail."""
    error = GradwireError("`x` must be y; got z", reason=reason, field="x", function=0, node=3)
    status, detail = describe(error, "call")
    assert code_pb2.Code.Name(status.code) == REASONS[reason].status
    assert to_grpc(status).code == grpc.StatusCode[REASONS[reason].status]
    read = error_pb2.ErrorDetail()
    assert status.details[0].Unpack(read)
    assert read == detail
    assert (read.reason, read.retryable, read.call_id) == (
        reason,
        REASONS[reason].retryable,
        "call",
    )
    assert (len(status.details) == 2) == REASONS[reason].retryable
    if reason != Reason.ERROR_REASON_INTERNAL:
        assert status.message == error.message
        assert (read.field, read.function, read.node) == ("x", 0, 3)


def test_the_table_is_whole() -> None:
    """Each reason of the contract has a status, and each retryable one a time to wait."""
    sent = set(Reason.values()) - {Reason.ERROR_REASON_UNSPECIFIED}
    assert set(REASONS) == sent
    assert set(RETRY_SECONDS) == {reason for reason, rule in REASONS.items() if rule.retryable}


@pytest.mark.parametrize("reason", RETRY_SECONDS, ids=Reason.Name)
def test_retryable_errors_say_when(reason: Reason) -> None:
    """In google.rpc.RetryInfo, as the table has it."""
    status, _ = describe(OverloadedError("full", reason=reason), "call")
    info = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(info)
    assert info.retry_delay.ToNanoseconds() == RETRY_SECONDS[reason] * 1e9


@pytest.mark.parametrize(
    ("expected", "least", "most"), [(0.01, 0.1, 0.1), (2.0, 2.0, 3.0), (1e9, 10.0, 10.0)]
)
def test_a_long_queue_puts_retries_off(expected: float, least: float, most: float) -> None:
    """By as much as is expected and up to half more, so that not all retry at once; to a bound."""
    delays = set()
    for _ in range(20):
        status, _ = describe(OverloadedError("full", retry_after=expected), "call")
        info = error_details_pb2.RetryInfo()
        assert status.details[1].Unpack(info)
        delays.add(info.retry_delay.ToNanoseconds() / 1e9)
    assert least <= min(delays) <= max(delays) <= most
    assert (len(delays) > 1) == (least < most)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_has_a_status(kind: type[GradwireError]) -> None:
    """That of its own reason; those which only clients raise are a fault of the server."""
    status, detail = describe(kind("text"), "call")
    reason = kind.default_reason
    if reason not in REASONS:
        reason = Reason.ERROR_REASON_INTERNAL
    assert detail.reason == reason
    assert code_pb2.Code.Name(status.code) == REASONS[reason].status


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        AssertionError("secret"),
        GradwireError("secret", field="secret", function=3, metadata={"secret": "secret"}),
        TraceError("secret"),
        UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_faults_of_the_server_stay_in_its_log(error: Exception) -> None:
    """A caller gets the call's id, and nothing of the cause."""
    status, detail = describe(error, "call")
    assert status.code == code_pb2.INTERNAL
    assert detail.reason == Reason.ERROR_REASON_INTERNAL
    assert detail.call_id == "call"
    assert b"secret" not in status.SerializeToString()
    assert not detail.HasField("function")


@pytest.mark.parametrize("letter", ["x", "é", "漢", "\U0001f600", "\ud800", "\n"], ids=ascii)
def test_a_status_is_always_short(letter: str) -> None:
    """Above some kilobytes gRPC would send another error; texts are cut for it."""
    long = letter * 100_000
    error = InvalidProgramError(
        long, field=long, function=2**32 - 1, node=2**32 - 1,
        metadata={f"{long}{number}": long for number in range(100)},
    )  # fmt: skip
    status, detail = describe(error, long)
    assert status.ByteSize() < MAX_STATUS_BYTES
    assert status.message.endswith("...")
    assert 0 < len(detail.metadata) <= 8


def test_short_texts_are_not_cut() -> None:
    """Up to their bound, to the byte."""
    for length, whole in ((1000, True), (1001, False)):
        status, _ = describe(InvalidProgramError("x" * length), "call")
        assert (status.message == "x" * length) == whole
        assert len(status.message) == 1000
