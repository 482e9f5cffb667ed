"""Memory that runs share: those that run together need no more than there is."""

from __future__ import annotations

import threading
from collections import deque

from gradwire_server.serving.deadline import Deadline, late


class Memory:
    """A number of bytes that are taken and given back, in order of arrival.

    A large run waits for the smaller ones before it, and those behind it wait for
    the large one: else it might wait for ever.
    """

    def __init__(self, size: int) -> None:
        """Shares so many bytes; 0 for no bound."""
        self._changed = threading.Condition()
        self._size = size
        self._taken = 0
        self._queue: deque[object] = deque()

    @property
    def waiting(self) -> int:
        """How many runs wait for bytes."""
        return len(self._queue)

    def take(self, size: int, deadline: Deadline, doing: str) -> None:
        """Takes bytes, once so many are free. They are to be given back once.

        A run that is alone gets them, however many: whether it may run at all has been
        decided before.

        Args:
            size: The bytes.
            deadline: Until when to wait for them.
            doing: What the call has done meanwhile, for the message of an error.

        Raises:
            DeadlineError: they were not free in time.
        """
        if not self._size:
            return
        with self._changed:
            if not self._queue and self._fits(size):
                self._taken += size
            else:
                self._wait(size, deadline, doing)

    def give_back(self, size: int) -> None:
        """Gives bytes back."""
        if not self._size:
            return
        with self._changed:
            self._taken -= size
            if self._queue:
                self._changed.notify_all()

    def _wait(self, size: int, deadline: Deadline, doing: str) -> None:
        me = object()
        self._queue.append(me)
        try:
            if not self._changed.wait_for(
                lambda: self._queue[0] is me and self._fits(size),
                max(deadline.remaining(), 0.0),
            ):
                raise late(doing)
            self._taken += size
        finally:
            self._queue.remove(me)
            if self._queue:
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._size
