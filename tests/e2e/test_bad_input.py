"""Whatever is sent, the answer is one clear error, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from gradwire.errors import (
    GradwireError,
    InvalidInputError,
    InvalidProgramError,
    LimitExceededError,
    PlanNotFoundError,
    Reason,
)
from gradwire.ir import encode_program
from gradwire.tensors import Array, decode_tensor, encode_tensor
from gradwire.transport.status import failure_of
from gradwire.v1 import service_pb2 as pb
from gradwire.v1 import service_pb2_grpc
from gradwire_server.app import App, build
from gradwire_server.config.settings import Settings
from gradwire_server.program.decode import decode_program
from gradwire_server.program.verify import verify_program
from mutations import mutations
from programs import X, chain, function, node, program, vector
from refusals import BAD_PROGRAMS, BOUNDARIES, GOOD, TIGHT, BadProgram, Boundary
from refusals.form import FUTURE
from refusals.inputs import BAD_INPUTS

STATUS = {
    Reason.ERROR_REASON_MALFORMED_PROGRAM: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ERROR_REASON_INVALID_PROGRAM: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ERROR_REASON_INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ERROR_REASON_INVALID_INPUT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ERROR_REASON_LIMIT_EXCEEDED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ERROR_REASON_UNKNOWN_OP: grpc.StatusCode.UNIMPLEMENTED,
    Reason.ERROR_REASON_UNKNOWN_OPSET: grpc.StatusCode.UNIMPLEMENTED,
    Reason.ERROR_REASON_PLAN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
}
GOOD_BYTES = encode_program(GOOD)
MAPPED_BYTES = encode_program(
    program(
        function([vector(3), vector(), vector(3)], node("add", [0, 2], 3), results=[3]),
        mapped=[True, False, True],
    )
)
Stub = service_pb2_grpc.DerivativeServiceStub


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One server for all these tests, with bounds that small programs reach."""
    folder: Path = tmp_path_factory.mktemp("server")
    settings = Settings(
        listen=f"unix:{folder}/socket",
        metrics="off",
        cache_dir="off",
        grace=1.0,
        compile="in-process",
        max_batch_rows=16,
        max_batch_sizes=2,
        program=TIGHT,
    )
    with build(settings) as server:
        yield server


@pytest.fixture(scope="module")
def channel(app: App) -> Iterator[grpc.Channel]:
    """A channel without bounds of its own."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(app.address, options=options) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> Iterator[Stub]:
    """The service; after each test it must still answer a good call."""
    stub = Stub(channel)
    yield stub
    reply = stub.Compute(compute(GOOD_BYTES, X))
    answer = decode_tensor(reply.outputs[0].tensor, "answer")
    np.testing.assert_allclose(answer, np.sin(X**3 + np.arange(3)), rtol=1e-14)


def prepare(data: bytes, **fields: Any) -> pb.PrepareRequest:
    return pb.PrepareRequest(**{"program": data, "precision": pb.PRECISION_HIGHEST, **fields})


def compute(data: bytes, *inputs: Array) -> pb.ComputeRequest:
    tensors = [pb.Input(tensor=encode_tensor(value)) for value in inputs]
    return pb.ComputeRequest(inline=prepare(data), inputs=tensors)


def refusal(method: Callable[[Any], Any], request: Message | bytes) -> tuple[Any, GradwireError]:
    """Returns the status of a call that must fail, and the client's error for it."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request)
    error = failure_of(caught.value, target="here", call_id="").error
    return caught.value.code(), error  # type: ignore[attr-defined]


def check(
    method: Callable[[Any], Any],
    request: Message | bytes,
    reason: Reason,
    field: str,
    error: type[GradwireError] = InvalidProgramError,
) -> GradwireError:
    """Checks all that identifies a refusal."""
    status, raised = refusal(method, request)
    assert (status, raised.reason, raised.field) == (STATUS[reason], reason, field)
    assert type(raised) is error
    assert raised.call_id or isinstance(request, bytes)
    return raised


@pytest.mark.parametrize("bad", BAD_PROGRAMS, ids=lambda bad: bad.name)
def test_a_bad_program_is_refused(app: App, stub: Stub, bad: BadProgram) -> None:
    """By Prepare and by Compute alike, with its place; nothing is compiled or kept for it."""
    before = (app.plans.num_held, app.plans.counts.compiled)
    for method, request in ((stub.Prepare, prepare(bad.data)), (stub.Compute, compute(bad.data))):
        raised = check(method, request, bad.reason, bad.field, bad.error)
        assert (raised.function, raised.node) == bad.place
    assert (app.plans.num_held, app.plans.counts.compiled) == before


@pytest.mark.parametrize("case", BOUNDARIES, ids=lambda case: case.name)
def test_every_bound_on_programs_holds_exactly(stub: Stub, case: Boundary) -> None:
    """A program at a bound is compiled; one over it is refused for that bound."""
    assert stub.Prepare(prepare(case.at)).plan.id
    raised = check(
        stub.Prepare,
        prepare(case.over),
        Reason.ERROR_REASON_LIMIT_EXCEEDED,
        case.limit,
        LimitExceededError,
    )
    allowed = str(getattr(TIGHT, case.limit))
    assert raised.metadata == {"limit": case.limit, "allowed": allowed, "got": str(case.got)}


