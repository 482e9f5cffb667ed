"""Handlers that refuse a call at once, unread, at a fraction of what an answer costs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn

import grpc


def refusing_handler(
    refuse: Callable[[grpc.ServicerContext], NoReturn],
) -> grpc.RpcMethodHandler[bytes, bytes]:
    """Returns a handler of calls of any kind that does nothing but refuse them.

    It runs in the thread in which gRPC asks for handlers, so ``refuse`` must
    not wait for anything: no message is received and no other thread woken,
    which would take twice the time.

    Args:
        refuse: Aborts the call.
    """

    def answer(requests: object, context: grpc.ServicerContext) -> NoReturn:
        refuse(context)

    run_in(_IN_PLACE, answer)
    # Of a method with a stream of requests gRPC leaves it to us to read them.
    return grpc.stream_unary_rpc_method_handler(answer)


def run_in(threads: ThreadPoolExecutor, behaviour: Any) -> None:
    """Has gRPC run a handler's function in these threads instead of the server's."""
    behaviour.experimental_thread_pool = threads  # gRPC's own; it has no other way


class _InPlace(ThreadPoolExecutor):
    """Runs what is submitted at once, in the submitting thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


_IN_PLACE = _InPlace(1)  # starts no thread
