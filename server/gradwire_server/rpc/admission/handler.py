"""Accepts calls, or refuses those over a bound before their messages are read.

It wraps the handlers of any service, and must not import what answers the calls.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeAlias

import grpc

from gradwire.errors import OverloadedError
from gradwire_server.rpc.admission.bounds import Admission, Bound
from gradwire_server.rpc.admission.receive_timeouts import ReceiveTimeouts
from gradwire_server.rpc.admission.refusals import refusing_handler, run_in
from gradwire_server.rpc.admission.unread_replies import UnreadReplies
from gradwire_server.rpc.peers import host_of
from gradwire_server.rpc.status import describe, to_grpc
from gradwire_server.serving.call_record import CallRecord

MAX_REFUSALS_PER_SECOND = 500
"""More are left to gRPC's core, which cancels calls while its queue of pending calls is
full. Such a status doesn't say when to retry, but takes 14 µs of a core where a refusal
takes 100 (measured with h2load): without this bound refusing took a third of a core at
five times what the server could compute."""

_REFUSALS_AT_ONCE = 20
_LOG_PERIOD_SECONDS = 1.0
_SAME_ANSWER_SECONDS = 0.01
"""For so long refusals have the same status: to write one takes as long as to send one."""

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context: TypeAlias = grpc.ServicerContext


class AdmissionHandler(grpc.GenericRpcHandler):
    """Wraps the handlers of a service.

    gRPC asks for a handler in its own thread, before it reads the message, and
    a refusal is sent from that thread. To gRPC all methods are ones with a
    stream of requests, since it reads the one message of the others before it
    calls a handler; on the wire there is no difference.
    """

    def __init__(
        self,
        service: grpc.GenericRpcHandler,
        admission: Admission,
        expected_wait: Callable[[], float],
        note: Callable[[CallRecord], None],
        timeouts: ReceiveTimeouts,
        unread: UnreadReplies,
        threads: ThreadPoolExecutor,
    ) -> None:
        """Makes a handler.

        Args:
            service: The service whose handlers are wrapped.
            admission: Counts the calls. Each handler that ``service`` returns must
                be called, or its place would be lost: so the server must have no
                bound of its own, such as ``maximum_concurrent_rpcs``.
            expected_wait: Returns after how many seconds a refused call should be retried.
            note: Called with the record of each call that is refused, or cancelled
                because its message does not arrive.
            timeouts: Cancels calls whose message does not arrive in time.
            unread: Bounds the replies that are not read.
            threads: Run the calls; as many as ``admission`` accepts.
        """
        self._service = service
        self._timeouts = timeouts
        self._unread = unread
        self._threads = threads
        self._admission = admission
        self._expected_wait = expected_wait
        self._note = note
        self._entrances: dict[str, _Handler] = {}
        self._refusals: dict[tuple[str, Bound], _Refusal] = {}
        self._next_refusal_at = 0.0
        self._logged_cut_at = -math.inf

    def service(self, details: grpc.HandlerCallDetails) -> _Handler | None:
        """Returns the handler of a call; gRPC calls this from one thread only."""
        path = details.method
        entrance = self._entrances.get(path)
        if entrance is None:
            handler = self._service.service(details)
            if handler is None:
                return None
            entrance = self._entrances[path] = self._entrance(path, handler)
        method = _name(path)
        bound = self._admission.enter(method)
        if bound is None:
            return entrance
        of_method = None if bound is self._admission.all_calls else method
        if bound.most and self._timeouts.make_room(bound.most, of_method):
            self._admission.take_over(method)
            return entrance
        self._pace()
        return self._refusal(path, bound)

    def _pace(self) -> None:
        """Delays gRPC's thread if there have been too many refusals lately."""
        now = time.monotonic()
        earliest = now - _REFUSALS_AT_ONCE / MAX_REFUSALS_PER_SECOND
        self._next_refusal_at = max(self._next_refusal_at, earliest) + 1 / MAX_REFUSALS_PER_SECOND
        if self._next_refusal_at > now:
            time.sleep(self._next_refusal_at - now)

    def _entrance(self, path: str, handler: _Handler) -> _Handler:
        method = _name(path)
        coding = (handler.request_deserializer, handler.response_serializer)
        behave: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
        read = self._arriving if handler.request_streaming else self._only

        def answer(requests: Iterator[Any], context: _Context) -> Any:
            try:
                reply = behave(read(method, requests, context), context)
            finally:
                self._admission.leave(method)
            self._await_reading(reply, context)
            return reply

        def stream(requests: Iterator[Any], context: _Context) -> Iterator[Any]:
            try:
                yield from behave(read(method, requests, context), context)
            finally:
                self._admission.leave(method)

        if handler.response_streaming:
            run_in(self._threads, stream)
            return grpc.stream_stream_rpc_method_handler(stream, *coding)
        run_in(self._threads, answer)
        return grpc.stream_unary_rpc_method_handler(answer, *coding)

    def _only(self, method: str, requests: Iterator[Any], context: _Context) -> Any:
        """Returns the message of a call that has one."""
        message = next(self._arriving(method, requests, context), None)
        if message is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the method takes one request")
        return message

    def _arriving(self, method: str, requests: Iterator[Any], context: _Context) -> Iterator[Any]:
        """Passes messages on; a call whose message doesn't arrive in time is cancelled."""
        peer = host_of(context.peer())
        while True:
            arrival = self._timeouts.begin(method, peer, lambda: self._cut(method, context))
            try:
                message = next(requests, None)
            finally:
                self._timeouts.end(arrival)
            if message is None:
                return
            yield message

    def _await_reading(self, reply: Any, context: _Context) -> None:
        """Counts a reply until gRPC has sent it."""
        length = len(reply) if isinstance(reply, bytes) else 0  # else a short one, of health
        unread = self._unread.begin(host_of(context.peer()), length, context.cancel)
        if not context.add_callback(lambda: self._unread.end(unread)):
            self._unread.end(unread)  # the call has ended already

    def _cut(self, method: str, context: _Context) -> None:
        """Cancels a call whose message does not arrive. One in a while is logged with its peer."""
        now = time.monotonic()
        due = now - self._logged_cut_at >= _LOG_PERIOD_SECONDS
        if due:
            self._logged_cut_at = now
        self._note(
            CallRecord(
                method,
                status=grpc.StatusCode.CANCELLED.name,
                limit="max_receive_seconds",
                peer=context.peer() if due else "",
                unread=True,
            )
        )
        context.cancel()

    def _refusal(self, path: str, bound: Bound) -> _Handler:
        key = (path, bound)
        refusal = self._refusals.get(key)
        if refusal is None:
            refusal = _Refusal(_name(path), bound, self._expected_wait, self._note)
            self._refusals[key] = refusal
        return refusal.handler


