"""Prepares and computes: writes requests, reads answers, keeps plan ids and deadlines.

It must not import gRPC: a ``Transport`` carries the messages.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from gradwire.errors import (
    DeadlineError,
    InternalError,
    InvalidInputError,
    PlanNotFoundError,
    UnavailableError,
)
from gradwire.ir.precision import PRECISIONS
from gradwire.tensors import Array, decode_tensor, encode_tensor
from gradwire.transport import forks
from gradwire.transport.call import Call, program_key
from gradwire.transport.message_bound import MessageBound
from gradwire.transport.options import PREPARE_SECONDS, Options, check_timeout
from gradwire.transport.retry import Budgets, Failure, call_with_retries
from gradwire.transport.telemetry import trace_attempt, trace_call
from gradwire.v1 import service_pb2 as pb

Request: TypeAlias = pb.PrepareRequest | pb.ComputeRequest | pb.GetServerInfoRequest
Answer = TypeVar("Answer", pb.PrepareResponse, pb.ComputeResponse, pb.GetServerInfoResponse)

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["DerivativeService"].full_name
CONNECT_SECONDS = 5.0
"""Seconds within which a server must answer when a connection is made."""
MAX_REMEMBERED_PLANS = 4096

_RUN_BOUND = "the `timeout` of this call, which gw.connect, gw.remote or gw.prepare sets"

_MAX_MOVES = 8
# How often a program too large to travel inline is prepared for one call: behind
# a balancer, one server may prepare it and another be asked to run it.

_POLL_SECONDS = 10
# While it compiles, the server is polled this often, so that no proxy on the way
# ends the call for its silence.


class Transport(Protocol):
    """What carries one message to the server and its answer back. Thread-safe."""

    @property
    def target(self) -> str:
        """The address, for messages."""

    def attempt(self, call: Call, method: str, request: bytes, seconds: float) -> bytes | Failure:
        """Calls once.

        Args:
            call: What the attempt belongs to.
            method: The name of the method.
            request: The message to send. Its size is not bounded here.
            seconds: How long it may take.

        Returns:
            The message that came back, or how the attempt failed.
        """

    def close(self) -> None:
        """Closes it; calls in flight fail, and later ones as well."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one run.

    Attributes:
        outputs: One array for each result of the program; they are writable.
        non_finite: The number of elements of each that are NaN or infinite.
        timing: Where the server spent its time.
        plan_id: The plan that ran.
        replica_id: The server that answered.
        call_id: The call, as in the server's log.
    """

    outputs: list[Array]
    non_finite: tuple[int, ...]
    timing: pb.Timing
    plan_id: str
    replica_id: str
    call_id: str


class Exchange:
    """The calls of one connection, and the ids of its plans. Thread-safe."""

    def __init__(self, transport: Transport, options: Options) -> None:
        self._transport = transport
        self._options = options
        self._budgets = Budgets()
        self._bound = MessageBound()
        self._lock = threading.Lock()
        self._plan_ids: OrderedDict[str, str] = OrderedDict()
        forks.register(self)

    def after_fork(self) -> None:
        """Replaces the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def info(self) -> pb.GetServerInfoResponse:
        """Asks the server what it is. See ``Connection.info``."""
        key = program_key(b"", self._options.precision)
        call = self._new_call(key, CONNECT_SECONDS, "the time for connecting")
        try:
            info = self._send(
                call, "GetServerInfo", pb.GetServerInfoRequest(), pb.GetServerInfoResponse
            )
        except DeadlineError as error:
            raise UnavailableError(error.message, call_id=error.call_id) from None
        self._bound.learn(info)
        return info

    def prepare(self, program: bytes, batch_sizes: Sequence[int], timeout: float | None) -> pb.Plan:
        """Has a program compiled. See ``Connection.prepare``."""
        key = program_key(program, self._options.precision)
        if timeout is None:
            call = self._new_call(key, PREPARE_SECONDS, "the time for compiling")
        else:
            call = self._new_call(key, check_timeout(timeout), "the `timeout` of this call")
        with trace_call("prepare", call, self._transport.target):
            return self._prepare(program, key, call, batch_sizes)

    def compute(self, program: bytes, inputs: Sequence[Array], timeout: float | None) -> Reply:
        """Runs a program. See ``Connection.compute``."""
        self._bound.check(sum(array.nbytes for array in inputs))
        key = program_key(program, self._options.precision)
        more_seconds = PREPARE_SECONDS if timeout is None else 0.0
        seconds = self._options.timeout if timeout is None else check_timeout(timeout)
        call = self._new_call(key, seconds, _RUN_BOUND)
        with trace_call("compute", call, self._transport.target):
            return self._compute(program, inputs, key, call, more_seconds)

    def _compute(
        self,
        program: bytes,
        inputs: Sequence[Array],
        key: str,
        call: Call,
        more_seconds: float,
    ) -> Reply:
        plan_id = self._recall(key)
        if plan_id is None:
            plan_id = self._prepare_within(program, key, call, more_seconds)
        request = pb.ComputeRequest(plan_id=plan_id)
        for array in inputs:
            # Passed to the constructors, a large array would be copied four times more.
            request.inputs.add().tensor.CopyFrom(encode_tensor(array))
        try:
            response = self._send(call, "Compute", request, pb.ComputeResponse)
        except PlanNotFoundError:
            response = self._compute_anew(program, key, call, request, more_seconds)
        if response.plan_id != plan_id:
            self._remember(key, response.plan_id)
        return self._reply(response, call)

    def _prepare_within(self, program: bytes, key: str, call: Call, more_seconds: float) -> str:
        """Prepares as a part of a call, and moves its deadline by the time that took."""
        start = time.monotonic()
        deadline, seconds = call.deadline, call.seconds
        call.extend(more_seconds)
        plan_id = self._prepare(program, key, call, ()).id
        call.deadline = deadline + min(time.monotonic() - start, more_seconds)
        call.seconds = seconds
        call.attempts = 0
        return plan_id

    def _prepare(self, program: bytes, key: str, call: Call, batch_sizes: Sequence[int]) -> pb.Plan:
        request = self._prepare_request(program, batch_sizes)
        while True:
            response = self._send(call, "Prepare", request, pb.PrepareResponse)
            if response.HasField("plan"):
                self._remember(key, response.plan.id)
                return response.plan
            pause = max(response.poll_after.ToTimedelta().total_seconds(), 0.01)
            if pause >= call.left():
                raise DeadlineError(
                    f"`{self._transport.target}`: the program is still being compiled after "
                    f"{call.seconds:g} s, {call.bound}",
                    call_id=call.id,
                )
            time.sleep(pause)

    def _compute_anew(
        self, program: bytes, key: str, call: Call, request: pb.ComputeRequest, more_seconds: float
    ) -> pb.ComputeResponse:
        """Sends the program along: the server no longer holds its plan."""
        inline = self._prepare_request(program, ())
        fits = self._bound.allows(request.ByteSize() + inline.ByteSize() + 1024)
        if fits:
            request.inline.CopyFrom(inline)
            call.extend(more_seconds)
        for _ in range(1 if fits else _MAX_MOVES):
            if not fits:
                request.plan_id = self._prepare_within(program, key, call, more_seconds)
            try:
                return self._send(call, "Compute", request, pb.ComputeResponse)
            except PlanNotFoundError as error:
                forgotten = error
        text = f"`{self._transport.target}`: a plan was forgotten as soon as it was made"
        raise InternalError(text, call_id=call.id) from forgotten

    def _prepare_request(self, program: bytes, batch_sizes: Sequence[int]) -> pb.PrepareRequest:
        request = pb.PrepareRequest(
            program=program,
            precision=PRECISIONS[self._options.precision],
            batch_sizes=batch_sizes,
        )
        request.max_wait.FromSeconds(_POLL_SECONDS)
        return request

    def _new_call(self, key: str, seconds: float, bound: str) -> Call:
        return Call(self._options.affinity or key, seconds, bound)

    def _send(self, call: Call, method: str, request: Request, answer: type[Answer]) -> Answer:
        def attempt(left: float) -> Answer | Failure:
            request.context.CopyFrom(call.next_context())
            with trace_attempt(SERVICE_NAME, method, call, self._transport.target) as span:
                # Measured as bytes: ``ByteSize`` would write the message once more.
                data = request.SerializeToString()
                self._bound.check(len(data), call.id)
                received = self._transport.attempt(call, method, data, left)
                result = self._parse(received, call, answer)
                if span is not None and isinstance(result, Failure):
                    span.fail(result.error)
                return result

        return call_with_retries(attempt, deadline=call.deadline, budgets=self._budgets)

    def _parse(
        self, received: bytes | Failure, call: Call, answer: type[Answer]
    ) -> Answer | Failure:
        if isinstance(received, Failure):
            return received
        try:
            return answer.FromString(received)
        except DecodeError:
            text = f"`{self._transport.target}`: the answer is no {answer.DESCRIPTOR.name}"
            return Failure(InternalError(text, call_id=call.id))

    def _reply(self, response: pb.ComputeResponse, call: Call) -> Reply:
        try:
            # Copies, for the message's own bytes are read-only.
            outputs = [
                decode_tensor(output.tensor, f"outputs[{position}]").copy()
                for position, output in enumerate(response.outputs)
            ]
        except InvalidInputError as error:
            text = f"`{self._transport.target}`: an answer that can't be read: {error.message}"
            raise InternalError(text, call_id=call.id) from error
        return Reply(
            outputs,
            tuple(output.non_finite for output in response.outputs),
            response.timing,
            response.plan_id,
            response.replica_id,
            call.id,
        )

    def _recall(self, key: str) -> str | None:
        with self._lock:
            if key not in self._plan_ids:
                return None
            self._plan_ids.move_to_end(key)
            return self._plan_ids[key]

    def _remember(self, key: str, plan_id: str) -> None:
        with self._lock:
            self._plan_ids[key] = plan_id
            while len(self._plan_ids) > MAX_REMEMBERED_PLANS:
                self._plan_ids.popitem(last=False)
