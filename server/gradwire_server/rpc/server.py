"""The gRPC server: its bounds, and how it stops without losing a call."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from gradwire_server.config.settings import Settings
from gradwire_server.rpc.admission.receive_timeouts import HALF_SENT_SECONDS
from gradwire_server.rpc.admission.service_pool import ServicePool
from gradwire_server.rpc.auth.guard import Guard
from gradwire_server.rpc.health import Health
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.lifecycle import Lifecycle
from gradwire_server.start_error import StartError

_UNCOMPRESSED = 1 << 0
"""gRPC's set of compressions, a bit for each: only the first, which is none."""

_KINDS = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}

_HOLD_SECONDS = 0.05
"""Long enough for clients that call in sequence to make their next call, and for
clients to learn that the server ends."""


class GrpcServer:
    """The server of some pools. It is bound once, started once, and stopped once."""

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        pools: Sequence[ServicePool],
        lifecycle: Lifecycle,
        health: Health,
        note: Callable[[CallRecord], None],
    ) -> None:
        """Makes a server that has no port yet.

        Args:
            settings: Where it listens, and the bounds on its messages.
            guard: Decides who may call.
            pools: The services that it serves.
            lifecycle: Counts the calls in flight.
            health: The status that health checks and watches get.
            note: Called with the record of each call that ``guard`` refuses.
        """
        self._listen = settings.listen
        self._guard = guard
        self._pools = tuple(pools)
        self._lifecycle = lifecycle
        self._health = health
        self._server = _make_server(settings, guard.interceptors(note))
        self._server.add_generic_rpc_handlers(tuple(pool.handler for pool in pools))

    def bind(self) -> str:
        """Binds it to the address in the settings; returns its address, as a gRPC target.

        Raises:
            StartError: the address can't be bound.
        """
        _check_place(self._listen)
        try:
            port = self._guard.add_port(self._server)
        except RuntimeError as error:
            raise StartError(f"`listen` {self._listen} can't be bound: {error}") from error
        if self._listen.startswith("unix:"):
            return self._listen
        return f"{self._listen.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """Answers calls from now on; while ``lifecycle`` accepts none, with a refusal."""
        self._server.start()

    def stop(self, seconds: float) -> bool:
        """Refuses new calls, finishes those in flight, and stops.

        Args:
            seconds: How long calls in flight may take; then they are cancelled.

        Returns:
            Whether they have ended in time.
        """
        end = time.monotonic() + seconds
        self._lifecycle.drain()
        idle = self._lifecycle.wait_until_idle(max(end - time.monotonic(), 0.0))
        if idle:
            self._lifecycle.hold_refusals()
            time.sleep(_HOLD_SECONDS)
        stopped = self._server.stop(max(end - time.monotonic(), 0.0))
        self._health.end_watches()
        if idle:
            time.sleep(_HOLD_SECONDS)
            self._lifecycle.release_refusals()
        if not stopped.wait(HALF_SENT_SECONDS):
            for pool in self._pools:
                pool.cancel_arrivals()
            stopped.wait()
        for pool in self._pools:
            pool.stop()
        return idle


def _check_place(listen: str) -> None:
    """Checks what is at the path of a Unix socket.

    gRPC replaces the socket that a dead server has left; but also one of a server that
    lives, which then gets no calls any more. Anything else it leaves, and says only that
    it can't bind.

    Raises:
        StartError: a server listens there, or it is something else, such as a file.
    """
    path = listen.removeprefix("unix:")
    if path == listen:
        return
    with contextlib.suppress(OSError):  # there is nothing, or binding will fail and say why
        mode = os.lstat(path).st_mode
        if not stat.S_ISSOCK(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "no socket")
            raise StartError(
                f"`listen` must be the path of a socket, or of nothing yet; got {listen!r}, "
                f"which is {kind}"
            )
        with socket.socket(socket.AF_UNIX) as caller:
            caller.setblocking(False)
            # Refused where nobody listens; EAGAIN where too many callers wait already.
            if caller.connect_ex(path) in (0, errno.EAGAIN):
                raise StartError(f"`listen` must be free; got {listen!r}, where a server listens")


def _make_server(settings: Settings, interceptors: list[grpc.ServerInterceptor]) -> grpc.Server:
    """Makes gRPC's own server.

    It has no ``maximum_concurrent_rpcs``: gRPC would reject calls that admission
    has counted already, and not call the handlers that count their end.
    """
    return grpc.server(
        ThreadPoolExecutor(1),  # starts no thread: each handler names its own pool
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Compressed messages are refused: before 1.85 gRPC inflates them without a
            # bound, a thousand bytes from each, and then looks at their length.
            ("grpc.compression_enabled_algorithms_bitset", _UNCOMPRESSED),
            # Calls that no handler was asked for yet wait in gRPC's core; past
            # the first number some are cancelled there, past the second all.
            ("grpc.server.max_pending_requests", settings.max_pending_calls // 2),
            ("grpc.server.max_pending_requests_hard_limit", settings.max_pending_calls),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its calls
            # Clients may ping every half minute during a long call, and balancers
            # between calls, too; the server's own pings detect lost clients.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ],
    )
