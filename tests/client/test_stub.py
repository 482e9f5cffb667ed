"""Programs against a scripted server: plans, sizes, deadlines."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from gradwire.errors import DeadlineError, InternalError, LimitExceededError, Reason
from gradwire.tensors import encode_tensor
from gradwire.transport import stub
from gradwire.transport.connection import Connection, connect
from gradwire.transport.message_bound import DEFAULT_MESSAGE_BYTES
from gradwire.v1 import service_pb2
from scripted_server import ScriptedServer, after, bare, detailed, info, plan_id

PROGRAM = b"a program, as far as the client knows"
X = np.arange(3.0)
FORGOTTEN = detailed(Reason.ERROR_REASON_PLAN_NOT_FOUND)
COMPILING = service_pb2.PrepareResponse(poll_after=Duration(nanos=50_000_000))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def connection(server: ScriptedServer) -> Iterator[Connection]:
    with connect(server.target) as connection:
        server.asked.clear()
        yield connection


def _report(server: ScriptedServer, connection: Connection, size: int) -> None:
    """Has the connection learn a bound on its messages."""
    response = info()
    response.limits.add(name="max_message_bytes", value=size)
    server.then("GetServerInfo", response)
    connection.info()
    server.asked.clear()


def test_a_program_is_prepared_once(server: ScriptedServer, connection: Connection) -> None:
    """Later runs go by the plan's id, and every call has an id of its own."""
    replies = [connection.compute(PROGRAM, [X * k]) for k in range(3)]
    assert [asked.method for asked in server.asked] == ["Prepare", *["Compute"] * 3]
    assert {request.plan_id for request in server.requests("Compute")} == {plan_id(PROGRAM)}
    assert len({reply.call_id for reply in replies}) == 3
    for k, (reply, request) in enumerate(zip(replies, server.requests("Compute"), strict=True)):
        np.testing.assert_array_equal(reply.outputs[0], X * k)
        assert reply.call_id == request.context.call_id
        assert request.context.client_version.startswith("gradwire-python/")
        assert (reply.plan_id, reply.replica_id) == (plan_id(PROGRAM), "scripted")


def test_outputs_belong_to_the_caller(connection: Connection) -> None:
    """They can be written to, empty and scalar ones included."""
    inputs = [X, np.array(2.0), np.zeros((0, 3)), np.array([True, False])]
    outputs = connection.compute(PROGRAM, inputs).outputs
    for output, given in zip(outputs, inputs, strict=True):
        assert output.flags.writeable
        assert output.flags.owndata
        assert (output.dtype, output.shape) == (given.dtype, given.shape)


def test_the_request_says_what_is_to_be_compiled(server: ScriptedServer) -> None:
    """Program, precision and batch sizes, and that long compiling may be asked after."""
    with connect(server.target, precision="fast") as connection:
        connection.prepare(PROGRAM, batch_sizes=[1, 64])
    (request,) = server.requests("Prepare")
    assert request.program == PROGRAM
    assert request.precision == service_pb2.PRECISION_FAST
    assert list(request.batch_sizes) == [1, 64]
    assert request.max_wait.seconds > 0


def test_the_route_is_the_programs_hash(server: ScriptedServer) -> None:
    """With the precision, so that each compiled program stays where it is."""
    with connect(server.target, precision="high") as connection:
        connection.compute(PROGRAM, [X])
    routes = {a.metadata["gradwire-route"] for a in server.asked if a.method != "GetServerInfo"}
    assert routes == {hashlib.sha256(PROGRAM + b"high").hexdigest()}


def test_the_callers_affinity_is_the_route(server: ScriptedServer) -> None:
    """Every call of the connection carries it."""
    with connect(server.target, affinity="user 7") as connection:
        connection.compute(PROGRAM, [X])
    assert {asked.metadata["gradwire-route"] for asked in server.asked} == {"user 7"}


def test_compiling_is_waited_for(server: ScriptedServer, connection: Connection) -> None:
    """The same request goes out again after the time that the server said."""
    server.then("Prepare", COMPILING, COMPILING)
    assert connection.prepare(PROGRAM).id == plan_id(PROGRAM)
    asked = server.asked
    assert len(asked) == 3
    assert all(b.at - a.at >= 0.05 for a, b in itertools.pairwise(asked))
    assert {one.request.program for one in asked} == {PROGRAM}


