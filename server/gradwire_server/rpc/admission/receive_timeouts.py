"""Cancels calls whose message does not arrive in time: each holds a pool thread.

It must not import gRPC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gradwire_server.process.watchdog import Watchdog

_CHECKS = 8
"""How often the calls are checked within the time that a message may take."""


class ReceiveTimeouts:
    """The calls whose message has not arrived yet."""

    def __init__(self, seconds: float, watchdog: Watchdog) -> None:
        """Makes it.

        Args:
            seconds: How long a message may take to arrive.
            watchdog: Checks the calls while it runs.
        """
        self._seconds = seconds
        self._lock = threading.Lock()
        self._cancels: dict[object, tuple[float, Callable[[], object]]] = {}
        watchdog.every(seconds / _CHECKS, self._cancel_late)

    def begin(self, cancel: Callable[[], object]) -> object:
        """Adds a call, and how to cancel it. Returns the key that ``end`` takes."""
        key = object()
        with self._lock:
            self._cancels[key] = time.monotonic(), cancel
        return key

    def end(self, key: object) -> None:
        """Removes a call: its message has arrived, or won't."""
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
