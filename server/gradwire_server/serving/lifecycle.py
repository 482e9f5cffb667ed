"""Whether the server takes calls, and how many it has."""

from __future__ import annotations

import threading
from enum import StrEnum

from gradwire.errors import OverloadedError, UnavailableError

_LONGEST_HOLD = 2.0
"""Seconds; nobody is held for ever, whatever goes wrong."""


class State(StrEnum):
    """What the server does. One that leaves still takes calls, and asks for none."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"
    DRAINING = "draining"


class Lifecycle:
    """The state of the server and its calls in flight."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._max_bytes = max_bytes
        self._calls = 0
        self._bytes = 0
        self._state = State.STARTING
        self._refusing = threading.Event()
        self._refusing.set()

    @property
    def state(self) -> State:
        """The state."""
        return self._state

    @property
    def calls(self) -> int:
        """The calls that are being worked on."""
        return self._calls

    @property
    def bytes_in_flight(self) -> int:
        """The bytes of their requests."""
        return self._bytes

    def serve(self) -> None:
        """Takes calls from now on."""
        with self._lock:
            self._state = State.SERVING

    def leave_rotation(self) -> bool:
        """Says that this server is about to drain, and goes on taking calls.

        Returns:
            Whether it was serving.
        """
        with self._lock:
            serving = self._state is State.SERVING
            if serving:
                self._state = State.LEAVING
            return serving

    def drain(self) -> None:
        """Takes no more calls."""
        with self._lock:
            self._state = State.DRAINING

    def hold_refusals(self) -> None:
        """Has callers wait for their refusal, until ``release_refusals``.

        gRPC cancels a call that arrives between the end of a server and the
        client's learning of it. A caller who waits for an answer makes no such
        call, so callers are held while the server is ended.
        """
        self._refusing.clear()

    def release_refusals(self) -> None:
        """Lets the callers go who were held."""
        self._refusing.set()

    def enter(self, size: int) -> None:
        """Counts a call that begins. Each enter is followed by one leave.

        One call is taken at least, whatever its size.

        Args:
            size: The bytes of its request.

        Raises:
            UnavailableError: the server doesn't take calls.
            OverloadedError: the calls that it has hold too many bytes.
        """
        with self._lock:
            room = not self._calls or self._bytes + size <= self._max_bytes
            takes_calls = self._state in (State.SERVING, State.LEAVING)
            if takes_calls and room:
                self._calls += 1
                self._bytes += size
                return
        if takes_calls:
            raise OverloadedError(
                f"`max_bytes_in_flight` is {self._max_bytes} on this server, and its calls "
                "have as many",
                metadata={"limit": "max_bytes_in_flight", "allowed": str(self._max_bytes)},
            )
        self._refusing.wait(_LONGEST_HOLD)
        raise UnavailableError(f"the server is {self._state}")

    def leave(self, size: int) -> None:
        """Counts a call that has ended."""
        with self._lock:
            self._calls -= 1
            self._bytes -= size
            if not self._calls:
                self._idle.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Waits until there are no calls; returns False if there still are some."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._calls, seconds)
