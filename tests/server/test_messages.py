"""Requests are read strictly, and a call keeps its id."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App
from programs import SIN, X
from serving import (
    Stub,
    detail_of,
    inline,
    prepare_request,
    refused,
)

FUTURE = b"\xf8\x07\x01"
"""Field 127, which no message has."""


GOOD = inline(SIN, X)


def _edit(edit: Callable[[pb.ComputeRequest], object]) -> pb.ComputeRequest:
    request = pb.ComputeRequest()
    request.CopyFrom(GOOD)
    edit(request)
    return request


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (_edit(lambda r: r.MergeFromString(FUTURE)), "127"),
        (_edit(lambda r: r.inline.MergeFromString(FUTURE)), "inline.127"),
        (_edit(lambda r: r.inline.max_wait.MergeFromString(FUTURE)), "inline.max_wait.127"),
        (_edit(lambda r: r.inputs[0].MergeFromString(FUTURE)), "inputs[0].127"),
        (_edit(lambda r: r.inputs[0].tensor.MergeFromString(FUTURE)), "inputs[0].tensor.127"),
        (_edit(lambda r: r.ClearField("inline")), "plan"),
        (_edit(lambda r: r.inputs[0].ClearField("tensor")), "inputs[0].source"),
        (_edit(lambda r: r.inline.ClearField("precision")), "inline.precision"),
        (_edit(lambda r: setattr(r.inline, "precision", 77)), "inline.precision"),
        (_edit(lambda r: setattr(r.inline.max_wait, "seconds", -1)), "inline.max_wait"),
        (_edit(lambda r: setattr(r.inline.max_wait, "nanos", -1)), "inline.max_wait"),
        (_edit(lambda r: setattr(r.inline.max_wait, "nanos", 10**9)), "inline.max_wait"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_request_is_understood_in_full_or_refused(
    stub: Stub, request_: pb.ComputeRequest, field: str
) -> None:
    """At every level; the error names the field."""
    with refused("INVALID_REQUEST", "INVALID_ARGUMENT") as caught:
        stub.Compute(request_)
    assert detail_of(caught.value).field == field
    assert f"`{field}`" in caught.value.details()


def test_other_requests_are_read_as_strictly(stub: Stub) -> None:
    """Prepare and GetServerInfo."""
    future = prepare_request(SIN)
    future.MergeFromString(FUTURE)
    with refused("INVALID_REQUEST"):
        stub.Prepare(future)
    with refused("INVALID_REQUEST") as caught:
        stub.Prepare(prepare_request(SIN, precision=pb.PRECISION_UNSPECIFIED))
    assert detail_of(caught.value).field == "precision"
    info = pb.GetServerInfoRequest()
    info.MergeFromString(FUTURE)
    with refused("INVALID_REQUEST"):
        stub.GetServerInfo(info)


def test_the_context_may_hold_what_it_likes(stub: Stub) -> None:
    """It changes no result."""
    request = _edit(lambda r: r.context.MergeFromString(FUTURE))
    request.inline.context.MergeFromString(FUTURE)
    stub.Compute(request)
    info = pb.GetServerInfoRequest()
    info.context.MergeFromString(FUTURE)
    stub.GetServerInfo(info)


@pytest.mark.parametrize("method", ["Prepare", "Compute", "GetServerInfo"])
def test_bytes_that_are_no_request_are_refused(app: App, method: str) -> None:
    """With an error of ours, and the process lives."""
    with grpc.insecure_channel(app.address) as channel:
        call = channel.unary_unary(f"/gradwire.v1.DerivativeService/{method}")
        for data in (b"\x0a\xff", b"\x0a\x02\x0a\x05", b"\xff" * 100):
            with refused("INVALID_REQUEST", "INVALID_ARGUMENT"):
                call(data)


def test_a_call_id_comes_back(stub: Stub) -> None:
    """In the detail of an error; one is made if need be. At its bound it is taken, over it not."""
    for length, reason in ((128, "PLAN_NOT_FOUND"), (129, "LIMIT_EXCEEDED")):
        request = pb.ComputeRequest(plan_id="none")
        request.context.call_id = "é" * length
        with refused(reason) as caught:
            stub.Compute(request)
        assert "é" * 90 in detail_of(caught.value).call_id
    with refused("PLAN_NOT_FOUND") as caught:
        stub.Compute(pb.ComputeRequest(plan_id="none"))
    assert len(detail_of(caught.value).call_id) == 32
