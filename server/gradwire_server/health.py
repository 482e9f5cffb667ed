"""The standard health service, whose watches can be ended."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2


class Health(health.HealthServicer):
    """The standard health service, whose watches can be ended."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[grpc.ServicerContext] = set()

    def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,
    ) -> Any:
        """Sends the status whenever it changes."""
        self._watches.add(context)
        if not context.add_callback(lambda: self._watches.discard(context)):
            self._watches.discard(context)  # it has ended already
        return super().Watch(request, context, send_response_callback)

    def end_watches(self) -> None:
        """Ends every watch: one that is open would hold the server for its whole grace."""
        for context in list(self._watches):
            context.cancel()
