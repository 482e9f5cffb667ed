"""Health and reflection, which every client that reaches the port may call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gradwire_server.config.settings import Settings
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.health import Health
from gradwire_server.rpc.pools import side_pool
from gradwire_server.serving.call_record import CallRecord
from programs import SIN, X
from server_process import eventually
from serving import call_without_a_message, health_of, inline, outputs, serving

CHECK = "/grpc.health.v1.Health/Check"
REQUEST = health_pb2.HealthCheckRequest()
Status = health_pb2.HealthCheckResponse


@contextmanager
def side_server(
    max_calls: int, silence: float = 60.0
) -> Iterator[tuple[Health, str, list[CallRecord]]]:
    """A server of these services alone: its health, its address and what it has refused."""
    health, refused, watchdog = Health(), [], Watchdog()
    settings = Settings(max_side_calls=max_calls)
    side = side_pool(health, settings, lambda: False, watchdog, refused.append, silence)
    watchdog.start()
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((side.handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        health.set(Status.SERVING, "")
        try:
            yield health, f"127.0.0.1:{port}", refused
        finally:
            health.end_watches()
            server.stop(1).wait()
            side.stop()
            watchdog.stop()


def own_channel(address: str) -> grpc.Channel:
    """A connection of its own: gRPC shares one between channels to the same address."""
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def test_watches_that_come_and_go_are_no_harm() -> None:
    """Several clients open and close them at the same time, while the status changes."""
    with side_server(64) as (health, address, _):
        ended = time.monotonic() + 3

        def churn() -> int:
            count = 0
            with own_channel(address) as channel:
                while time.monotonic() < ended:
                    watch = health_pb2_grpc.HealthStub(channel).Watch(REQUEST, timeout=10)
                    assert next(watch).status in (Status.SERVING, Status.NOT_SERVING)
                    watch.cancel()
                    count += 1
            return count

        with ThreadPoolExecutor(3) as pool:
            churning = [pool.submit(churn) for _ in range(3)]
            while time.monotonic() < ended:
                health.set(Status.NOT_SERVING, "")
                health.set(Status.SERVING, "")
            assert sum(future.result(30) for future in churning) > 10
        with own_channel(address) as channel:
            assert health_of(channel) == Status.SERVING


def test_a_watch_hears_of_each_change_and_of_the_end() -> None:
    """Of unknown services, too; a status that doesn't change is not repeated."""
    with side_server(64) as (health, address, _), own_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="late"), timeout=30
        )
        assert next(watch).status == Status.SERVICE_UNKNOWN
        health.set(Status.SERVING, "other")
        health.set(Status.NOT_SERVING, "late")
        assert next(watch).status == Status.NOT_SERVING
        health.set(Status.NOT_SERVING, "late")
        health.set(Status.SERVING, "late")
        assert next(watch).status == Status.SERVING
        health.end_watches()
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", ["Watch", "ServerReflectionInfo"])
def test_long_calls_leave_room_for_checks(method: str) -> None:
    """At a quarter they are served, one over it is refused, and checks are answered."""
    with side_server(8) as (_, address, refused), own_channel(address) as channel, ExitStack() as s:
        asking = threading.Event()
        s.callback(asking.set)

        def questions() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            asking.wait(60)

        def start() -> grpc.Call:
            if method == "Watch":
                return health_pb2_grpc.HealthStub(channel).Watch(REQUEST)
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            return stub.ServerReflectionInfo(questions())

        for _ in range(2):
            call = start()
            s.callback(call.cancel)
            assert next(call)
        with pytest.raises(grpc.RpcError) as caught:
            next(start())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "`max_side_calls` is 8 on this server, a quarter" in caught.value.details()
        assert [record.limit for record in refused] == ["max_side_calls"]
        assert health_of(channel) == Status.SERVING


def test_checks_that_never_come_are_bounded_and_cut_off() -> None:
    """At the bound one more is refused, until those that are silent have been ended."""
    with side_server(4, silence=1.0) as (_, address, _refused), own_channel(address) as channel:
        silent: list[grpc.Future[bytes]] = []

        def is_full() -> bool:
            """A check is refused; if it came first, one of the silent calls was."""
            waiting = sum(not call.done() for call in silent)
            silent.extend(call_without_a_message(channel, CHECK) for _ in range(4 - waiting))
            try:
                health_of(channel)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return False

        assert eventually(is_full)
        codes = {call.code() for call in silent}
        assert grpc.StatusCode.CANCELLED in codes
        assert codes <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}

        def is_answered() -> bool:
            """A place is free a moment after its caller has heard of the end."""
            try:
                return health_of(channel) == Status.SERVING
            except grpc.RpcError:
                return False

        assert eventually(is_answered)


def test_they_take_no_place_of_other_calls(tmp_path: Path) -> None:
    """Derivatives are computed while more checks hang than calls are allowed, and after."""
    bounds = {"max_calls": 2, "max_pending_calls": 32, "max_side_calls": 16}
    with serving(tmp_path, **bounds) as (app, stub), own_channel(app.address) as channel:
        silent = [call_without_a_message(channel, CHECK) for _ in range(12)]
        for _ in range(20):
            np.testing.assert_allclose(
                outputs(stub.Compute(inline(SIN, X), timeout=20))[0], np.sin(X)
            )
        assert health_of(channel) == Status.SERVING
        for call in silent:
            call.cancel()
            assert eventually(call.done)
        np.testing.assert_allclose(outputs(stub.Compute(inline(SIN, X)))[0], np.sin(X))
