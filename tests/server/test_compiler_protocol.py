from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from gradwire.errors import (
    REASONS,
    GradwireError,
    InvalidProgramError,
    LimitExceededError,
    Reason,
    TraceError,
)
from gradwire_server.compiler.protocol import (
    COMPILE,
    DONE,
    READY,
    CompileRequest,
    RemoteFailure,
    read_error,
    read_request,
    receive_frame,
    send_frame,
    write_error,
    write_request,
)
from gradwire_server.planner.choices import Choice

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ends = socket.socketpair()
    for end in ends:
        end.settimeout(30)
    yield ends
    for end in ends:
        end.close()


def test_frames_come_as_they_were_sent(pair: Pair) -> None:
    """In their order, with and without a payload, and of more than a socket holds."""
    large = os.urandom(5 * 2**20)
    frames = [(READY, 0, b""), (COMPILE, 2**64 - 1, b"x"), (DONE, 3, large), (READY, 4, b"")]

    def send() -> None:
        for frame in frames:
            send_frame(pair[0], *frame)

    sender = threading.Thread(target=send)
    sender.start()
    assert [receive_frame(pair[1]) for _ in frames] == frames
    sender.join()


@pytest.mark.parametrize("sent", [0, 1, 16, 17, 18, 26])
def test_a_frame_that_breaks_off_is_none(pair: Pair, sent: int) -> None:
    """Wherever it does; the header takes 17 bytes."""
    whole = struct.pack("<BQQ", COMPILE, 1, 10) + b"x" * 10
    pair[0].sendall(whole[:sent])
    pair[0].close()
    assert receive_frame(pair[1]) is None


def test_a_connection_that_is_reset_is_none(pair: Pair) -> None:
    """As where the other side has gone without reading what it was sent."""
    pair[1].sendall(b"unread")
    pair[0].close()
    assert receive_frame(pair[1]) is None
    with pytest.raises(OSError, match="Broken pipe"):
        send_frame(pair[1], READY, 0)


@pytest.mark.parametrize(
    "request_",
    [
        CompileRequest(b"", "highest", -1),
        CompileRequest(bytes(range(256)), "fast", 65_536),
        CompileRequest(
            b"p", "highest", 4, (Choice(0, 3, "mode", "forward"), Choice(2, 1, "ü", ""))
        ),
    ],
)
def test_a_request_is_read_as_it_was_written(request_: CompileRequest) -> None:
    """And the same one is the same bytes, by which a program is refused."""
    assert read_request(write_request(request_)) == request_
    assert write_request(request_) == write_request(request_)


@pytest.mark.parametrize("reason", REASONS, ids=Reason.Name)
def test_an_error_of_each_reason_keeps_its_class(reason: Reason) -> None:
    """And what else is known of it."""
    kind = REASONS[reason].exception
    values = {"field": "functions[1]", "function": 1, "node": 2, "metadata": {"limit": "ünits"}}
    got = read_error(write_error(kind("a `message` – über", reason=reason, **values), "trace"))
    assert type(got) is kind
    assert isinstance(got, GradwireError)
    assert (got.message, got.reason) == ("a `message` – über", reason)
    assert {name: getattr(got, name) for name in values} == values


def test_an_error_may_say_little() -> None:
    """What isn't known stays so."""
    got = read_error(write_error(InvalidProgramError("it is wrong"), ""))
    assert isinstance(got, InvalidProgramError)
    assert not isinstance(got, LimitExceededError)
    assert (got.field, got.function, got.node, got.metadata) == ("", None, None, {})


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), TraceError("never sent")])
def test_any_other_error_is_a_fault_with_its_traceback(error: Exception) -> None:
    """One that isn't meant for callers; the server's log shows where it was."""
    got = read_error(write_error(error, 'Traceback\n  File "x"'))
    assert type(got) is RemoteFailure
    assert str(got) == 'Traceback\n  File "x"'