def test_the_server_reports_these_bounds(stub: Stub) -> None:
    """GetServerInfo names every bound on programs with the value that holds."""
    reported = {
        limit.name: limit.value for limit in stub.GetServerInfo(pb.GetServerInfoRequest()).limits
    }
    for case in BOUNDARIES:
        assert reported[case.limit] == getattr(TIGHT, case.limit)


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_input_is_refused(stub: Stub, name: str) -> None:
    """An input that isn't what the plan says is refused by name."""
    tensors, field = BAD_INPUTS[name]
    request = compute(GOOD_BYTES)
    for tensor in tensors:
        request.inputs.add().tensor.CopyFrom(tensor)
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_INPUT, field, InvalidInputError)


def test_an_input_that_is_not_set_is_refused(stub: Stub) -> None:
    """An Input without a source is no zero."""
    request = compute(GOOD_BYTES)
    request.inputs.add()
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_REQUEST, "inputs[0].source")


@pytest.mark.parametrize(
    ("shapes", "field"),
    [
        ([(4, 3), (), (5, 3)], "inputs[2]"),
        ([(4, 3), (4,), (4, 3)], "inputs[1]"),
        ([(3,), (), (4, 3)], "inputs[0]"),
        ([(4, 2), (), (4, 3)], "inputs[0]"),
        ([(4, 3), (), (1, 3)], "inputs[2]"),
        ([(4, 3), (), ()], "inputs[2]"),
    ],
    ids=["rows_differ", "batch_of_the_unmapped", "no_batch", "sample", "one_row", "scalar"],
)
def test_mismatched_batches_are_refused(
    stub: Stub, shapes: list[tuple[int, ...]], field: str
) -> None:
    """Mapped inputs have one number of rows, and the others none; nothing is stretched."""
    request = compute(MAPPED_BYTES, *map(np.zeros, shapes))
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_INPUT, field, InvalidInputError)


def test_rows_are_bounded(stub: Stub) -> None:
    """As many rows as allowed run; one more is refused, named to Prepare or sent."""
    reply = stub.Compute(compute(MAPPED_BYTES, np.ones((16, 3)), np.ones(()), np.ones((16, 3))))
    assert reply.outputs[0].tensor.shape == [16, 3]
    for method, request in (
        (stub.Compute, compute(MAPPED_BYTES, np.ones((17, 3)), np.ones(()), np.ones((17, 3)))),
        (stub.Prepare, prepare(MAPPED_BYTES, batch_sizes=[17])),
        (stub.Prepare, prepare(MAPPED_BYTES, batch_sizes=[2**64 - 1])),
    ):
        reason = Reason.ERROR_REASON_LIMIT_EXCEEDED
        check(method, request, reason, "max_batch_rows", LimitExceededError)


def test_batch_sizes_are_bounded(stub: Stub) -> None:
    """As many sizes as allowed are compiled; one more is refused."""
    assert stub.Prepare(prepare(MAPPED_BYTES, batch_sizes=[1, 2])).plan.id
    check(
        stub.Prepare,
        prepare(MAPPED_BYTES, batch_sizes=[1, 2, 4]),
        Reason.ERROR_REASON_LIMIT_EXCEEDED,
        "max_batch_sizes",
        LimitExceededError,
    )


def test_a_batch_is_bounded_like_any_tensor(stub: Stub) -> None:
    """Rows times what one sample makes count against the bound on elements."""
    data = encode_program(program(chain("negative", 1, vector(2**18, dtype="int8")), mapped=[True]))
    assert stub.Prepare(prepare(data, batch_sizes=[8])).plan.id
    raised = check(
        stub.Prepare,
        prepare(data, batch_sizes=[9]),
        Reason.ERROR_REASON_LIMIT_EXCEEDED,
        "max_tensor_elements",
        LimitExceededError,
    )
    assert raised.metadata["got"] == str(2**22)


def _set(**fields: Any) -> Callable[[pb.PrepareRequest], None]:
    return lambda request: request.MergeFrom(pb.PrepareRequest(**fields))


