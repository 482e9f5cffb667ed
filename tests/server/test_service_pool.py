"""Pools of small services, behind a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.bounds import Admission, Bound
from gradwire_server.rpc.admission.receive_timeouts import MessageMemory
from gradwire_server.rpc.admission.service_pool import ServicePool
from gradwire_server.serving.call_record import CallRecord
from server_process import eventually
from serving import call_without_a_message, refused, retry_delay_of

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


def service(name: str, answer: Answer) -> grpc.GenericRpcHandler:
    """A service with one method, Do."""
    return grpc.method_handlers_generic_handler(
        name, {"Do": grpc.unary_unary_rpc_method_handler(answer)}
    )


def echo(data: bytes, context: grpc.ServicerContext) -> bytes:
    return data


class Blocking:
    """Answers when it is released, with the name of its thread."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self.begun.release()
        self.released.wait(30)
        return threading.current_thread().name.encode()


class Pools:
    """Makes pools, and serves them."""

    def __init__(self) -> None:
        self.watchdog = Watchdog()
        self.records: list[CallRecord] = []
        self.pools: list[ServicePool] = []

    def add(
        self,
        name: str,
        services: Sequence[grpc.GenericRpcHandler],
        most: int = 4,
        receive_seconds: float = 60.0,
        wait: float = 0.0,
    ) -> None:
        """Makes a pool that accepts this many calls."""
        admission = Admission(Bound(f"max_{name}", most, most), {}, {})
        self.pools.append(
            ServicePool(
                name,
                services,
                admission,
                receive_seconds,
                MessageMemory(most, 2**30, lambda: False),
                self.watchdog,
                self.records.append,
                lambda: wait,
            )
        )

    @contextmanager
    def serving(self) -> Iterator[grpc.Channel]:
        """Serves them, and gives a connection."""
        self.watchdog.start()
        server = grpc.server(ThreadPoolExecutor(1))
        server.add_generic_rpc_handlers(tuple(pool.handler for pool in self.pools))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
                yield channel
        finally:
            server.stop(5).wait()
            for pool in self.pools:
                pool.stop()
            self.watchdog.stop()


def do(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/{name}/Do")


def test_services_of_a_pool_share_its_bound_and_its_threads() -> None:
    """At the bound both are served, one over it is refused and noted; then one place is free."""
    pools, blocking = Pools(), Blocking()
    pools.add("both", [service("A", blocking), service("B", blocking)], most=2, wait=7.0)
    with pools.serving() as channel:
        calls = [do(channel, name).future(b"", timeout=30) for name in "AB"]
        for _ in calls:
            assert blocking.begun.acquire(timeout=10)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            do(channel, "A")(b"")
        assert "`max_both` is 2 on this server" in caught.value.details()
        assert 7.0 <= retry_delay_of(caught.value) <= 10.0
        assert [(record.method, record.limit) for record in pools.records] == [("Do", "max_both")]
        blocking.released.set()
        assert {call.result(30)[:5] for call in calls} == {b"both_"}
        assert do(channel, "B")(b"", timeout=30)[:5] == b"both_"


def test_pools_take_nothing_from_each_other() -> None:
    """While one is full, calls of the other are answered."""
    pools, blocking = Pools(), Blocking()
    pools.add("slow", [service("A", blocking)], most=1)
    pools.add("quick", [service("B", echo)], most=1)
    with pools.serving() as channel:
        held = do(channel, "A").future(b"", timeout=30)
        assert blocking.begun.acquire(timeout=10)
        for _ in range(3):
            with refused("OVERLOADED"):
                do(channel, "A")(b"")
            assert do(channel, "B")(b"here", timeout=10) == b"here"
        blocking.released.set()
        assert held.result(30)[:5] == b"slow_"


def test_a_method_of_none_is_unknown() -> None:
    """With gRPC's own status, and no place is lost."""
    pools = Pools()
    pools.add("one", [service("A", echo)], most=1)
    with pools.serving() as channel:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                do(channel, "C")(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert do(channel, "A")(b"x", timeout=10) == b"x"


def test_each_pool_has_a_receive_timeout_of_its_own() -> None:
    """One watchdog cancels the calls of each in its time."""
    pools = Pools()
    pools.add("short", [service("A", echo)], receive_seconds=0.5)
    pools.add("long", [service("B", echo)], receive_seconds=60.0)
    with pools.serving() as channel:
        patient = call_without_a_message(channel, "/B/Do")
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            call_without_a_message(channel, "/A/Do").result(20)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        assert 0.5 <= time.monotonic() - start < 20
        assert not patient.done()
        patient.cancel()
        (record,) = pools.records
        assert (record.method, record.status, record.limit) == (
            "Do", "CANCELLED", "max_receive_seconds",
        )  # fmt: skip
        assert record.unread
        assert record.peer.startswith("ipv4:127.0.0.1:")


def test_a_pool_that_stops_leaves_no_thread() -> None:
    """Once its calls have ended."""
    before = set(threading.enumerate())
    pools = Pools()
    pools.add("some", [service("A", echo)])
    with pools.serving() as channel:
        assert do(channel, "A")(b"x", timeout=10) == b"x"
        assert any(thread.name.startswith("some_") for thread in threading.enumerate())
    assert eventually(
        lambda: not [thread for thread in threading.enumerate() if thread not in before]
    )