def test_compiling_may_take_too_long(server: ScriptedServer, connection: Connection) -> None:
    """The deadline holds for all of it."""
    server.always("Prepare", COMPILING)
    start = time.monotonic()
    with pytest.raises(DeadlineError, match=r"still being compiled after 0.3 s, the `timeout`"):
        connection.compute(PROGRAM, [X], timeout=0.3)
    assert time.monotonic() - start < 10


def test_compiling_does_not_use_up_the_time_of_the_run(server: ScriptedServer) -> None:
    """Unless the caller bounds both: then what is left is left."""
    compiling = [COMPILING] * 6
    with connect(server.target, timeout=0.2) as connection:
        server.then("Prepare", *compiling)
        connection.compute(PROGRAM, [X])
        assert server.asked[1].seconds == pytest.approx(600, abs=2)
        assert server.asked[-1].seconds == pytest.approx(0.2, abs=0.05)
        server.then("Prepare", *compiling)
        connection.compute(b"another", [X], timeout=2.0)
        assert server.asked[-1].seconds == pytest.approx(1.7, abs=0.1)


def test_a_forgotten_plan_is_sent_again(server: ScriptedServer, connection: Connection) -> None:
    """Within the same call, and its new id is used from then on: nobody notices."""
    connection.compute(PROGRAM, [X])
    server.asked.clear()
    server.then("Compute", FORGOTTEN)
    moved = service_pb2.ComputeResponse(plan_id="moved")
    server.then("Compute", moved, moved)
    connection.compute(PROGRAM, [X])
    connection.compute(PROGRAM, [X])
    first, second, third = server.requests("Compute")
    assert len(server.asked) == 3
    assert second.inline.program == PROGRAM
    assert second.inline.precision == service_pb2.PRECISION_HIGHEST
    assert second.inputs == first.inputs
    assert second.context.call_id == first.context.call_id
    assert second.context.attempt == 1
    assert third.plan_id == "moved"


def test_a_program_too_large_to_send_along_is_prepared_again(
    server: ScriptedServer, connection: Connection
) -> None:
    """Program and inputs may each fit a message, and not both."""
    _report(server, connection, 6000)
    program, inputs = bytes(4000), [np.zeros(500)]
    connection.compute(program, inputs)
    server.then("Compute", FORGOTTEN)
    connection.compute(program, inputs)
    methods = [asked.method for asked in server.asked]
    assert methods == ["Prepare", "Compute", "Compute", "Prepare", "Compute"]
    # Behind a balancer the two may meet different servers.
    server.asked.clear()
    server.then("Compute", FORGOTTEN, FORGOTTEN, FORGOTTEN)
    connection.compute(program, inputs)
    assert [asked.method for asked in server.asked] == [*["Compute", "Prepare"] * 3, "Compute"]
    server.asked.clear()
    server.always("Compute", FORGOTTEN)
    with pytest.raises(InternalError, match="forgotten"):
        connection.compute(program, inputs)
    assert len(server.requests("Prepare")) == stub._MAX_MOVES


def test_a_server_that_forgets_everything_is_at_fault(
    server: ScriptedServer, connection: Connection
) -> None:
    """The client does not go round in circles, and its own error does not get out."""
    server.always("Compute", FORGOTTEN)
    with pytest.raises(InternalError, match="forgotten"):
        connection.compute(PROGRAM, [X])
    assert len(server.requests("Compute")) == 2


def test_a_request_over_the_limit_is_not_sent(
    server: ScriptedServer, connection: Connection
) -> None:
    """The error names the limit and what there was, for the input and for the whole message."""
    limit = DEFAULT_MESSAGE_BYTES
    connection.prepare(PROGRAM)
    server.asked.clear()
    for size in (limit + 1, limit):
        with pytest.raises(LimitExceededError, match=f"at most {limit} bytes") as caught:
            connection.compute(PROGRAM, [np.zeros(size, np.uint8)])
        assert caught.value.metadata["limit"] == "max_message_bytes"
        assert caught.value.metadata["allowed"] == str(limit)
        assert int(caught.value.metadata["got"]) > limit
    with pytest.raises(LimitExceededError):
        connection.prepare(bytes(limit + 1))
    assert server.asked == []