BAD_REQUESTS: dict[str, tuple[Callable[[pb.PrepareRequest], Any], str]] = {
    "no_precision": (lambda r: r.ClearField("precision"), "precision"),
    "unknown_precision": (_set(precision=4), "precision"),
    "negative_wait": (lambda r: setattr(r.max_wait, "seconds", -1), "max_wait"),
    "too_many_nanos": (lambda r: setattr(r.max_wait, "nanos", 10**9), "max_wait"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_preparation_is_refused(stub: Stub, name: str) -> None:
    """What is around a program is checked as well, in Prepare and inline."""
    edit, field = BAD_REQUESTS[name]
    request = prepare(GOOD_BYTES)
    edit(request)
    check(stub.Prepare, request, Reason.ERROR_REASON_INVALID_REQUEST, field)
    inline = pb.ComputeRequest(inline=request)
    check(stub.Compute, inline, Reason.ERROR_REASON_INVALID_REQUEST, f"inline.{field}")


def test_batch_sizes_without_a_batch_are_refused(stub: Stub) -> None:
    """A program without mapped inputs has no batch to name sizes of."""
    request = prepare(GOOD_BYTES, batch_sizes=[1])
    check(stub.Prepare, request, Reason.ERROR_REASON_INVALID_REQUEST, "batch_sizes")


def test_a_call_without_a_plan_is_refused(stub: Stub) -> None:
    """Neither a plan id nor a program: nothing to compute."""
    check(stub.Compute, pb.ComputeRequest(), Reason.ERROR_REASON_INVALID_REQUEST, "plan")


@pytest.mark.parametrize("plan_id", ["", "0" * 32, "x" * 10_000, "../../etc/passwd"])
def test_an_unknown_plan_is_not_found(stub: Stub, plan_id: str) -> None:
    """The answer asks for the program again, whatever the id looks like."""
    request = pb.ComputeRequest(plan_id=plan_id)
    reason = Reason.ERROR_REASON_PLAN_NOT_FOUND
    check(stub.Compute, request, reason, "plan_id", PlanNotFoundError)


def test_a_long_call_id_is_refused(stub: Stub) -> None:
    """The text of callers in the log is bounded."""
    request = compute(GOOD_BYTES, X)
    request.context.call_id = "x" * 128
    stub.Compute(request)
    request.context.call_id += "x"
    reason = Reason.ERROR_REASON_LIMIT_EXCEEDED
    check(stub.Compute, request, reason, "max_call_id_chars", LimitExceededError)


@pytest.mark.parametrize(
    "find",
    [
        lambda r: (r, "127"),
        lambda r: (r.inline, "inline.127"),
        lambda r: (r.inline.max_wait, "inline.max_wait.127"),
        lambda r: (r.inputs[0], "inputs[0].127"),
        lambda r: (r.inputs[0].tensor, "inputs[0].tensor.127"),
    ],
    ids=["request", "inline", "max_wait", "input", "tensor"],
)
def test_a_future_field_is_refused(
    stub: Stub, find: Callable[[pb.ComputeRequest], tuple[Message, str]]
) -> None:
    """A field that this server doesn't know is never silently dropped."""
    request = compute(GOOD_BYTES, X)
    message, field = find(request)
    message.MergeFromString(FUTURE)
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_REQUEST, field)


def test_a_future_source_of_an_input_is_refused(stub: Stub) -> None:
    """A new way to give an input is an unknown field, not an input that isn't set."""
    request = compute(GOOD_BYTES)
    request.inputs.add().MergeFromString(FUTURE)
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_REQUEST, "inputs[0].127")


def test_a_context_from_the_future_is_welcome(stub: Stub) -> None:
    """The caller's context changes no number: there unknown fields are ignored."""
    request = compute(GOOD_BYTES, X)
    request.context.MergeFromString(FUTURE)
    request.inline.context.MergeFromString(FUTURE)
    assert stub.Compute(request).outputs
    info = pb.GetServerInfoRequest()
    info.context.MergeFromString(FUTURE)
    assert stub.GetServerInfo(info).ops
    info.MergeFromString(FUTURE)
    check(stub.GetServerInfo, info, Reason.ERROR_REASON_INVALID_REQUEST, "127")


def test_messages_are_bounded(stub: Stub) -> None:
    """64 MiB are read, and refused for what they hold; one byte more is not read at all."""
    most = 64 * 2**20
    request = compute(GOOD_BYTES)
    request.inputs.add().tensor.data = bytes(most - 1000)
    request.inputs[0].tensor.data += bytes(most - request.ByteSize())
    assert request.ByteSize() == most
    field = "inputs[0].dtype"
    check(stub.Compute, request, Reason.ERROR_REASON_INVALID_INPUT, field, InvalidInputError)
    request.inputs[0].tensor.data += b"\0"
    status, error = refusal(stub.Compute, request)
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert type(error) is LimitExceededError


@pytest.mark.parametrize("name", ["Prepare", "Compute", "GetServerInfo"])
def test_bytes_that_are_no_request_are_refused(
    channel: grpc.Channel, stub: Stub, name: str
) -> None:
    """A request that doesn't parse is an error of the caller, and its status says so."""
    method = channel.unary_unary(f"/gradwire.v1.DerivativeService/{name}")
    check(method, b"\xff\xff\xff", Reason.ERROR_REASON_INVALID_REQUEST, "")


def test_mutated_programs_get_the_verdict_of_the_checker(stub: Stub) -> None:
    """The server refuses broken bytes exactly as the shared checker, and goes on."""
    refused = 0
    for data in mutations(GOOD_BYTES, 300, seed=2):
        try:
            verify_program(decode_program(data, TIGHT), TIGHT)
        except GradwireError as expected:
            check(stub.Prepare, prepare(data), expected.reason, expected.field, type(expected))
            refused += 1
    assert refused > 200
