"""A scripted server behind Envoy, without health checks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from deploy.gateway import Gateway, cluster_of, deployed, free_port, on_loopback
from deploy.names import Names
from gradwire.transport.grpc import channel_options
from gradwire.v1 import service_pb2, service_pb2_grpc
from scripted_server import ScriptedServer
from server_process import eventually, start_script

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
def scripted(
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


def call_once(target: str, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    """One attempt, without the client's loop."""
    with grpc.insecure_channel(target, channel_options(target)) as channel:
        return call_on(channel, metadata)


def call_on(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    """One attempt on a channel."""
    stub = service_pb2_grpc.DerivativeServiceStub(channel)
    request = service_pb2.ComputeRequest(plan_id="x")
    call = stub.Compute.future(request, timeout=20, metadata=metadata)
    code = call.code()
    assert isinstance(code, grpc.StatusCode)
    return code


@contextmanager
def dying(beside: ScriptedServer, *, after: float) -> Iterator[subprocess.Popen[str]]:
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


def move(gateway: Gateway, names: Names, host: str) -> None:
    """Gives the only server another address, and waits until Envoy knows it."""
    names.addresses["gradwire-0.gradwire"] = host
    assert eventually(lambda: [s["address"] for s in gateway.servers().values()] == [host], 30)
