"""From what goes over the wire to what is raised."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from gradwire.errors import (
    REASONS,
    DeadlineError,
    GradwireError,
    InternalError,
    InvalidProgramError,
    LimitExceededError,
    OverloadedError,
    Reason,
    UnavailableError,
)
from gradwire.transport.connection import Connection, connect
from gradwire.transport.status import FOREIGN
from gradwire.v1 import service_pb2
from scripted_server import ScriptedServer, bare, detailed

PROGRAM = b"program"
SENT = [reason for reason in REASONS if reason != Reason.ERROR_REASON_PLAN_NOT_FOUND]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def connection(server: ScriptedServer) -> Iterator[Connection]:
    with connect(server.target) as connection:
        server.asked.clear()
        yield connection


def failure(server: ScriptedServer, connection: Connection, answer: Any) -> GradwireError:
    server.always("Prepare", answer)
    for timeout in (0.4, 0.8, 1.6, 3.2):
        server.asked.clear()
        with pytest.raises(GradwireError) as caught:
            connection.prepare(PROGRAM, timeout=timeout)
        # The last attempt may have been left no time for its answer, or the only one on a
        # busy machine.
        if not isinstance(caught.value, DeadlineError):
            break
    return caught.value


def test_every_status_code_has_a_meaning() -> None:
    """No status leads to anything but one of our exceptions."""
    assert set(FOREIGN) == set(grpc.StatusCode)


def test_every_reason_has_a_rule() -> None:
    """What the contract lists, and nothing else, can be sent."""
    assert set(REASONS) == set(Reason.values()) - {Reason.ERROR_REASON_UNSPECIFIED}


@pytest.mark.parametrize("reason", SENT, ids=Reason.Name)
def test_a_reason_becomes_its_exception(
    server: ScriptedServer, connection: Connection, reason: int
) -> None:
    """It arrives with everything the server said; only some reasons are tried again."""
    answer = detailed(
        reason,
        text="`x` must be y; got z",
        field="program.functions[0]",
        function=0,
        node=3,
        metadata=[{"name": "limit", "value": "max_nodes"}],
        call_id="theirs",
    )
    error = failure(server, connection, answer)
    assert type(error) is REASONS[reason].exception
    assert error.reason == reason
    assert "`x` must be y; got z" in error.message
    assert (error.field, error.function, error.node) == ("program.functions[0]", 0, 3)
    assert error.metadata == {"limit": "max_nodes"}
    assert error.call_id == "theirs"
    assert (len(server.asked) > 1) == REASONS[reason].retryable


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_status_that_is_not_ours_goes_by_its_code(
    server: ScriptedServer, connection: Connection, code: grpc.StatusCode
) -> None:
    """The error names server, status and call; only what a server may mend is tried again."""
    error = failure(server, connection, bare(code, "a proxy's words"))
    assert type(error) is FOREIGN[code][0]
    assert server.target in error.message
    assert code.name in error.message
    assert "a proxy's words" in error.message
    assert error.call_id in {asked.request.context.call_id for asked in server.asked}
    mendable = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert (len(server.asked) > 1) == (code in mendable)


def test_a_call_that_others_cancelled_is_made_again(
    server: ScriptedServer, connection: Connection
) -> None:
    """As gRPC cancels those that meet a server's end."""
    server.then("Compute", bare(grpc.StatusCode.CANCELLED), bare(grpc.StatusCode.CANCELLED))
    server.always("Prepare", service_pb2.PrepareResponse(plan=service_pb2.Plan(id="p")))
    assert connection.compute(PROGRAM, []).plan_id == "p"
    assert len(server.requests("Compute")) == 3


def test_function_and_node_may_be_unknown(server: ScriptedServer, connection: Connection) -> None:
    """Zero and absent are two things."""
    error = failure(server, connection, detailed(Reason.ERROR_REASON_INVALID_PROGRAM))
    assert (error.function, error.node) == (None, None)


def test_a_reason_of_the_future_goes_by_its_code(
    server: ScriptedServer, connection: Connection
) -> None:
    """It is never tried again: nobody knows what that would mean."""
    answer = detailed(999, code=grpc.StatusCode.RESOURCE_EXHAUSTED, retryable=True)
    error = failure(server, connection, answer)
    assert type(error) is LimitExceededError
    assert error.reason == 999
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff garbage",
        b"",
        status_pb2.Status(code=5, message="another status").SerializeToString(),
        status_pb2.Status(code=3, message="another text").SerializeToString(),
        status_pb2.Status(code=3, message="no detail").SerializeToString(),
    ],
)
def test_details_that_cannot_be_read_do_no_harm(
    server: ScriptedServer, connection: Connection, details: bytes
) -> None:
    """The status itself still counts."""

    def answer(request: Any, context: grpc.ServicerContext) -> service_pb2.PrepareResponse:
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no detail")
        raise AssertionError

    assert type(failure(server, connection, answer)) is InvalidProgramError


def test_overload_names_the_server_and_the_attempts(
    server: ScriptedServer, connection: Connection
) -> None:
    """It says which server failed, and that the call was repeated."""
    error = failure(server, connection, detailed(Reason.ERROR_REASON_OVERLOADED, text="full"))
    assert type(error) is OverloadedError
    assert f"`{server.target}`: full" in str(error)
    assert any("attempts" in note for note in error.__notes__)


def test_the_servers_wish_to_wait_is_honoured(
    server: ScriptedServer, connection: Connection
) -> None:
    """No attempt comes before the time that the server asked for."""
    server.then("Prepare", detailed(Reason.ERROR_REASON_OVERLOADED, retry_after=0.3))
    server.always("Prepare", service_pb2.PrepareResponse(plan=service_pb2.Plan(id="p")))
    assert connection.prepare(PROGRAM, timeout=10).id == "p"
    first, second = server.asked
    assert second.at - first.at >= 0.3
    assert (first.request.context.attempt, second.request.context.attempt) == (0, 1)
    assert first.request.context.call_id == second.request.context.call_id


def test_no_waiting_past_the_deadline(server: ScriptedServer, connection: Connection) -> None:
    """A wish that can't be met ends the call at once."""
    server.always("Prepare", detailed(Reason.ERROR_REASON_DRAINING, retry_after=60))
    start = time.monotonic()
    with pytest.raises(UnavailableError):
        connection.prepare(PROGRAM, timeout=30)
    assert time.monotonic() - start < 15
    assert len(server.asked) == 1


def test_an_answer_that_is_no_message_is_the_servers_fault(tmp_path: Any) -> None:
    """Whatever listens there, only our exceptions are raised."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\xff\xff")

    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(InternalError, match="GetServerInfoResponse"):
            connect(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()


def test_closed_connections_say_so(server: ScriptedServer) -> None:
    """Not that the server were gone."""
    connection = connect(server.target)
    connection.close()
    with pytest.raises(UnavailableError, match="this connection is closed"):
        connection.prepare(PROGRAM)
