"""A group of services with threads, bounds and receive timeouts of its own.

It must not import the services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.bounds import Admission
from gradwire_server.rpc.admission.handler import AdmissionHandler
from gradwire_server.rpc.admission.receive_timeouts import MessageMemory, ReceiveTimeouts
from gradwire_server.rpc.admission.unread_replies import UnreadReplies
from gradwire_server.serving.call_record import CallRecord


def _no_wait() -> float:
    return 0.0


class ServicePool:
    """The threads that run the calls of some services, and the bounds on these calls.

    Calls of one pool take neither threads nor places from those of another.

    Attributes:
        handler: What a gRPC server registers.
    """

    def __init__(
        self,
        name: str,
        services: Sequence[grpc.GenericRpcHandler],
        admission: Admission,
        receive_seconds: float,
        memory: MessageMemory,
        watchdog: Watchdog,
        note: Callable[[CallRecord], None],
        expected_wait: Callable[[], float] = _no_wait,
    ) -> None:
        """Makes a pool. Its threads start when there are calls.

        Args:
            name: The name of its threads.
            services: The services; a call goes to the first that has its method.
            admission: Counts the calls. There is a thread for each that it accepts.
            receive_seconds: How long a message may take to arrive.
            memory: What messages may hold that are on their way.
            watchdog: Checks the calls whose message has not arrived, while it runs.
            note: Called with the record of each call that is refused.
            expected_wait: Returns after how many seconds a refused call should be retried.
        """
        self._timeouts = ReceiveTimeouts(receive_seconds, watchdog, memory)
        self._threads = ThreadPoolExecutor(admission.all_calls.most, thread_name_prefix=name)
        self.handler = AdmissionHandler(
            _Services(services),
            admission,
            expected_wait,
            note,
            self._timeouts,
            UnreadReplies(memory.spared_bytes, memory.is_short, watchdog),
            self._threads,
        )

    def cancel_arrivals(self) -> None:
        """Cancels the calls whose message has not arrived."""
        self._timeouts.cancel_all()

    def stop(self) -> None:
        """Lets the threads end once their calls have ended."""
        self._threads.shutdown(wait=False)


class _Services(grpc.GenericRpcHandler):
    """Several services as one."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler]) -> None:
        self._services = tuple(services)

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns the handler of the first service that has one."""
        return next(filter(None, (part.service(details) for part in self._services)), None)
