"""Making connections to a scripted server, losing them, and finding the one to use."""

from __future__ import annotations

import contextvars
import gc
import socket
import time
import weakref
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.errors import InvalidInputError, UnavailableError, VersionError
from gradwire.opset import OPSET_VERSION
from gradwire.transport import stub as exchange
from gradwire.transport.connection import Connection, connect
from gradwire.transport.default_connection import current_connection
from gradwire.transport.target import check_target
from scripted_server import ScriptedServer, after, info

PROGRAM = b"a program, as far as the client knows"
X = np.arange(3.0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def connection(server: ScriptedServer) -> Iterator[Connection]:
    with connect(server.target) as connection:
        server.asked.clear()
        yield connection


def test_a_server_that_fits_is_accepted(server: ScriptedServer) -> None:
    """It may offer more opsets than ours."""
    server.then("GetServerInfo", info(OPSET_VERSION, OPSET_VERSION + 1))
    with connect(server.target) as connection:
        assert connection.target == server.target
        assert connection.info().server_version == "7.0"


def test_another_opset_is_refused(server: ScriptedServer) -> None:
    """The error names both sides' versions and the remedy."""
    server.always("GetServerInfo", info(OPSET_VERSION + 1, OPSET_VERSION + 2))
    with pytest.raises(VersionError) as caught:
        connect(server.target)
    for part in (server.target, f"opset {OPSET_VERSION}", "gradwire 7.0", "[2, 3]", "Install"):
        assert part in str(caught.value)


def test_another_service_is_refused() -> None:
    """A gRPC server without gradwire is no version of it."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(VersionError, match=f"127.0.0.1:{port}.*no `gradwire.v1`"):
            connect(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()


def test_nobody_there_is_found_out_in_five_seconds(tmp_path: Path) -> None:
    """The error names the address and what is wrong with it."""
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=f"{tmp_path}/none.*No such file") as caught:
        connect(f"unix:{tmp_path}/none")
    assert time.monotonic() - start < 20
    assert isinstance(caught.value, ConnectionError)


def test_silence_is_found_out_in_five_seconds() -> None:
    """One that takes the connection and never answers counts as no server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(UnavailableError, match=target):
            connect(target)
        assert 4 < time.monotonic() - start < 20


@pytest.mark.parametrize(
    "target",
    ["", "127.0.0.1", "gpu-box", "gpu-box:", ":8701", "gpu-box:grpc", "gpu-box:0", "gpu-box:70000",
     "http://127.0.0.1:8701", "127.0.0.1:8701/", "::1", "::1:8701", "[::1]", "a b:8701", "unix:",
     None, 8701],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(target: Any) -> None:
    """Before gRPC takes a forgotten port for 443, and a URL for a host."""
    with pytest.raises(InvalidInputError) as caught:
        connect(target)
    assert caught.value.message == (
        f"`target` must be HOST:PORT, such as gpu-box:8701, or unix:PATH; got {target!r}"
    )
    assert caught.value.field == "target"


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:8701", "gpu-box.lan:8701", "[::1]:8701", "[fe80::1%eth0]:8701", "unix:/tmp/s",
     "unix:s", "unix:///tmp/s", "unix-abstract:s", "dns:///gpu-box", "dns:gpu-box:8701",
     "ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:8701", "vsock:2:8701", "xds:///gpu",
     "passthrough:///gpu-box:8701"],
)  # fmt: skip
def test_every_way_of_grpc_to_name_a_server_is_let_through(target: str) -> None:
    """With a port where there is a host, and in gRPC's own schemes as gRPC has it."""
    check_target(target)


def test_connecting_has_a_time_of_its_own(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error doesn't blame the caller's timeout, which is for runs."""
    monkeypatch.setattr(exchange, "CONNECT_SECONDS", 0.3)
    server.always("GetServerInfo", after(30))
    with pytest.raises(UnavailableError, match=r"no answer within 0\.3 s, the time for connecting"):
        connect(server.target, timeout=20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("precision", "double"),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", float("nan")),
        ("float_dtype", "int32"),
        ("float_dtype", "complex64"),
        ("affinity", ""),
        ("affinity", "ä"),
        ("affinity", "a\nb"),
        ("affinity", "x" * 257),
    ],
)
def test_options_are_checked_before_anything_is_sent(name: str, value: Any) -> None:
    """The error names the option and the value."""
    with pytest.raises(InvalidInputError, match=f"`{name}` must .*; got") as caught:
        connect("127.0.0.1:1", **{name: value})
    assert caught.value.field == name


def test_a_server_that_comes_back_is_found(connection: Connection, server: ScriptedServer) -> None:
    """At the same address, within the call's time."""
    connection.compute(PROGRAM, [X])
    server.stop()
    with futures.ThreadPoolExecutor(1) as pool:
        reply = pool.submit(connection.compute, PROGRAM, [X], timeout=20)
        time.sleep(0.7)
        assert not reply.done()
        with ScriptedServer(server.target):
            np.testing.assert_array_equal(reply.result().outputs[0], X)


def test_a_server_that_is_gone_is_given_up(connection: Connection, server: ScriptedServer) -> None:
    """Within the deadline, with its name."""
    connection.compute(PROGRAM, [X])
    server.stop()
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=f"{server.target}.*refused"):
        connection.compute(PROGRAM, [X], timeout=2)
    assert time.monotonic() - start < 20


