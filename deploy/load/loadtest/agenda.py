"""When which call is to be sent: an open loop, whose times are drawn before anything is sent.

Must not depend on calls or the network. Time is whatever ``clock`` counts.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from loadtest.mix import Array


def poisson_times(rate: float, seconds: float, rng: np.random.Generator) -> Array:
    """Returns the arrival times, from 0, of independent callers."""
    count = rng.poisson(rate * seconds)
    return np.sort(rng.uniform(0.0, seconds, count))  # given their number, they are uniform


class Agenda:
    """The calls of one run, each due at its own time, and those that are retried.

    A call that can't be sent when it is due is sent as soon as possible and never
    left out: a slow service, or a slow sender, must not thin out the load.
    """

    def __init__(
        self,
        times: Sequence[float],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float | None], object] | None = None,
    ) -> None:
        """Makes an agenda.

        Args:
            times: When each call is due, in order.
            clock: Seconds, monotonic.
            wait: Waits so many seconds, or until something changes.
        """
        self._changed = threading.Condition()
        self._clock = clock
        self._wait = wait or self._changed.wait
        self._due = [(at, position, 0) for position, at in enumerate(times)]
        self._open = len(self._due)

    def again(self, position: int, attempt: int, at: float) -> None:
        """Has a call sent once more."""
        with self._changed:
            heapq.heappush(self._due, (at, position, attempt))
            self._changed.notify()

    def end(self) -> None:
        """Counts a call that has ended."""
        with self._changed:
            self._open -= 1
            if not self._open:
                self._changed.notify()

    def run(self, send: Callable[[int, int], None]) -> None:
        """Sends all calls, each when it is due; returns when all have ended.

        Args:
            send: Called with the position of the call and the number of the
                attempt; it must not wait for the answer.
        """
        while (due := self._next()) is not None:
            send(*due)

    def _next(self) -> tuple[int, int] | None:
        with self._changed:
            while self._open:
                left = self._due[0][0] - self._clock() if self._due else None
                if left is not None and left <= 0:
                    _, position, attempt = heapq.heappop(self._due)
                    return position, attempt
                self._wait(left)
            return None
