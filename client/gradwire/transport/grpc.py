"""Sends messages over gRPC, one attempt each. Must not retry."""

from __future__ import annotations

import threading
from typing import Any

from gradwire.transport import forks  # isort: skip  # with the environment that grpc reads

import grpc

from gradwire.errors import UnavailableError
from gradwire.transport.call import Call, client_version
from gradwire.transport.caller import CALLER_METADATA
from gradwire.transport.credentials import Credentials
from gradwire.transport.retry import Failure
from gradwire.transport.status import failure_of
from gradwire.transport.stub import SERVICE_NAME
from gradwire.transport.target import is_local

KEEPALIVE_SECONDS = 30
"""Seconds of silence during a call after which the server is pinged."""

_CLOSED = "this connection is closed"
_BROKEN_BY_FORK = (
    "this process was forked while gRPC was running, without its support or in the middle of a "
    "call. Start workers by 'spawn', or import gradwire before grpc so that it can prepare gRPC "
    "(GRPC_ENABLE_FORK_SUPPORT=1)"
)


class Channel:
    """A transport to one address, dialled at the first call.

    Args:
        target: Where the server listens, such as ``gpu-box:8701`` or ``unix:/path``.
        credentials: Certificates and token; none by default.
    """

    def __init__(self, target: str, credentials: Credentials | None = None) -> None:
        self.target = target
        self._credentials = credentials or Credentials()
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._closed = False
        forks.register(self)

    def after_fork(self) -> None:
        """Leaves the connection to the parent; the next call dials anew."""
        self._lock = threading.Lock()
        self._channel = None
        self._methods = {}

    def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        with self._lock:
            self._closed = True
            channel, self._channel, self._methods = self._channel, None, {}
        if channel is not None:
            channel.close()

    def attempt(self, call: Call, method: str, request: bytes, seconds: float) -> bytes | Failure:
        """Calls once. See ``Transport``."""
        if forks.GATE.broken:
            return self._unavailable(_BROKEN_BY_FORK, call)
        metadata = [("gradwire-route", call.route), CALLER_METADATA, *call.headers]
        if self._credentials.token is not None:
            metadata.append(("authorization", f"Bearer {self._credentials.token()}"))
        with forks.GATE:
            try:
                received: bytes = self._method(method)(
                    request, timeout=max(seconds, 0.001), metadata=metadata
                )
                return received
            except grpc.RpcError as error:
                if self._closed:
                    return self._unavailable(_CLOSED, call)
                encrypted = self._credentials.certificates is not None
                return failure_of(
                    error,
                    target=self.target,
                    call_id=call.id,
                    encrypted=encrypted,
                    allowed=call.allowed(),
                )
            except ValueError:  # gRPC raises it for a channel closed meanwhile
                if not self._closed:
                    raise
                return self._unavailable(_CLOSED, call)

    def _method(self, name: str) -> Any:
        method = self._methods.get(name)
        if method is not None:
            return method
        with self._lock:
            if self._closed:
                raise ValueError(_CLOSED)
            if self._channel is None:
                self._channel = dial(self.target, self._credentials)
            # Bytes in, bytes out: the size of a request is checked after it is serialised.
            method = self._methods[name] = self._channel.unary_unary(f"/{SERVICE_NAME}/{name}")
            return method

    def _unavailable(self, text: str, call: Call) -> Failure:
        return Failure(UnavailableError(f"`{self.target}`: {text}", call_id=call.id))


def dial(target: str, credentials: Credentials) -> grpc.Channel:
    """Returns gRPC's channel to an address; it connects at the first call."""
    options = channel_options(target)
    certificates = credentials.certificates
    if certificates is None:
        return grpc.insecure_channel(target, options)
    if certificates.server_name is not None:
        options.append(("grpc.ssl_target_name_override", certificates.server_name))
    return grpc.secure_channel(
        target,
        grpc.ssl_channel_credentials(certificates.ca, certificates.key, certificates.cert),
        options,
    )


def channel_options(target: str) -> list[tuple[str, Any]]:
    """Returns gRPC's options for an address."""
    options: list[tuple[str, Any]] = [
        # Not bounded here. These options can't be changed once the channel is
        # made, and the server reports its bound only then: requests are held to
        # it before they are sent, answers by the server. To bound answers by what
        # the server itself reports would protect against no server.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.primary_user_agent", client_version()),
        # Retries are ours: gRPC's own stop silently above 256 KiB of request,
        # and a resolver must not add others.
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        # Two connections share nothing, the pause after a failure included.
        ("grpc.use_local_subchannel_pool", 1),
        # A server that restarts is found soon; an attempt at one that drops
        # packets ends in time for another.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.min_reconnect_backoff_ms", 5_000),
    ]
    if is_local(target):
        options.append(("grpc.enable_http_proxy", 0))
    else:
        options += [
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ]
    return options
