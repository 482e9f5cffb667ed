"""Whether the server accepts calls, and how many are in flight."""

from __future__ import annotations

import threading
from enum import StrEnum

from gradwire.errors import OverloadedError, UnavailableError

_LONGEST_HOLD = 2.0
"""Seconds; no caller is held for ever, whatever fails."""


class State(StrEnum):
    """What the server does. In LEAVING it still accepts calls, but reports that it doesn't."""

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
        """The number of calls in progress."""
        return self._calls

    @property
    def bytes_in_flight(self) -> int:
        """The bytes of their requests."""
        return self._bytes

    def serve(self) -> None:
        """Accepts calls from now on."""
        with self._lock:
            self._state = State.SERVING

    def leave_rotation(self) -> bool:
        """Reports that this server is about to drain, and goes on accepting calls.

        Returns:
            Whether it was serving.
        """
        with self._lock:
            serving = self._state is State.SERVING
            if serving:
                self._state = State.LEAVING
            return serving

    def drain(self) -> None:
        """Accepts no more calls."""
        with self._lock:
            self._state = State.DRAINING

    def hold_refusals(self) -> None:
        """Delays refusals until ``release_refusals``.

        gRPC cancels a call that arrives after a server has ended and before the
        client learns of it. A caller that waits for an answer makes no such
        call, so refused callers are held while the server is ended.
        """
        self._refusing.clear()

    def release_refusals(self) -> None:
        """Sends the refusals that were delayed."""
        self._refusing.set()

    def enter(self, size: int) -> None:
        """Counts a call that begins. Each enter is followed by one leave.

        At least one call is accepted, whatever its size.

        Args:
            size: The bytes of its request.

        Raises:
            UnavailableError: the server doesn't accept calls.
            OverloadedError: the calls in progress hold too many bytes.
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
        """Waits until no calls are in progress; returns whether that came in time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._calls, seconds)
