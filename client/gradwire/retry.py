"""The one loop in which a call is tried again. It knows neither gRPC nor what is called."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from gradwire import forks
from gradwire.errors import GradwireError

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt failed.

    Attributes:
        error: What to raise if it is the last attempt.
        retryable: Whether the same call may succeed later.
        retry_after: Seconds to wait first, if the server said so.
    """

    error: GradwireError
    retryable: bool = False
    retry_after: float | None = None


class RetryBudget:
    """Bounds the retries of all threads together: a bucket that refills with time.

    After a burst of ``burst`` retries there are ``per_second`` of them in a
    second, however many calls fail.
    """

    def __init__(
        self,
        burst: int = 32,
        per_second: float = 16.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._lock = threading.Lock()
        forks.register(self)

    def after_fork(self) -> None:
        """Replaces the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def take(self, patience: float) -> float | None:
        """Takes one retry.

        Args:
            patience: How many seconds from now the retry may be at the latest.

        Returns:
            After how many seconds it may be; None if that is too late, in which
            case nothing is taken.
        """
        with self._lock:
            now = self._clock()
            refill = (now - self._filled_at) * self._per_second
            self._tokens = min(self._tokens + refill, self._burst)
            self._filled_at = now
            pause = max(1.0 - self._tokens, 0.0) / self._per_second
            if pause > patience:
                return None
            self._tokens -= 1.0
            return pause


def call_with_retries(
    attempt: Callable[[float], T | Failure],
    *,
    deadline: float,
    budget: RetryBudget,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Tries until an attempt succeeds or fails for good.

    The pause after attempt k is drawn uniformly from [0, min(0.1 * 2**k, 2)]
    seconds, longer by what the server asked for, and no shorter than the budget
    allows. A pause that would reach past the deadline ends the call.

    Args:
        attempt: Called with the seconds left.
        deadline: When the call must have ended, by ``clock``.
        budget: Shared by all calls of a connection.
        clock: Seconds, monotonic.
        sleep: Waits.

    Returns:
        What the successful attempt returned.

    Raises:
        GradwireError: the error of the last attempt, with a note on how many
            there were.
    """
    start = clock()
    for number in count():
        result = attempt(deadline - clock())
        if not isinstance(result, Failure):
            return result
        pause = _pause(result, number)
        left = deadline - clock()
        wait = budget.take(left) if result.retryable and pause < left else None
        if wait is None:
            if number:
                result.error.add_note(f"({number + 1} attempts in {clock() - start:.1f} s)")
            raise result.error
        sleep(max(pause, wait))
    raise AssertionError  # the loop has no other end


def _pause(failure: Failure, number: int) -> float:
    jitter = random.uniform(0.0, min(FIRST_PAUSE * 2.0 ** min(number, 30), LONGEST_PAUSE))
    return jitter + (failure.retry_after or 0.0)
