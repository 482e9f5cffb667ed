"""One call: its identity and its time, over all attempts and messages."""

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


_CLOCK_SLACK = 0.05
# A server may see a call's deadline pass this many seconds earlier.


class Call:
    """What stays the same over the attempts of one call, and what counts up.

    Attributes:
        id: The call's id in our errors and in the server's log.
        route: The value of the metadata `gradwire-route`.
        deadline: When the call must have ended, by ``time.monotonic``.
        seconds: How much time it has been given.
        bound: What bounds that, for messages.
        attempts: How many there have been.
        headers: More metadata, by which a server finds the trace of the call.
    """

    def __init__(self, route: str, seconds: float, bound: str) -> None:
        self.id = os.urandom(16).hex()
        self.route = route
        self.deadline = time.monotonic() + seconds
        self.seconds = seconds
        self.bound = bound
        self.attempts = 0
        self.headers: tuple[tuple[str, str], ...] = ()

    def left(self) -> float:
        """Returns the seconds until the deadline; none are left if it is negative."""
        return self.deadline - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Gives the call more time."""
        self.deadline += seconds
        self.seconds += seconds

    def allowed(self) -> str:
        """Says how much time there was, for a message; empty while some of it is left.

        In that case another deadline has passed, such as a proxy's.
        """
        return "" if self.left() > _CLOCK_SLACK else f"{self.seconds:g} s, {self.bound}"

    def next_context(self) -> service_pb2.CallContext:
        """Returns the context of the next attempt."""
        context = service_pb2.CallContext(
            call_id=self.id, attempt=self.attempts, client_version=client_version()
        )
        self.attempts += 1
        return context
