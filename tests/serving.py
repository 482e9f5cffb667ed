"""Servers in this process with a bare stub to each, for tests of what goes over the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from gradwire.ir import Program, encode_program
from gradwire.tensors import Array, decode_tensor, encode_tensor
from gradwire.v1 import error_pb2, service_pb2_grpc
from gradwire.v1 import service_pb2 as pb
from gradwire_server.app import App, build
from gradwire_server.config.settings import Settings

Stub = service_pb2_grpc.DerivativeServiceStub


def settings_in(folder: Path, **values: Any) -> Settings:
    """Settings of a server on a Unix socket, without metrics and without a cache on disk."""
    defaults = {
        "listen": f"unix:{folder}/socket",
        "metrics": "off",
        "cache_dir": "off",
        "grace": 5.0,
        "compile": "in-process",
        "replica_id": "test",
    }
    return Settings(**{**defaults, **values})


@contextmanager
def serving(folder: Path, **values: Any) -> Iterator[tuple[App, Stub]]:
    """A running server and a stub to it."""
    with build(settings_in(folder, **values)) as app, stub_to(app) as stub:
        yield app, stub


@contextmanager
def stub_to(app: App) -> Iterator[Stub]:
    """A stub to a server, on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(app.address, options=options) as channel:
        yield Stub(channel)


def health_of(channel: grpc.Channel, name: str = "") -> int:
    """What gRPC's health service says of a server, or of a service."""
    request = health_pb2.HealthCheckRequest(service=name)
    return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status)


def call_without_a_message(channel: grpc.Channel, path: str) -> grpc.Future[bytes]:
    """A call whose message doesn't come while it goes on."""
    message = _NeverSent()
    message.call = channel.stream_unary(path).future(m for _ in [0] for m in message)
    return message.call


class _NeverSent:
    def __init__(self) -> None:
        self.call: grpc.Future[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + 30
        while time.monotonic() < end and not (self.call and self.call.done()):
            time.sleep(0.01)
        return iter(())


@contextmanager
def compilers_blocked(app: App) -> Iterator[Callable[[], None]]:
    """Keeps every compiling thread of a server busy, until the function is called."""
    begun, released = threading.Semaphore(0), threading.Event()

    def job() -> None:
        begun.release()
        released.wait(60)

    for _ in range(app.settings.compile_workers):
        app.compile_pool.submit(job)
    for _ in range(app.settings.compile_workers):
        assert begun.acquire(timeout=10)
    try:
        yield released.set
    finally:
        released.set()


def prepare_request(program: Program, **values: Any) -> pb.PrepareRequest:
    """A request to prepare a program."""
    defaults = {"program": encode_program(program), "precision": pb.PRECISION_HIGHEST}
    return pb.PrepareRequest(**{**defaults, **values})


def inputs(arrays: Sequence[Array]) -> list[pb.Input]:
    """Arrays as they travel."""
    return [pb.Input(tensor=encode_tensor(np.asarray(array))) for array in arrays]


def inline(program: Program, *arrays: Array, **values: Any) -> pb.ComputeRequest:
    """A request to run a program that comes with it."""
    request = prepare_request(program, **values)
    return pb.ComputeRequest(inline=request, inputs=inputs(arrays))


def outputs(response: pb.ComputeResponse) -> list[Array]:
    """The arrays of a reply."""
    return [decode_tensor(output.tensor, "outputs") for output in response.outputs]


def detail_of(error: grpc.RpcError) -> error_pb2.ErrorDetail:
    """The detail of a failed call."""
    for packed in rpc_status.from_call(error).details:
        detail = error_pb2.ErrorDetail()
        if packed.Unpack(detail):
            return detail
    raise AssertionError("the status holds no ErrorDetail")


def retry_delay_of(error: grpc.RpcError) -> float | None:
    """When the server wants the call to be tried again, in seconds."""
    for packed in rpc_status.from_call(error).details:
        info = error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            return float(info.retry_delay.ToNanoseconds() / 1e9)
    return None


@contextmanager
def refused(reason: str, code: str | None = None) -> Iterator[pytest.ExceptionInfo[grpc.RpcError]]:
    """A block that must fail with this reason, and code if given."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    detail = detail_of(caught.value)
    assert error_pb2.ErrorReason.Name(detail.reason) == f"ERROR_REASON_{reason}", caught.value
    if code is not None:
        assert caught.value.code().name == code
