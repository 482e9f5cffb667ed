"""A group of services with threads, bounds and receive timeouts of its own.

Knows nothing of what the services do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.bounds import Admission
from gradwire_server.rpc.admission.handler import AdmissionHandler
from gradwire_server.rpc.admission.receive_timeouts import ReceiveTimeouts
from gradwire_server.serving.call_record import CallRecord


def _no_wait() -> float:
    return 0.0


class ServicePool:
    """The threads that work on the calls of some services, and what keeps others out.

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
        watchdog: Watchdog,
        note: Callable[[CallRecord], None],
        expected_wait: Callable[[], float] = _no_wait,
    ) -> None:
        """Makes a pool. Its threads start when there are calls.

        Args:
            name: That of its threads.
            services: The services; a call goes to the first that has its method.
            admission: Which calls are taken. There is a thread for each.
            receive_seconds: How long a message may take to arrive.
            watchdog: Has the calls looked at whose message is missing, while it runs.
            note: Called with the record of each call that is refused.
            expected_wait: In how many seconds a call that is refused had better come again.
        """
        self._threads = ThreadPoolExecutor(admission.max_calls, thread_name_prefix=name)
        self.handler = AdmissionHandler(
            _Services(services),
            admission,
            expected_wait,
            note,
            ReceiveTimeouts(receive_seconds, watchdog),
            self._threads,
        )

    def stop(self) -> None:
        """Lets the threads end, once the calls that they work on have ended."""
        self._threads.shutdown(wait=False)


class _Services(grpc.GenericRpcHandler):
    """Several services as one."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler]) -> None:
        self._services = tuple(services)

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns the handler of the first that has one."""
        return next(filter(None, (part.service(details) for part in self._services)), None)
