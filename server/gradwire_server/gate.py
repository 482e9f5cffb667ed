"""Bounds how many do a thing at once, and how many wait to."""

from __future__ import annotations

import threading
import time
from collections import deque

from gradwire.errors import OverloadedError
from gradwire_server.deadline import Deadline, late


class Gate:
    """Lets a number of threads in; a bounded number more may wait, first come first served."""

    def __init__(self, inside: int, waiting: int, limit: str) -> None:
        """Makes a gate.

        Args:
            inside: How many may be inside at once.
            waiting: How many may wait.
            limit: The name of the setting that bounds the waiting.
        """
        self._lock = threading.Lock()
        self._places = self._free = inside
        self._busy_seconds = 0.0
        self._busy_since = 0.0
        self._max_waiting = waiting
        self._waiting: deque[threading.Event] = deque()
        self._limit = limit

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._places - self._free

    @property
    def busy_seconds(self) -> float:
        """How long there has been somebody inside, up to now."""
        with self._lock:
            now = time.perf_counter() if self.inside else self._busy_since
            return self._busy_seconds + now - self._busy_since

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, deadline: Deadline, doing: str) -> None:
        """Goes in. Each enter is followed by one leave.

        Raises:
            OverloadedError: too many wait already.
            DeadlineError: the turn didn't come in time.
        """
        with self._lock:
            if self._free:
                if self._free == self._places:
                    self._busy_since = time.perf_counter()
                self._free -= 1
                return
            if len(self._waiting) >= self._max_waiting:
                raise OverloadedError(
                    f"`{self._limit}` is {self._max_waiting} on this server, and as many wait",
                    metadata={"limit": self._limit, "allowed": str(self._max_waiting)},
                )
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(max(deadline.remaining(), 0.0)):
            return
        with self._lock:
            if turn.is_set():  # it came in this very moment
                return
            self._waiting.remove(turn)
        raise late(doing)

    def leave(self) -> None:
        """Goes out, and lets the next one in."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
                return
            self._free += 1
            if self._free == self._places:
                now = time.perf_counter()
                self._busy_seconds += now - self._busy_since
                self._busy_since = now
