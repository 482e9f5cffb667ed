"""A real gRPC server without JAX: it answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gradwire.errors import REASONS
from gradwire.opset import OPSET_VERSION
from gradwire.v1 import error_pb2, service_pb2, service_pb2_grpc

Answer = Message | Callable[[Any, grpc.ServicerContext], Message]


@dataclass(frozen=True)
class Asked:
    """One request that the server has got."""

    method: str
    request: Any
    metadata: Mapping[str, Any]
    seconds: float | None
    at: float = field(default_factory=time.monotonic)


class ScriptedServer(service_pb2_grpc.DerivativeServiceServicer):
    """Each method gives the answers that were scripted for it, then its usual one.

    Usually Prepare answers with a plan, and Compute with the inputs of the request.
    """

    def __init__(
        self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.asked: list[Asked] = []
        self._script: dict[str, deque[Answer]] = defaultdict(deque)
        self._always: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(32),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", 64 * 2**20),
                ("grpc.max_send_message_length", -1),
                # As our servers have it; a balancer's signs of life are not too many.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
        )
        service_pb2_grpc.add_DerivativeServiceServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        self.target = address if address.startswith("unix:") else f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends at once, calls in flight included."""
        self._server.stop(None).wait()

    def then(self, method: str, *answers: Answer) -> None:
        """Scripts the next answers of a method."""
        self._script[method].extend(answers)

    def always(self, method: str, answer: Answer) -> None:
        """Replaces the usual answer of a method."""
        self._always[method] = answer

    def requests(self, method: str) -> list[Any]:
        """The requests to a method so far."""
        return [asked.request for asked in self.asked if asked.method == method]

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Prepare", request, context, _plan)

    def Compute(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Compute", request, context, _echo)

    def GetServerInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("GetServerInfo", request, context, info())

    def _answer(
        self, method: str, request: Any, context: grpc.ServicerContext, usual: Answer
    ) -> Message:
        metadata = dict(context.invocation_metadata())
        with self._lock:
            self.asked.append(Asked(method, request, metadata, context.time_remaining()))
            script = self._script[method]
            answer = script.popleft() if script else self._always.get(method, usual)
        return answer(request, context) if callable(answer) else answer


def plan_id(program: bytes) -> str:
    """The id that the server gives to a program's plan."""
    return hashlib.md5(program).hexdigest()


def info(*opsets: int) -> service_pb2.GetServerInfoResponse:
    """What a server of our opset says, or of others."""
    return service_pb2.GetServerInfoResponse(
        server_version="7.0", opsets=opsets or [OPSET_VERSION], replica_id="scripted"
    )


def detailed(
    reason: int,
    *,
    code: grpc.StatusCode | None = None,
    text: str = "as scripted",
    retry_after: float | None = None,
    **detail: Any,
) -> Answer:
    """A failure as our servers report it."""
    if code is None:
        code = grpc.StatusCode[REASONS[reason].status]
    details: list[Message] = [error_pb2.ErrorDetail(reason=reason, **detail)]
    if retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=text)
    for message in details:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    return lambda request, context: context.abort_with_status(rpc_status.to_status(status))


def bare(code: grpc.StatusCode, text: str = "as scripted") -> Answer:
    """A failure that no server of ours wrote."""
    return lambda request, context: context.abort(code, text)


def after(seconds: float) -> Answer:
    """An echo that takes its time; it ends early when the call does."""

    def answer(request: Any, context: grpc.ServicerContext) -> Message:
        end = time.monotonic() + seconds
        while time.monotonic() < end and context.is_active():
            time.sleep(0.01)
        return _echo(request, context)

    return answer


def _plan(request: Any, context: grpc.ServicerContext) -> Message:
    return service_pb2.PrepareResponse(
        plan=service_pb2.Plan(id=plan_id(request.program)), replica_id="scripted"
    )


def _echo(request: Any, context: grpc.ServicerContext) -> Message:
    return service_pb2.ComputeResponse(
        outputs=[service_pb2.Output(tensor=entry.tensor) for entry in request.inputs],
        plan_id=request.plan_id or plan_id(request.inline.program),
        replica_id="scripted",
    )
