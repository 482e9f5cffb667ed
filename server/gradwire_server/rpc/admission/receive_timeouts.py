"""Cancels calls whose message does not arrive in time: each holds a thread.

Knows no gRPC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOKS = 8
"""How often one looks within the time that a message may take."""


class ReceiveTimeouts:
    """The calls whose message isn't there yet."""

    def __init__(self, seconds: float) -> None:
        """Starts to look after them; ``stop`` ends that.

        Args:
            seconds: How long a message may take to arrive.
        """
        self._seconds = seconds
        self._lock = threading.Lock()
        self._cancels: dict[object, tuple[float, Callable[[], object]]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="arrivals", daemon=True)
        self._thread.start()

    def begin(self, cancel: Callable[[], object]) -> object:
        """Notes a call, and how to end it. Returns what ``end`` takes."""
        key = object()
        with self._lock:
            self._cancels[key] = time.monotonic(), cancel
        return key

    def end(self, key: object) -> None:
        """Forgets a call: its message is there, or won't come."""
        with self._lock:
            self._cancels.pop(key, None)

    def stop(self) -> None:
        """Looks after nobody any more."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(self._seconds / _LOOKS):
            earliest = time.monotonic() - self._seconds
            with self._lock:
                late = [
                    (key, cancel)
                    for key, (since, cancel) in self._cancels.items()
                    if since < earliest
                ]
                for key, _ in late:
                    del self._cancels[key]
            for _, cancel in late:
                cancel()
