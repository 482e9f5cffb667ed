"""gRPC's health service: whether calls are taken, for balancers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

NAME = "grpc.health.v1.Health"


class Health:
    """The status of each service by name; the empty name stands for the server.

    Not gRPC's own servicer: it sends to its watchers under a lock which gRPC's
    one thread needs to end a watch, and such a deadlock stops all serving.
    """

    def __init__(self) -> None:
        """Makes one without services."""
        self._changed = threading.Condition()
        self._statuses: dict[str, int] = {}
        self._ended = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns what a gRPC server registers."""
        coding = (HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString)
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, *coding),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, *coding),
            },
        )

    def set(self, status: int, *names: str) -> None:
        """Sets the status of services, and sends it to their watches."""
        with self._changed:
            self._statuses.update(dict.fromkeys(names, status))
            self._changed.notify_all()

    def set_serving(self, serving: bool, *names: str) -> None:
        """Sets whether calls are taken, for the server and for services."""
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        self.set(status, "", *names)

    def end_watches(self) -> None:
        """Ends every watch: an open one would delay the server's end by the whole grace."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _check(
        self, request: HealthCheckRequest, context: grpc.ServicerContext
    ) -> HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return HealthCheckResponse(status=status)

    def _watch(
        self, request: HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[HealthCheckResponse]:
        """Sends the status, and again whenever it changes."""
        context.add_callback(self._wake)
        told = None
        while context.is_active():
            status = self._wait_for_news(request.service, told, context)
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            elif self._ended:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the server ends")

    def _wait_for_news(self, name: str, told: int | None, context: grpc.ServicerContext) -> int:
        """Waits for a status other than ``told``, or the end; returns the status."""

        def status() -> int:
            return self._statuses.get(name, HealthCheckResponse.SERVICE_UNKNOWN)

        with self._changed:
            self._changed.wait_for(
                lambda: status() != told or self._ended or not context.is_active()
            )
            return status()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