class _Refusal:
    """What a method answers while a bound is reached."""

    def __init__(
        self,
        method: str,
        bound: Bound,
        expected_wait: Callable[[], float],
        note: Callable[[CallRecord], None],
    ) -> None:
        self._method = method
        self._bound = bound
        self._expected_wait = expected_wait
        self._note = note
        self._status: grpc.Status | None = None
        self._made_at = 0.0
        self.handler: _Handler = refusing_handler(self._abort)

    def _abort(self, context: _Context) -> NoReturn:
        now = time.monotonic()
        if self._status is None or now - self._made_at > _SAME_ANSWER_SECONDS:
            self._status, self._made_at = self._write(), now
        self._note(
            CallRecord(
                self._method,
                status=self._status.code.name,
                reason="OVERLOADED",
                limit=self._bound.limit,
                unread=True,
            )
        )
        context.abort_with_status(self._status)

    def _write(self) -> grpc.Status:
        limit, allowed = self._bound.limit, self._bound.allowed
        error = OverloadedError(
            f"`{limit}` is {allowed} on this server, {self._bound.text}",
            metadata={"limit": limit, "allowed": str(allowed)},
            retry_after=self._expected_wait(),
        )
        return to_grpc(describe(error, "")[0])  # its message was not read, so its id isn't known


def _name(path: str) -> str:
    return path.rpartition("/")[2]
