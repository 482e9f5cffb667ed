"""gRPC's server, as it keeps within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from gradwire_server.config.settings import Settings
from gradwire_server.rpc.admission.service_pool import ServicePool


def make_grpc_server(
    settings: Settings,
    interceptors: list[grpc.ServerInterceptor],
    pools: Sequence[ServicePool],
) -> grpc.Server:
    """Makes a server that has no port yet.

    It has no ``maximum_concurrent_rpcs``: gRPC would reject calls that handlers
    have counted already, and never call these to count them out.
    """
    server = grpc.server(
        ThreadPoolExecutor(1),  # starts none: all handlers name threads of their own
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Calls that nobody has looked at yet wait in gRPC's core; past the
            # first number some are cancelled there, past the second all.
            ("grpc.server.max_pending_requests", settings.max_pending_calls // 2),
            ("grpc.server.max_pending_requests_hard_limit", settings.max_pending_calls),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its calls
            # Clients may ask every half minute whether a long call goes on, and
            # balancers between calls, too; callers who have vanished are found out.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ],
    )
    server.add_generic_rpc_handlers(tuple(pool.handler for pool in pools))
    return server
