from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.errors import LimitExceededError
from gradwire.transport.connection import connect
from gradwire.transport.message_bound import DEFAULT_MESSAGE_BYTES, MessageBound
from gradwire.v1 import service_pb2
from scripted_server import ScriptedServer, info

PROGRAM = b"a program, as far as the client knows"


def _reporting(value: float) -> service_pb2.GetServerInfoResponse:
    response = info()
    response.limits.add(name="max_request_items", value=7)
    response.limits.add(name="max_message_bytes", value=value)
    return response


@pytest.mark.parametrize(
    ("reported", "allowed"),
    [
        (1, 1),
        (1000.0, 1000),
        (DEFAULT_MESSAGE_BYTES + 1, DEFAULT_MESSAGE_BYTES + 1),
        (2**31 - 1, 2**31 - 1),
        (2**40, 2**31 - 1),
        (math.inf, 2**31 - 1),
        (0, DEFAULT_MESSAGE_BYTES),
        (-5, DEFAULT_MESSAGE_BYTES),
        (math.nan, DEFAULT_MESSAGE_BYTES),
    ],
)
def test_the_reported_bound_holds(reported: float, allowed: int) -> None:
    """As far as protobuf can write a message; what makes no sense is not taken."""
    bound = MessageBound()
    bound.learn(_reporting(reported))
    bound.check(allowed)
    assert bound.allows(allowed)
    assert not bound.allows(allowed + 1)
    with pytest.raises(LimitExceededError, match=f"at most {allowed} bytes .* got {allowed + 1}"):
        bound.check(allowed + 1)


def test_without_a_report_the_default_holds() -> None:
    """Before the first report, and after one that names no bound."""
    bound = MessageBound()
    assert bound.allows(DEFAULT_MESSAGE_BYTES)
    assert not bound.allows(DEFAULT_MESSAGE_BYTES + 1)
    bound.learn(_reporting(10))
    bound.learn(info())
    assert bound.allows(DEFAULT_MESSAGE_BYTES)


def test_a_connection_asks_again_when_it_is_told_to() -> None:
    """The last report counts, of a server that has been started anew."""
    with ScriptedServer() as server:
        server.then("GetServerInfo", _reporting(1000))
        with connect(server.target) as connection:
            with pytest.raises(LimitExceededError, match="at most 1000 bytes"):
                connection.compute(PROGRAM, [np.zeros(200)])
            assert server.requests("Compute") == []
            server.then("GetServerInfo", _reporting(3000))
            connection.info()
            connection.compute(PROGRAM, [np.zeros(200)])
