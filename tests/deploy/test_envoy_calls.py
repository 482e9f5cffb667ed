"""What Envoy does with a call, and what it leaves to client and server."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy.fleet import Fleet, X
from deploy.gateway import SECURED, Gateway, cluster_of, deployed, free_port, on_loopback
from deploy.names import Names
from gradwire.channel import channel_options
from gradwire.connection import connect
from gradwire.errors import DeadlineError
from gradwire.exchange import MAX_MESSAGE_BYTES
from gradwire.v1 import service_pb2, service_pb2_grpc
from scripted_server import ScriptedServer, after, bare
from server_process import eventually, start_script

PROGRAM = b"a program, as far as client and Envoy know"
HOSTS = ("127.0.0.2", "127.0.0.3")


DIES = """
import os, sys, time
from concurrent import futures
import grpc

def compute(request, context):
    seconds = float(sys.argv[2])
    if seconds:
        yield b""  # the answer begins
        time.sleep(seconds)
    os.kill(os.getpid(), 9)

server = grpc.server(futures.ThreadPoolExecutor(1))
handlers = {"Compute": grpc.unary_stream_rpc_method_handler(compute)}
server.add_generic_rpc_handlers(
    [grpc.method_handlers_generic_handler("gradwire.v1.DerivativeService", handlers)]
)
server.add_insecure_port(sys.argv[1])
server.start()
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def _scripted(
    folder: Path, config: Any = None, credentials: grpc.ServerCredentials | None = None
) -> Iterator[tuple[ScriptedServer, Gateway, Names]]:
    """A scripted server behind Envoy. It has no health service, so none is asked for."""
    port = free_port(*HOSTS)
    with Names() as names, ScriptedServer(f"{HOSTS[0]}:{port}", credentials) as server:
        names.addresses["gradwire-0.gradwire"] = HOSTS[0]
        config = on_loopback(config or deployed(), names.port, port)
        del cluster_of(config)["health_checks"]
        with Gateway(folder, config) as gateway:
            assert eventually(lambda: len(gateway.servers()) == 1, 30)
            yield server, gateway, names