def test_threads_share_a_connection(server: ScriptedServer, connection: Connection) -> None:
    """Each gets its own answer."""

    def run(k: int) -> float:
        return float(connection.compute(b"%d" % (k % 5), [np.array(float(k))]).outputs[0])

    with futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(200))) == list(range(200))


def test_closing_ends_calls_in_flight(server: ScriptedServer, connection: Connection) -> None:
    """They don't wait for their deadline."""
    server.always("Compute", after(30))
    connection.prepare(PROGRAM)
    with futures.ThreadPoolExecutor(1) as pool:
        reply = pool.submit(connection.compute, PROGRAM, [X])
        while not server.requests("Compute"):
            time.sleep(0.01)
        connection.close()
        with pytest.raises(UnavailableError, match="closed"):
            reply.result(5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "dns:///127.0.0.1"])
def test_a_proxy_is_not_asked_for_this_machine(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Nor does NO_PROXY have to say so."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with connect(f"{host}:{server.target.rpartition(':')[2]}") as connection:
        connection.compute(PROGRAM, [X])


def test_unix_sockets(tmp_path: Path) -> None:
    """`unix:` and a path is an address like others."""
    with ScriptedServer(f"unix:{tmp_path}/s") as server, connect(server.target) as connection:
        connection.compute(PROGRAM, [X])


def test_the_innermost_connection_is_the_one(server: ScriptedServer) -> None:
    """And the outer one again after it."""
    with connect(server.target) as outer:
        with connect(server.target) as inner:
            assert current_connection() is inner
        assert current_connection() is outer
        assert inner.closed
        assert not outer.closed


def test_a_connection_may_be_entered_again(server: ScriptedServer) -> None:
    """It is closed with the outermost block; a closed one can't be entered."""
    connection = connect(server.target)
    with connection:
        with connection, connect(server.target), connection:
            assert current_connection() is connection
        assert not connection.closed
    assert connection.closed
    with pytest.raises(UnavailableError, match="closed"):
        connection.__enter__()


def test_threads_use_what_the_process_has_entered(server: ScriptedServer) -> None:
    """A thread has a context of its own: what it enters comes first there, and only there."""
    with connect(server.target) as connection, futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(current_connection).result() is connection

        def nested() -> tuple[Connection, Connection]:
            with connect(server.target) as own:
                return own, current_connection()

        own, current = pool.submit(nested).result()
        assert own is current
        assert current_connection() is connection


def test_contexts_are_kept_apart(server: ScriptedServer) -> None:
    """Tasks that take turns in one thread each have their own."""

    def task() -> Iterator[Connection]:
        with connect(server.target):
            while True:
                yield current_connection()

    tasks = [(contextvars.copy_context(), task()) for _ in range(2)]
    first = [context.run(next, one) for context, one in tasks]
    assert first[0] is not first[1]
    assert [context.run(next, one) for context, one in tasks] == first
    for context, one in tasks:
        context.run(one.close)  # type: ignore[attr-defined]
    assert all(connection.closed for connection in first)


def test_leaving_in_another_context(server: ScriptedServer) -> None:
    """A generator may be closed elsewhere; its connection counts no longer."""

    def task() -> Iterator[Connection]:
        with connect(server.target) as connection:
            yield connection

    context = contextvars.copy_context()
    generator = task()
    inner = context.run(next, generator)
    with connect(server.target) as outer:
        generator.close()  # type: ignore[attr-defined]
        assert inner.closed
        assert context.run(current_connection) is outer


def test_closing_within_the_block_ends_it(server: ScriptedServer) -> None:
    """What is closed is nobody's current connection."""
    with connect(server.target) as outer:
        with connect(server.target) as inner:
            inner.close()
            assert current_connection() is outer
        assert current_connection() is outer


def test_the_environment_names_a_server(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection for all threads; what is entered comes before it."""
    monkeypatch.setenv("GRADWIRE_TARGET", server.target)
    with futures.ThreadPoolExecutor(8) as pool:
        connections = set(pool.map(lambda _: current_connection(), range(8)))
    (connection,) = connections
    assert connection.target == server.target
    assert len(server.asked) == 1
    with connect(server.target) as entered:
        assert current_connection() is entered
    connection.close()
    with current_connection() as another:
        assert another is not connection


def test_a_wrong_name_in_the_environment_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where else would the caller look?"""
    monkeypatch.setenv("GRADWIRE_TARGET", f"unix:{tmp_path}/none")
    with pytest.raises(UnavailableError, match=f"{tmp_path}/none") as caught:
        current_connection()
    assert any("GRADWIRE_TARGET" in note for note in caught.value.__notes__)


def test_a_connection_that_is_dropped_is_collected(server: ScriptedServer) -> None:
    """Nothing in this module holds on to it."""
    connection = connect(server.target)
    connection.compute(PROGRAM, [X])
    with connection:
        pass
    dropped = weakref.ref(connection)
    del connection
    gc.collect()
    assert dropped() is None
