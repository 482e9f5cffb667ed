"""Cancels calls whose message does not arrive in time: each holds a pool thread.

It must not import gRPC.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from gradwire_server.process.watchdog import Watchdog

CROWDED_SECONDS = 5.0
"""What a message may take while calls are refused because half of the places are taken by
calls whose message has not arrived: requests that are never sent whole would otherwise
keep all others out for as long as a slow one may take."""
_CHECKS = 8
"""How often the calls are checked within the time that a message may take."""


class ReceiveTimeouts:
    """The calls whose message has not arrived yet."""

    def __init__(
        self,
        seconds: float,
        watchdog: Watchdog,
        places: int,
        crowded_seconds: float = CROWDED_SECONDS,
    ) -> None:
        """Makes it.

        Args:
            seconds: How long a message may take to arrive.
            watchdog: Checks the calls while it runs.
            places: How many calls there may be at once.
            crowded_seconds: How long it may take while such calls keep others out.
        """
        self._seconds = seconds
        self._crowded_seconds = min(crowded_seconds, seconds)
        self._crowd = places / 2
        self._refused_at = -math.inf
        self._lock = threading.Lock()
        self._cancels: dict[object, tuple[float, Callable[[], object]]] = {}
        watchdog.every(self._crowded_seconds / _CHECKS, self._cancel_late)

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

    def note_refusal(self) -> None:
        """Hears that a call was refused because all places are taken."""
        self._refused_at = time.monotonic()

    def _cancel_late(self) -> None:
        now = time.monotonic()
        with self._lock:
            crowded = len(self._cancels) >= self._crowd and (
                now - self._refused_at < self._crowded_seconds
            )
            earliest = now - (self._crowded_seconds if crowded else self._seconds)
            late = [
                (key, cancel) for key, (since, cancel) in self._cancels.items() if since < earliest
            ]
            for key, _ in late:
                del self._cancels[key]
        for _, cancel in late:
            cancel()