def _call(target: str, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    """One attempt, without the client's loop."""
    with grpc.insecure_channel(target, channel_options(target)) as channel:
        return _call_on(channel, metadata)


def _call_on(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    stub = service_pb2_grpc.DerivativeServiceStub(channel)
    request = service_pb2.ComputeRequest(plan_id="x")
    call = stub.Compute.future(request, timeout=20, metadata=metadata)
    code = call.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def test_only_what_a_server_refused_to_take_is_tried_again(tmp_path: Path) -> None:
    """A failure of each kind, and a connection that breaks, is the client's to judge."""
    with _scripted(tmp_path) as (server, gateway, names):
        codes = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
        for code in codes:
            server.then("Compute", bare(code))
            assert _call(gateway.target) is code
        assert len(server.requests("Compute")) == len(codes)
        with _dying(server, after=0.0) as process:
            _move(gateway, names, HOSTS[1])
            assert _call(gateway.target) is grpc.StatusCode.UNAVAILABLE
            assert process.wait(30) == -signal.SIGKILL
        assert {call["attempts"] for call in gateway.calls()} == {1}


def test_a_refused_connection_is_tried_elsewhere(tmp_path: Path) -> None:
    """At once, by Envoy: whoever calls doesn't hear of it."""
    config = deployed()
    del cluster_of(config)["outlier_detection"]  # which would soon leave it out
    with _scripted(tmp_path, config) as (server, gateway, names):
        names.addresses["gradwire-1.gradwire"] = HOSTS[1]  # where nobody listens
        assert eventually(lambda: len(gateway.servers()) == 2, 30)
        for number in range(20):
            route = (("gradwire-route", f"{number}"),)
            assert _call(gateway.target, route) is grpc.StatusCode.OK
        attempts = [call["attempts"] for call in gateway.calls()]
        assert set(attempts) >= {1, 2}
        assert len(server.requests("Compute")) == 20


@contextmanager
def _dying(beside: ScriptedServer, *, after: float) -> Iterator[subprocess.Popen[str]]:
    """A server at the next address that dies when it is called, seconds into its answer if any."""
    port = beside.target.rpartition(":")[2]
    process = start_script(DIES, f"{HOSTS[1]}:{port}", str(after))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_dies_while_it_answers_loses_no_call(tmp_path: Path) -> None:
    """Envoy can only break the answer off then; the client tries again."""
    with _scripted(tmp_path) as (server, gateway, names), connect(gateway.target) as connection:
        connection.prepare(PROGRAM)
        with _dying(server, after=0.3) as process, futures.ThreadPoolExecutor(1) as pool:
            _move(gateway, names, HOSTS[1])
            call = pool.submit(connection.compute, PROGRAM, [X])
            assert process.wait(30) == -signal.SIGKILL
            _move(gateway, names, HOSTS[0])
            np.testing.assert_array_equal(call.result(60).outputs[0], X)
        assert "upstream_reset_after_response_started{connection_termination}" in {
            call["details"] for call in gateway.calls()
        }


def _move(gateway: Gateway, names: Names, host: str) -> None:
    """Gives the only server another address, and waits until Envoy knows it."""
    names.addresses["gradwire-0.gradwire"] = host
    assert eventually(lambda: [s["address"] for s in gateway.servers().values()] == [host], 30)


def test_metadata_passes(tmp_path: Path) -> None:
    """A token reaches the server, and is in no log of Envoy's."""
    with _scripted(tmp_path) as (server, gateway, _):
        _call(gateway.target, (("authorization", "Bearer a-secret"), ("gradwire-route", "r-7")))
        assert server.asked[-1].metadata["authorization"] == "Bearer a-secret"
        assert [call["route"] for call in gateway.calls()] == ["r-7"]
        assert "a-secret" not in repr(gateway.calls()) + gateway.log()


def test_a_deadline_passes(tmp_path: Path) -> None:
    """The server knows how long the caller waits, and that he has gone."""
    with _scripted(tmp_path) as (server, gateway, _), connect(gateway.target) as connection:
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
    with _scripted(tmp_path) as (_, gateway, _), connect(gateway.target) as connection:
        given = np.ones(MAX_MESSAGE_BYTES - 200, np.uint8)
        assert connection.compute(PROGRAM, [given]).outputs[0].size == given.size


@pytest.mark.long
def test_silence_ends_no_call(tmp_path: Path) -> None:
    """Longer than Envoy's usual 15 s for an answer, and its 5 min for any sign of life."""
    with _scripted(tmp_path) as (server, gateway, _), connect(gateway.target) as connection:
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
    with _scripted(tmp_path) as (_, gateway, _):
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


def _pair(authority: trustme.CA, name: str) -> tuple[bytes, bytes]:
    """A key and its certificate."""
    issued = authority.issue_cert(name)
    return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()


def _authority_in(folder: Path) -> trustme.CA:
    """A CA, whose certificate and Envoy's own are in the folder."""
    ca = trustme.CA()
    for name, content in zip(("tls.key", "tls.crt"), _pair(ca, "localhost"), strict=True):
        (folder / name).write_bytes(content)
    ca.cert_pem.write_to_path(folder / "ca.crt")
    return ca


@pytest.mark.parametrize(
    ("server", "caller", "answered"),
    [
        ("gradwire", "known", True),
        ("gradwire", "unknown", False),
        ("gradwire", "none", False),
        ("another", "known", False),
    ],
)
def test_tls_on_both_sides(tmp_path: Path, server: str, caller: str, answered: bool) -> None:
    """Callers, Envoy and the server need certificates of one CA, the server in its name."""
    ca, stranger = _authority_in(tmp_path), trustme.CA()
    credentials = grpc.ssl_server_credentials(
        [_pair(ca, server)], ca.cert_pem.bytes(), require_client_auth=True
    )
    own = {"known": _pair(ca, "me"), "unknown": _pair(stranger, "me"), "none": ()}[caller]
    config = deployed(SECURED, str(tmp_path))
    with _scripted(tmp_path, config, credentials) as (scripted, gateway, _):
        target = gateway.target.replace("127.0.0.1", "localhost")
        trusted = grpc.ssl_channel_credentials(ca.cert_pem.bytes(), *own)
        with grpc.secure_channel(target, trusted, channel_options(target)) as channel:
            code = _call_on(channel)
        assert code is (grpc.StatusCode.OK if answered else grpc.StatusCode.UNAVAILABLE)
        assert len(scripted.asked) == answered


def test_health_is_asked_for_over_tls(tmp_path: Path) -> None:
    """Under the same certificates: a server that is well gets calls."""
    ca = _authority_in(tmp_path)
    port = free_port(HOSTS[0])
    credentials = grpc.ssl_server_credentials(
        [_pair(ca, "gradwire")], ca.cert_pem.bytes(), require_client_auth=True
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    name = "gradwire.v1.DerivativeService"
    servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_secure_port(f"{HOSTS[0]}:{port}", credentials)
    server.start()
    try:
        with Names() as names:
            names.addresses["gradwire-0.gradwire"] = HOSTS[0]
            config = on_loopback(deployed(SECURED, str(tmp_path)), names.port, port)
            with Gateway(tmp_path, config) as gateway:
                assert eventually(lambda: gateway.well() == {"gradwire-0.gradwire"}, 30)
                servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
                assert eventually(lambda: gateway.well() == set())
    finally:
        server.stop(None).wait()


def test_tls_is_not_left_out(tmp_path: Path) -> None:
    """A caller in the open gets no answer."""
    _authority_in(tmp_path)
    with _scripted(tmp_path, deployed(SECURED, str(tmp_path))) as (scripted, gateway, _):
        assert _call(gateway.target) is grpc.StatusCode.UNAVAILABLE
        assert scripted.asked == []
