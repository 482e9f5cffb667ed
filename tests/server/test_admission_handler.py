"""Admission to a real server: which calls are refused, and what remains after a refusal."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

import gradwire as gw
from gradwire.ir import encode_program
from gradwire.v1 import service_pb2 as pb
from gradwire_server.rpc.admission.receive_timeouts import HALF_SENT_SECONDS
from gradwire_server.runtime import host_memory
from programs import SIN, X, function, node, program, vector
from raw_requests import RawConnection, grpc_message
from server_process import eventually
from serving import (
    call_without_a_message,
    compilers_blocked,
    detail_of,
    health_of,
    inline,
    outputs,
    prepare_request,
    refused,
    retry_delay_of,
    serving,
)

COMPUTE = "/gradwire.v1.DerivativeService/Compute"
SINE = np.sin(X)


def test_a_refusal_reads_nothing(tmp_path: Path) -> None:
    """A call whose message never arrives is refused all the same, with a time to retry."""
    with (
        serving(tmp_path, max_calls=1) as (app, stub),
        compilers_blocked(app) as release,
        grpc.insecure_channel(app.address) as channel,
    ):
        inside = stub.Prepare.future(prepare_request(SIN))
        assert eventually(lambda: app.lifecycle.calls == 1)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            call_without_a_message(channel, COMPUTE).result(10)
        assert retry_delay_of(caught.value) == 0.1
        assert detail_of(caught.value).metadata[0].value == "max_calls"
        release()
        assert inside.result(60).plan.id


def test_computes_leave_room_for_other_calls(tmp_path: Path) -> None:
    """At their own bound they are served, one over it is refused, and a Prepare is not."""
    bounds = {"max_calls": 4, "max_executions": 1, "max_waiting_executions": 1}
    with serving(tmp_path, **bounds) as (app, stub), compilers_blocked(app) as release:
        computes = [stub.Compute.future(inline(SIN, X)) for _ in range(2)]
        assert eventually(lambda: app.lifecycle.calls == 2)
        with refused("OVERLOADED", "RESOURCE_EXHAUSTED") as caught:
            stub.Compute(inline(SIN, X))
        assert "`max_waiting_executions` is 1" in caught.value.details()
        prepare = stub.Prepare.future(prepare_request(SIN))
        assert eventually(lambda: app.lifecycle.calls == 3)
        release()
        for future in computes:
            np.testing.assert_allclose(outputs(future.result(60))[0], np.sin(X))
        assert prepare.result(60).plan.id


@pytest.mark.parametrize("how", ["cancelled", "silent"])
def test_a_call_that_brings_nothing_gives_its_place_back(tmp_path: Path, how: str) -> None:
    """Whether its caller disconnects before the message arrives, or ends without one."""
    with (
        serving(tmp_path, max_calls=1) as (app, stub),
        grpc.insecure_channel(app.address) as channel,
    ):
        if how == "silent":
            with pytest.raises(grpc.RpcError) as caught:
                channel.stream_unary(COMPUTE)(iter(()))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        else:
            calls = [call_without_a_message(channel, COMPUTE)]

            def is_inside() -> bool:
                """Another call is refused; if it came first, the silent one was."""
                try:
                    stub.GetServerInfo(pb.GetServerInfoRequest())
                except grpc.RpcError:
                    return True
                if calls[-1].done():
                    calls.append(call_without_a_message(channel, COMPUTE))
                return False

            assert eventually(is_inside)
            calls[-1].cancel()

        def served() -> bool:
            try:
                return bool(stub.Compute(inline(SIN, X)).plan_id)
            except grpc.RpcError:
                return False

        assert eventually(served)


def test_a_message_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    """Its call is ended and its place is free again; a call whose message arrived goes on."""
    with (
        serving(tmp_path, max_calls=2, max_receive_seconds=1.0) as (app, stub),
        compilers_blocked(app) as release,
        grpc.insecure_channel(app.address) as channel,
    ):
        slow = stub.Compute.future(inline(SIN, X))
        assert eventually(lambda: app.lifecycle.calls == 1)
        with pytest.raises(grpc.RpcError) as caught:
            call_without_a_message(channel, COMPUTE).result(20)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        release()
        np.testing.assert_allclose(outputs(slow.result(60))[0], np.sin(X))
        assert stub.Compute(inline(SIN, X)).plan_id


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same", "another"])
def test_half_sent_requests_keep_nobody_out(tmp_path: Path, source: str) -> None:
    """Of a peer that sends more than there are places for; others, and whole ones, are served."""
    with (
        serving(tmp_path, listen="127.0.0.1:0") as (app, stub),
        RawConnection(app.address, source) as flood,
        gw.connect(app.address) as connection,
    ):
        half = grpc_message(inline(SIN, X).SerializeToString())[:-8]
        sent = [flood.begin(COMPUTE, half) for _ in range(200)]
        start = time.monotonic()
        np.testing.assert_allclose(connection.compute(encode_program(SIN), [X]).outputs[0], SINE)
        assert time.monotonic() - start < 3
        for _ in range(20):
            np.testing.assert_allclose(outputs(stub.Compute(inline(SIN, X), timeout=20))[0], SINE)
            assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=20).opsets
        assert len(flood.ended) >= len(sent) - app.settings.max_calls


def test_a_peer_with_few_slow_messages_is_not_cut_for_another(tmp_path: Path) -> None:
    """A message that takes long is waited for, while another peer's requests give way."""
    bounds = {"listen": "127.0.0.1:0", "max_calls": 8, "max_pending_calls": 512}
    with (
        serving(tmp_path, **bounds) as (app, stub),
        RawConnection(app.address) as slow,
        RawConnection(app.address, "127.0.0.2") as flood,
    ):
        message = grpc_message(inline(SIN, X).SerializeToString())
        number = slow.begin(COMPUTE, message[:-8])
        time.sleep(2 * HALF_SENT_SECONDS)
        for _ in range(20):
            flood.begin(COMPUTE, message[:-8])
            time.sleep(0.05)
        assert len(flood.ended) >= 12
        assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=20).opsets
        assert slow.ended == {}
        slow.go_on(number, message[-8:], end=True)
        assert eventually(lambda: number in slow.ended)
        assert b"grpc-status\x010" in slow.ended[number]


