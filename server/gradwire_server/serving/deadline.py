"""The deadline of a call. It must not import gRPC: the RPC layer makes one for each call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from gradwire.errors import DeadlineError

T = TypeVar("T")


class StillRunning(Exception):
    """What the caller waits for isn't ready within the time in which it wants an answer."""


_CHECK_SECONDS = 0.5
"""Seconds between two checks whether a waiting caller is still connected."""


def _always() -> bool:
    return True


class Deadline:
    """A moment on the monotonic clock, and whether the caller still waits.

    Attributes:
        at: The moment, as ``time.monotonic`` counts.
        alive: Says whether the caller is still connected.
    """

    __slots__ = ("_answer_at", "alive", "at")

    def __init__(self, seconds: float, alive: Callable[[], bool] = _always) -> None:
        self.at = time.monotonic() + seconds
        self.alive = alive
        self._answer_at = math.inf

    def answer_within(self, seconds: float) -> None:
        """Has every wait end after so many seconds from now, whatever it waits for."""
        self._answer_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Returns the seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def is_over(self) -> bool:
        """Says whether the moment has passed, or the caller has gone."""
        return self.remaining() <= 0 or not self.alive()

    def check(self, doing: str) -> None:
        """Raises unless there is time left, and the caller still waits.

        Raises:
            DeadlineError: the moment has passed, or the caller has gone.
        """
        if self.is_over():
            raise late(doing)

    def wait(self, future: Future[T], doing: str) -> T:
        """Returns the future's result; the work on it goes on in any case.

        Raises:
            StillRunning: an answer is due, see ``answer_within``; the deadline has not come.
            DeadlineError: the deadline has come, or the caller has gone.
            Exception: what the future failed with.
        """
        end = min(self.at, self._answer_at)
        while not future.done():
            left = end - time.monotonic()
            if left <= 0 and end < self.at:
                raise StillRunning(doing)
            if left <= 0 or not self.alive():
                raise late(doing)
            try:
                return future.result(min(left, _CHECK_SECONDS))
            except TimeoutError:
                continue  # the future's own, or ours: the loop finds out which
        return future.result()


def late(doing: str) -> DeadlineError:
    """Makes the error of a call that came too late."""
    return DeadlineError(f"the call's deadline passed while {doing}")
