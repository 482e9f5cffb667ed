"""The services of gRPC's own beside ours, health and reflection, and their admission.

Health is asked for without a token, so that anybody who reaches the port can call. This
keeps such callers from taking the threads and places of other calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc import health
from gradwire_server.rpc.admission.bounds import Admission, Bound
from gradwire_server.rpc.admission.handler import AdmissionHandler
from gradwire_server.rpc.admission.receive_timeouts import ReceiveTimeouts
from gradwire_server.serving.call_record import CallRecord

LONGEST_SILENCE_SECONDS = 10.0
"""How long a message may take to arrive. They are small."""

_REFLECT = "ServerReflectionInfo"


class SideServices:
    """Health and reflection.

    Attributes:
        handler: What a gRPC server registers.
    """

    def __init__(
        self,
        health_service: health.Health,
        names: Sequence[str],
        max_calls: int,
        note: Callable[[CallRecord], None],
        watchdog: Watchdog,
        silence: float = LONGEST_SILENCE_SECONDS,
    ) -> None:
        """Makes them, and the threads that work on their calls.

        Args:
            health_service: What knows the health.
            names: The other services, which reflection tells of.
            max_calls: How many calls may be inside.
            note: Called with the record of each call that is refused.
            watchdog: Has the calls looked at whose message is missing.
            silence: How long a message may take to arrive, in seconds.
        """
        self._threads = ThreadPoolExecutor(max_calls, thread_name_prefix="side")
        self._arrivals = ReceiveTimeouts(silence, watchdog)
        few = Bound(
            "max_side_calls",
            max_calls,
            max(max_calls // 4, 1),
            "a quarter of which may be of this method, and as many are",
        )
        self.handler = AdmissionHandler(
            _Handlers(health_service.handlers(), _reflection_of(names)),
            Admission(
                Bound("max_side_calls", max_calls, max_calls), {"Watch": few, _REFLECT: few}, {}
            ),
            lambda: 0.0,
            note,
            self._arrivals,
            self._threads,
        )

    def stop(self) -> None:
        """Ends the threads, once the calls have ended."""
        self._threads.shutdown(wait=False)


class _Handlers(grpc.GenericRpcHandler):
    """Several as one."""

    def __init__(self, *parts: grpc.GenericRpcHandler) -> None:
        self._parts = parts

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns the handler of the first that has one."""
        return next(filter(None, (part.service(details) for part in self._parts)), None)


def _reflection_of(names: Sequence[str]) -> grpc.GenericRpcHandler:
    servicer = reflection.ReflectionServicer((*names, health.NAME, reflection.SERVICE_NAME))
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {_REFLECT: method})
