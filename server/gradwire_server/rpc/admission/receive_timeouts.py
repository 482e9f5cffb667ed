"""Cancels calls whose message does not arrive in time: each holds a thread.

Knows no gRPC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gradwire_server.process.watchdog import Watchdog

_CHECKS = 8
"""How often the calls are looked at within the time that a message may take."""


class ReceiveTimeouts:
    """The calls whose message isn't there yet."""

    def __init__(self, seconds: float, watchdog: Watchdog) -> None:
        """Makes it.

        Args:
            seconds: How long a message may take to arrive.
            watchdog: Has the calls looked at while it runs.
        """
        self._seconds = seconds
        self._lock = threading.Lock()
        self._cancels: dict[object, tuple[float, Callable[[], object]]] = {}
        watchdog.every(seconds / _CHECKS, self._cancel_late)

    def begin(self, cancel: Callable[[], object]) -> object:
        """Notes a call, and how to end it at once. Returns what ``end`` takes."""
        key = object()
        with self._lock:
            self._cancels[key] = time.monotonic(), cancel
        return key

    def end(self, key: object) -> None:
        """Forgets a call: its message is there, or won't come."""
        with self._lock:
            self._cancels.pop(key, None)

    def _cancel_late(self) -> None:
        earliest = time.monotonic() - self._seconds
        with self._lock:
            late = [
                (key, cancel) for key, (since, cancel) in self._cancels.items() if since < earliest
            ]
            for key, _ in late:
                del self._cancels[key]
        for _, cancel in late:
            cancel()