def test_half_sent_requests_are_few_when_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many stay as could be in flight, and none of health, where messages are short."""
    bounds = {"max_message_bytes": 10_000, "max_bytes_in_flight": 40_000}
    with (
        serving(tmp_path, listen="127.0.0.1:0", **bounds) as (app, stub),
        RawConnection(app.address) as flood,
    ):
        paths = [COMPUTE, "/gradwire.v1.DerivativeService/Prepare", "/grpc.health.v1.Health/Check"]
        sent = [flood.begin(path, grpc_message(bytes(900))[:-1]) for path in paths * 4]
        time.sleep(4 * HALF_SENT_SECONDS)
        assert flood.ended == {}
        monkeypatch.setattr(host_memory, "free_bytes", lambda: 39_999)
        assert eventually(lambda: len(flood.ended) == 8)
        time.sleep(4 * HALF_SENT_SECONDS)
        assert len(flood.ended) == 8
        assert flood.ended.keys() >= set(sent[2::3])
        assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=20).opsets


def test_replies_that_are_not_read_are_few_when_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the bytes stay that requests may have; those who read theirs get them as before."""
    bounds = {"max_message_bytes": 500_000, "max_bytes_in_flight": 1_000_000}
    length = 200_000
    large = inline(
        program(
            function([vector(1)], node("broadcast_to", [0], 1, shape=(length // 8,)), results=[1])
        ),
        np.ones(1),
    )
    with (
        serving(tmp_path, listen="127.0.0.1:0", **bounds) as (app, stub),
        RawConnection(app.address) as deaf,
    ):
        assert outputs(stub.Compute(large))[0].nbytes == length
        message = grpc_message(large.SerializeToString())
        sent = [deaf.begin(COMPUTE, message) for _ in range(10)]
        for number in sent:
            deaf.go_on(number, b"", end=True)
        time.sleep(1)
        assert app.lifecycle.calls == 0
        assert deaf.ended == {}
        monkeypatch.setattr(host_memory, "free_bytes", lambda: 999_999)
        assert eventually(lambda: len(deaf.ended) == 8)
        for _ in range(5):
            assert outputs(stub.Compute(large))[0].nbytes == length
        time.sleep(0.3)
        assert len(deaf.ended) == 8


def test_health_answers_while_the_server_is_full(tmp_path: Path) -> None:
    """Its threads are not those of the calls, nor are its bounds."""
    with serving(tmp_path, max_calls=2) as (app, stub), compilers_blocked(app) as release:
        inside = [stub.Prepare.future(prepare_request(SIN)) for _ in range(2)]
        assert eventually(lambda: app.lifecycle.calls == 2)
        with grpc.insecure_channel(app.address) as channel:
            for _ in range(20):
                with refused("OVERLOADED"):
                    stub.Compute(inline(SIN, X))
                assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
        release()
        for future in inside:
            assert future.result(60).plan.id


def test_a_flood_leaves_no_trace(tmp_path: Path) -> None:
    """Thousands of calls at once are served, refused or cancelled; then all is as before."""
    bounds = {"max_calls": 8, "max_pending_calls": 16, "max_waiting_executions": 4}
    with serving(tmp_path, **bounds) as (app, stub):
        request = pb.ComputeRequest(plan_id=stub.Prepare(prepare_request(SIN)).plan.id)
        request.inputs.extend(inline(SIN, X).inputs)
        codes = set()
        for future in [stub.Compute.future(request, timeout=60) for _ in range(3000)]:
            try:
                np.testing.assert_allclose(outputs(future.result(60))[0], np.sin(X))
            except grpc.RpcError as error:
                codes.add(error.code())
        assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
        assert eventually(lambda: app.lifecycle.calls == 0)
        for _ in range(10):
            np.testing.assert_allclose(outputs(stub.Compute(request))[0], np.sin(X))
