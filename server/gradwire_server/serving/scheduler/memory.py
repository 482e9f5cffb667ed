"""Memory that runs share: those that run together need no more than there is."""

from __future__ import annotations

import threading
from collections import deque

from gradwire_server.serving.deadline import Deadline, late


class DeviceMemory:
    """A number of bytes that are taken and given back, first come first served.

    A large run waits for the smaller ones before it, and those behind it wait for
    the large one: else it might wait for ever.
    """

    def __init__(self, size: int) -> None:
        """Shares so many bytes; 0 for no bound."""
        self._changed = threading.Condition()
        self._size = size
        self._taken = 0
        self._waiting: deque[object] = deque()

    def enter(self, size: int, deadline: Deadline, doing: str) -> None:
        """Takes bytes, once so many are free. Each enter is followed by one leave.

        A run that is alone gets them, however many.

        Raises:
            DeadlineError: they were not free in time.
        """
        if not self._size:
            return
        me = object()
        with self._changed:
            self._waiting.append(me)
            try:
                if not self._changed.wait_for(
                    lambda: self._waiting[0] is me and self._fits(size),
                    max(deadline.remaining(), 0.0),
                ):
                    raise late(doing)
                self._taken += size
            finally:
                self._waiting.remove(me)
                if self._waiting:
                    self._changed.notify_all()

    def leave(self, size: int) -> None:
        """Gives bytes back."""
        if not self._size:
            return
        with self._changed:
            self._taken -= size
            if self._waiting:
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._size
