"""One call of a caller's: its identity and its time, over all attempts and messages."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import time

from gradwire.v1 import service_pb2


@functools.cache
def client_version() -> str:
    """Returns the client's name and version; 0 in a tree that isn't installed."""
    try:
        version = importlib.metadata.version("gradwire")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return f"gradwire-python/{version}"


@functools.lru_cache(maxsize=64)
def program_key(program: bytes, precision: str) -> str:
    """Returns what names a program and its precision: 64 hexadecimal digits."""
    digest = hashlib.sha256(program)
    digest.update(precision.encode())
    return digest.hexdigest()


class Call:
    """What stays the same over the attempts of one call, and what counts up.

    Attributes:
        id: The call's id in our errors and in the server's log.
        route: The value of the metadata `gradwire-route`.
        deadline: When the call must have ended, by ``time.monotonic``.
        attempts: How many there have been.
        headers: More metadata, by which a server finds the trace of the call.
    """

    def __init__(self, route: str, seconds: float) -> None:
        self.id = os.urandom(16).hex()
        self.route = route
        self.deadline = time.monotonic() + seconds
        self.attempts = 0
        self.headers: tuple[tuple[str, str], ...] = ()

    def left(self) -> float:
        """Returns the seconds until the deadline; none are left if it is negative."""
        return self.deadline - time.monotonic()

    def next_context(self) -> service_pb2.CallContext:
        """Returns the context of the next attempt."""
        context = service_pb2.CallContext(
            call_id=self.id, attempt=self.attempts, client_version=client_version()
        )
        self.attempts += 1
        return context