def test_a_request_at_the_limit_arrives(server: ScriptedServer, connection: Connection) -> None:
    """Both ends have the same limit."""
    size = DEFAULT_MESSAGE_BYTES - 200
    reply = connection.compute(PROGRAM, [np.ones(size, np.uint8)])
    assert reply.outputs[0].size == size
    assert server.requests("Compute")[0].ByteSize() > size


def test_a_request_over_the_limit_that_is_sent_is_refused(
    server: ScriptedServer, connection: Connection
) -> None:
    """The status for it, gRPC's own, has no detail of ours; a server that is replaced gives it."""
    _report(server, connection, 2 * DEFAULT_MESSAGE_BYTES)
    with pytest.raises(LimitExceededError, match="too large"):
        connection.compute(PROGRAM, [np.zeros(DEFAULT_MESSAGE_BYTES, np.uint8)])
    assert server.requests("Compute") == []


def test_an_answer_over_the_default_limit_arrives(
    server: ScriptedServer, connection: Connection
) -> None:
    """Answers are bounded by the server alone."""
    size = DEFAULT_MESSAGE_BYTES + 1
    big = service_pb2.Output(tensor=encode_tensor(np.ones(size, np.uint8)))
    server.then("Compute", service_pb2.ComputeResponse(outputs=[big], plan_id="x"))
    assert connection.compute(PROGRAM, [X]).outputs[0].size == size


def test_an_answer_that_contradicts_itself_is_the_servers_fault(
    server: ScriptedServer, connection: Connection
) -> None:
    """Never the caller's, whose inputs were right."""
    bad = service_pb2.ComputeResponse(outputs=[service_pb2.Output()])
    server.then("Compute", bad)
    with pytest.raises(InternalError, match="outputs"):
        connection.compute(PROGRAM, [X])


def test_a_deadline_is_the_servers_too(server: ScriptedServer, connection: Connection) -> None:
    """It travels with the call, and the caller waits no longer than that."""
    server.always("Compute", after(30))
    connection.prepare(PROGRAM)
    start = time.monotonic()
    told = (
        f"`{server.target}`: no answer within 0.3 s, the `timeout` of this call, which gw.connect"
    )
    with pytest.raises(DeadlineError, match=told) as caught:
        connection.compute(PROGRAM, [X], timeout=0.3)
    assert time.monotonic() - start < 15
    assert isinstance(caught.value, TimeoutError)
    assert server.asked[-1].seconds == pytest.approx(0.3, abs=0.1)


def test_only_the_callers_own_time_is_blamed(
    server: ScriptedServer, connection: Connection
) -> None:
    """A server's words on its end get it too; a proxy that gave up before does not."""
    connection.prepare(PROGRAM)

    def late(request: Any, context: grpc.ServicerContext) -> Any:
        time.sleep(max(context.time_remaining() - 0.03, 0))
        return detailed(Reason.ERROR_REASON_DEADLINE_EXCEEDED, text="over")(request, context)

    server.then("Compute", late, bare(grpc.StatusCode.DEADLINE_EXCEEDED, "a proxy's words"))
    with pytest.raises(DeadlineError, match=r"over; it had 0.3 s, the `timeout` of this call"):
        connection.compute(PROGRAM, [X], timeout=0.3)
    with pytest.raises(DeadlineError, match=r"no answer in time .*a proxy's words") as caught:
        connection.compute(PROGRAM, [X])
    assert "timeout" not in caught.value.message


def test_what_passes_is_tried_again(server: ScriptedServer, connection: Connection) -> None:
    """Overload, draining, and a connection lost: every call is pure."""
    server.then(
        "Compute",
        detailed(Reason.ERROR_REASON_OVERLOADED),
        detailed(Reason.ERROR_REASON_STILL_COMPILING),
        detailed(Reason.ERROR_REASON_DRAINING),
        bare(grpc.StatusCode.UNAVAILABLE),
    )
    connection.compute(PROGRAM, [X])
    contexts = [request.context for request in server.requests("Compute")]
    assert [context.attempt for context in contexts] == [0, 1, 2, 3, 4]
    assert len({context.call_id for context in contexts}) == 1
