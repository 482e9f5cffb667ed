"""Where calls come in, as gRPC has it: those that are too many are answered unread.

It stands before a service, and knows nothing of what the calls are about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from gradwire.errors import OverloadedError
from gradwire_server.admission import Admission, Bound
from gradwire_server.arrivals import Arrivals
from gradwire_server.record import CallRecord
from gradwire_server.status import describe, to_grpc

MAX_REFUSALS_PER_SECOND = 500
"""More are left to gRPC's core, which cancels calls while its queue of those that nobody
has looked at is full. That says nothing of when to come again, but takes 14 µs of a core
where a refusal takes 100 (measured with h2load): without this bound refusing took a third
of a core at five times what it could compute."""

_REFUSALS_AT_ONCE = 20
_SAME_ANSWER_SECONDS = 0.01
"""For so long those who are refused get the same answer: to write one takes as long as to
send one."""

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]


class Door(grpc.GenericRpcHandler):
    """Wraps the handlers of a service.

    gRPC asks for a handler in its own thread, before it reads the message. A
    refusal is sent right there: no message is received and no other thread
    woken, which would take twice the time. To gRPC the methods are ones with a
    stream of requests, since it reads the one message of the others before a
    handler can say a word; on the wire there is no difference.
    """

    def __init__(
        self,
        service: grpc.GenericRpcHandler,
        admission: Admission,
        expected_wait: Callable[[], float],
        note: Callable[[CallRecord], None],
        arrivals: Arrivals,
    ) -> None:
        """Makes a door.

        Args:
            service: What is behind it: handlers of one request and one reply.
            admission: Who may come in. A handler that ``service`` has returned
                is always called, or its place would be lost.
            expected_wait: In how many seconds there should be room again.
            note: Called with the record of each call that is refused.
            arrivals: Looks after those whose message is on its way.
        """
        self._service = service
        self._arrivals = arrivals
        self._admission = admission
        self._expected_wait = expected_wait
        self._note = note
        self._entrances: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        self._refusals: dict[tuple[str, str], _Refusal] = {}
        self._next_refusal_at = 0.0

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns what answers a call; gRPC calls this from one thread only."""
        path = details.method
        entrance = self._entrances.get(path)
        if entrance is None:
            handler = self._service.service(details)
            if handler is None or handler.unary_unary is None:
                return handler
            entrance = self._entrances[path] = self._entrance(path, handler.unary_unary)
        bound = self._admission.enter(_name(path))
        if bound is None:
            return entrance
        self._pace()
        return self._refusal(path, bound)

    def _pace(self) -> None:
        """Holds gRPC's thread up if there have been too many refusals lately."""
        now = time.monotonic()
        earliest = now - _REFUSALS_AT_ONCE / MAX_REFUSALS_PER_SECOND
        self._next_refusal_at = max(self._next_refusal_at, earliest) + 1 / MAX_REFUSALS_PER_SECOND
        if self._next_refusal_at > now:
            time.sleep(self._next_refusal_at - now)

    def _entrance(self, path: str, behaviour: Behaviour) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = _name(path)

        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            try:
                data = self._receive(requests, context)
                if data is None:
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} takes one request")
                return behaviour(data, context)
            finally:
                self._admission.leave(method)

        return grpc.stream_unary_rpc_method_handler(answer)

    def _receive(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        arrival = self._arrivals.begin(context.cancel)
        try:
            return next(requests, None)
        finally:
            self._arrivals.end(arrival)

    def _refusal(self, path: str, bound: Bound) -> grpc.RpcMethodHandler[bytes, bytes]:
        key = (path, bound.limit)
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
        self._reason = ""
        self._made_at = 0.0

        def refuse(requests: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
            self._abort(context)

        # The attribute is gRPC's own; without it a refusal would only cost more.
        refuse.experimental_thread_pool = _IN_PLACE  # type: ignore[attr-defined]
        self.handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
            refuse
        )

    def _abort(self, context: grpc.ServicerContext) -> NoReturn:
        now = time.monotonic()
        if self._status is None or now - self._made_at > _SAME_ANSWER_SECONDS:
            self._status, self._made_at = self._write(), now
        self._note(
            CallRecord(
                self._method,
                status=self._status.code.name,
                reason="OVERLOADED",
                limit=self._bound.limit,
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
        return to_grpc(describe(error, "")[0])  # it was not read, so its id isn't known


class _InPlace(ThreadPoolExecutor):
    """Runs what it is given at once, in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


_IN_PLACE = _InPlace(1)  # starts no thread


def _name(path: str) -> str:
    return path.rpartition("/")[2]
