"""Until when a call may be worked on. Knows no gRPC: the edge makes one per call."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from gradwire.errors import DeadlineError

T = TypeVar("T")


class StillRunning(Exception):
    """What was waited for isn't there yet, and the caller wants to know."""


_GLANCE = 0.5
"""Seconds between two looks at whether a waiting caller is still there."""


def _always() -> bool:
    return True


class Deadline:
    """A moment on the monotonic clock, and whether anybody still waits.

    Attributes:
        at: The moment, as ``time.monotonic`` counts.
        alive: Says whether the caller is still there.
    """

    __slots__ = ("alive", "at")

    def __init__(self, seconds: float, alive: Callable[[], bool] = _always) -> None:
        self.at = time.monotonic() + seconds
        self.alive = alive

    def remaining(self) -> float:
        """Returns the seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def is_over(self) -> bool:
        """Says whether the moment has passed, or the caller has gone."""
        return self.remaining() <= 0 or not self.alive()

    def check(self, doing: str) -> None:
        """Raises unless there is time left, and somebody who waits.

        Raises:
            DeadlineError: the moment has passed, or the caller has gone.
        """
        if self.is_over():
            raise late(doing)

    def wait(self, future: Future[T], doing: str, *, at_most: float | None = None) -> T:
        """Returns the future's result; whoever works on it goes on in any case.

        Raises:
            StillRunning: ``at_most`` seconds have passed, the deadline has not.
            DeadlineError: the deadline has come, or the caller has gone.
            Exception: what the future failed with.
        """
        end = self.at if at_most is None else min(self.at, time.monotonic() + at_most)
        while not future.done():
            left = end - time.monotonic()
            if left <= 0 and end < self.at:
                raise StillRunning(doing)
            if left <= 0 or not self.alive():
                raise late(doing)
            try:
                return future.result(min(left, _GLANCE))
            except TimeoutError:
                continue  # its own, or ours: the loop finds out which
        return future.result()


def late(doing: str) -> DeadlineError:
    """Makes the error of a call that came too late."""
    return DeadlineError(f"the call's deadline passed while {doing}")
