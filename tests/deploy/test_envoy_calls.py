"""What Envoy does with a call, and what it leaves to client and server."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from deploy.fleet import Fleet, X
from deploy.gateway import cluster_of, deployed
from deploy.scripted_fleet import HOSTS, call_once, dying, move, scripted
from gradwire.errors import DeadlineError
from gradwire.transport.connection import connect
from gradwire.transport.message_bound import DEFAULT_MESSAGE_BYTES
from gradwire.v1 import service_pb2
from scripted_server import ScriptedServer, after, bare
from server_process import eventually

pytestmark = pytest.mark.deploy

PROGRAM = b"a program, as far as client and Envoy know"


def test_only_what_a_server_refused_to_take_is_tried_again(tmp_path: Path) -> None:
    """A failure of each kind, and a connection that breaks, is left to the client."""
    with scripted(tmp_path) as (server, gateway, names):
        codes = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
        for code in codes:
            server.then("Compute", bare(code))
            assert call_once(gateway.target) is code
        assert len(server.requests("Compute")) == len(codes)
        with dying(server, after=0.0) as process:
            move(gateway, names, HOSTS[1])
            assert call_once(gateway.target) is grpc.StatusCode.UNAVAILABLE
            assert process.wait(30) == -signal.SIGKILL
        assert {call["attempts"] for call in gateway.calls()} == {1}


def test_deadlines_that_pass_are_not_the_servers_fault(tmp_path: Path) -> None:
    """However many calls in a row ran out of time, their server goes on getting calls."""
    with scripted(tmp_path) as (server, gateway, names):
        address = f"{HOSTS[1]}:{server.target.rpartition(':')[2]}"
        with ScriptedServer(address) as other:  # of one server Envoy would never leave any out
            names.addresses["gradwire-1.gradwire"] = HOSTS[1]
            assert eventually(lambda: len(gateway.servers()) == 2, 30)
            for either in (server, other):
                either.always("Compute", bare(grpc.StatusCode.DEADLINE_EXCEEDED))
            for _ in range(15):
                code = call_once(gateway.target, (("gradwire-route", "one"),))
                assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert gateway.count("cluster.gradwire.outlier_detection.ejections_active") == 0
            assert {len(either.requests("Compute")) for either in (server, other)} == {0, 15}


def test_a_refused_connection_is_tried_elsewhere(tmp_path: Path) -> None:
    """At once, by Envoy: the caller sees no error."""
    config = deployed()
    del cluster_of(config)["outlier_detection"]  # which would soon leave it out
    with scripted(tmp_path, config) as (server, gateway, names):
        names.addresses["gradwire-1.gradwire"] = HOSTS[1]  # where no process listens
        assert eventually(lambda: len(gateway.servers()) == 2, 30)
        for number in range(20):
            route = (("gradwire-route", f"{number}"),)
            assert call_once(gateway.target, route) is grpc.StatusCode.OK
        attempts = [call["attempts"] for call in gateway.calls()]
        assert set(attempts) >= {1, 2}
        assert len(server.requests("Compute")) == 20


def test_a_server_that_dies_while_it_answers_loses_nocall_once(tmp_path: Path) -> None:
    """Envoy can only break the answer off then; the client tries again."""
    with scripted(tmp_path) as (server, gateway, names), connect(gateway.target) as connection:
        connection.prepare(PROGRAM)
        with dying(server, after=0.3) as process, futures.ThreadPoolExecutor(1) as pool:
            move(gateway, names, HOSTS[1])
            call = pool.submit(connection.compute, PROGRAM, [X])
            assert process.wait(30) == -signal.SIGKILL
            move(gateway, names, HOSTS[0])
            np.testing.assert_array_equal(call.result(60).outputs[0], X)
        assert "upstream_reset_after_response_started{connection_termination}" in {
            call["details"] for call in gateway.calls()
        }


def test_metadata_passes(tmp_path: Path) -> None:
    """A token reaches the server, and is in no log of Envoy's."""
    with scripted(tmp_path) as (server, gateway, _):
        call_once(gateway.target, (("authorization", "Bearer a-secret"), ("gradwire-route", "r-7")))
        assert server.asked[-1].metadata["authorization"] == "Bearer a-secret"
        assert [call["route"] for call in gateway.calls()] == ["r-7"]
        assert "a-secret" not in repr(gateway.calls()) + gateway.log()


def test_a_deadline_passes(tmp_path: Path) -> None:
    """The server gets the caller's deadline, and learns that the caller has gone."""
    with scripted(tmp_path) as (server, gateway, _), connect(gateway.target) as connection:
        connection.prepare(PROGRAM)
        gone: list[bool] = []

        def wait(request: Any, context: grpc.ServicerContext) -> service_pb2.ComputeResponse:
            gone.append(eventually(lambda: not context.is_active(), 20))
            return service_pb2.ComputeResponse()

        server.then("Compute", wait)
        with pytest.raises(DeadlineError):
            connection.compute(PROGRAM, [X], timeout=1.0)
        assert eventually(lambda: gone == [True])
        assert server.asked[-1].seconds == pytest.approx(1.0, abs=0.3)


def test_the_largest_messages_pass(tmp_path: Path) -> None:
    """64 MiB there and back, as between client and server."""
    with scripted(tmp_path) as (_, gateway, _), connect(gateway.target) as connection:
        given = np.ones(DEFAULT_MESSAGE_BYTES - 200, np.uint8)
        assert connection.compute(PROGRAM, [given]).outputs[0].size == given.size


@pytest.mark.long
def test_silence_ends_nocall_once(tmp_path: Path) -> None:
    """Longer than Envoy's usual 15 s for an answer, and its 5 min for any sign of life."""
    with scripted(tmp_path) as (server, gateway, _), connect(gateway.target) as connection:
        connection.prepare(PROGRAM)
        server.then("Compute", after(310))
        np.testing.assert_array_equal(connection.compute(PROGRAM, [X], timeout=600).outputs[0], X)
        assert [call["attempts"] for call in gateway.calls()] == [1, 1, 1]


@pytest.mark.long
def test_an_idle_connection_to_a_server_is_kept(tmp_path: Path) -> None:
    """Envoy's signs of life are not too many for the server."""
    with Fleet(tmp_path, 1) as fleet, fleet.connect():
        opened = fleet.gateway.count("cluster.gradwire.upstream_cx_total")
        assert opened > 0
        time.sleep(100)
        with fleet.connect():
            pass
        assert fleet.gateway.count("cluster.gradwire.upstream_cx_destroy") == 0
        assert fleet.gateway.count("cluster.gradwire.http2.keepalive_timeout") == 0


def test_other_requests_are_refused(tmp_path: Path) -> None:
    """Neither port shows the admin interface."""
    with scripted(tmp_path) as (_, gateway, _):
        with urllib.request.urlopen(f"{gateway.metrics}/stats/prometheus", timeout=10) as page:
            assert b'envoy_cluster_upstream_rq_total{envoy_cluster_name="gradwire"}' in page.read()
        with urllib.request.urlopen(f"{gateway.metrics}/ready", timeout=10) as page:
            assert page.read() == b"LIVE\n"
        for path, method in [
            ("quitquitquit", "POST"), ("config_dump", "GET"), ("stats", "GET"),
            ("stats/prometheus", "POST"), ("ready/../config_dump", "GET"),
        ]:  # fmt: skip
            request = urllib.request.Request(f"{gateway.metrics}/{path}", method=method)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            with caught.value:
                assert caught.value.code == 404
        gateway.page("healthcheck/fail", "POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{gateway.metrics}/ready", timeout=10)
        with caught.value:
            assert caught.value.code == 503
