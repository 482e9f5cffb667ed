from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.errors import InvalidProgramError, LimitExceededError, Reason
from gradwire.v1 import service_pb2 as pb
from gradwire.v1 import tensor_pb2
from gradwire_server.program.wire_items import check_items


def _input(shape: int, data: int) -> pb.Input:
    return pb.Input(tensor=tensor_pb2.Tensor(dtype=1, shape=[1] * shape, data=b"x" * data))


@pytest.mark.parametrize(
    ("message", "items"),
    [
        (pb.ComputeRequest(inputs=[pb.Input()] * 500), 500),
        # Input, tensor, dtype, shape with its elements, data.
        (pb.ComputeRequest(inputs=[_input(300, 1000)] * 2), 2 * (5 + 300)),
        (pb.PrepareRequest(batch_sizes=[1] * 700, program=b"x" * 1000), 702),
        (pb.PrepareRequest(batch_sizes=[2**63] * 70, program=b"x" * 1000), 702),
        (pb.ComputeRequest(inline=pb.PrepareRequest(batch_sizes=[1] * 600)), 602),
    ],
    ids=["empty-messages", "shapes", "list", "long-elements", "nested"],
)
def test_items_are_bounded(message: pb.ComputeRequest | pb.PrepareRequest, items: int) -> None:
    """At the bound a message passes, one over it doesn't."""
    data = message.SerializeToString()
    check_items(data, type(message), "max_request_items", items)
    with pytest.raises(LimitExceededError, match=f"`max_request_items` is {items - 1} on"):
        check_items(data, type(message), "max_request_items", items - 1)


def test_data_is_not_counted() -> None:
    """A large array is one item, and is skipped at once."""
    check_items(
        pb.ComputeRequest(inputs=[_input(2, 10**6)]).SerializeToString(),
        pb.ComputeRequest,
        "max_request_items",
        7,
    )


def test_a_short_message_is_not_looked_at() -> None:
    """It can't hold more items than bytes; the parser says what is wrong with it."""
    check_items(b"\xff" * 100, pb.ComputeRequest, "max_request_items", 100)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 11, b"\x22\x05abc", b"\x22", b"\x08", b"\x23\x24", b"\x0e\x01", b"\x12\xff\xff\xff"],
    ids=["varint", "length", "no-length", "no-value", "group", "wire-type", "cut"],
)
def test_what_does_not_parse_is_refused(data: bytes) -> None:
    """For the reason that the parser would give."""
    with pytest.raises(InvalidProgramError) as caught:
        check_items(b"\x12\x01x" * 4 + data, pb.ComputeRequest, "max_request_items", 5)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST


def test_fields_of_the_future_are_counted_as_one() -> None:
    """Their content is unknown; all wire types are skipped correctly."""
    known = pb.ComputeRequest(plan_id="x").SerializeToString()
    unknown = b"\xf8\x07\x01" + b"\xf9\x07" + b"8" * 8 + b"\xfa\x07\x03abc" + b"\xfd\x07" + b"4" * 4
    check_items(unknown + known, pb.ComputeRequest, "max_request_items", 5)
    with pytest.raises(LimitExceededError):
        check_items(unknown + known, pb.ComputeRequest, "max_request_items", 4)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Any bytes pass, or are refused with an error of ours."""
    for kind in (pb.ComputeRequest, pb.PrepareRequest):
        try:
            check_items(data, kind, "max_request_items", 3)
        except InvalidProgramError:
            continue
