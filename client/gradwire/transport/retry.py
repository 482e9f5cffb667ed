"""The one loop that retries calls. It must not import gRPC."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from gradwire.errors import GradwireError
from gradwire.transport import forks

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
MEMORY_SECONDS = 5.0
"""Seconds for which, about, a success counts in the rate at which a budget refills."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt failed.

    Attributes:
        error: What to raise if it is the last attempt.
        retryable: Whether the same call may succeed later.
        retry_after: Seconds to wait first, if the server said so.
        refused: Whether the server is reached and overloaded, so that another
            attempt adds to its load.
    """

    error: GradwireError
    retryable: bool = False
    retry_after: float | None = None
    refused: bool = False


class RetryBudget:
    """Bounds the retries of all threads together: a bucket that refills.

    After a burst of ``burst`` retries there are ``per_second`` of them in a
    second, and ``per_success`` for each call that has succeeded, however many
    calls fail.
    """

    def __init__(
        self,
        burst: int = 32,
        per_second: float = 16.0,
        per_success: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._per_success = per_success
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._successes = 0.0  # older ones count less
        self._lock = threading.Lock()
        forks.register(self)

    def after_fork(self) -> None:
        """Replaces the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        """Counts a call that has succeeded."""
        if not self._per_success:
            return
        with self._lock:
            self._refill()
            self._successes += 1.0
            self._tokens = min(self._tokens + self._per_success, self._burst)

    def take(self, at_most: float) -> float | None:
        """Takes one retry.

        Args:
            at_most: How many seconds from now the retry may be at the latest.

        Returns:
            After how many seconds it may be; None if that is too late, in which
            case nothing is taken.
        """
        with self._lock:
            self._refill()
            rate = self._per_second + self._per_success * self._successes / MEMORY_SECONDS
            pause = max(1.0 - self._tokens, 0.0) / rate
            if pause > at_most:
                return None
            self._tokens -= 1.0
            return pause

    def _refill(self) -> None:
        now = self._clock()
        passed = now - self._filled_at
        self._tokens = min(self._tokens + passed * self._per_second, self._burst)
        self._successes *= math.exp(-passed / MEMORY_SECONDS)
        self._filled_at = now


class Budgets:
    """The two budgets of a connection.

    Each retry costs time at a server that refuses calls: retries may add a fifth
    to the load that it carries, and little to a load that it doesn't, because the
    connection may be one of many. A server that can't be reached has no load.
    """

    def __init__(self, refused: RetryBudget | None = None, lost: RetryBudget | None = None) -> None:
        """Makes budgets; None stands for the usual one."""
        self._refused = refused or RetryBudget(burst=16, per_second=2.0, per_success=0.2)
        self._lost = lost or RetryBudget()

    def of(self, failure: Failure) -> RetryBudget:
        """Returns the budget that a retry after this failure is taken from."""
        return self._refused if failure.refused else self._lost

    def succeeded(self) -> None:
        """Counts a call that has succeeded."""
        self._refused.succeeded()


def call_with_retries(
    attempt: Callable[[float], T | Failure],
    *,
    deadline: float,
    budgets: Budgets,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Tries until an attempt succeeds or fails for good.

    The pause after attempt k is drawn uniformly from [0, min(0.1 * 2**k, 2)]
    seconds, longer by what the server asked for, and no shorter than its budget
    allows. A pause that would reach past the deadline ends the call.

    Args:
        attempt: Called with the seconds left.
        deadline: When the call must have ended, by ``clock``.
        budgets: Shared by all calls of a connection.
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
            budgets.succeeded()
            return result
        pause = next_pause(result, number, deadline - clock(), budgets)
        if pause is None:
            if number:
                result.error.add_note(f"({number + 1} attempts in {clock() - start:.1f} s)")
            raise result.error
        sleep(pause)
    raise AssertionError  # the loop has no other end


def next_pause(failure: Failure, number: int, left: float, budgets: Budgets) -> float | None:
    """Decides whether a call is tried again.

    Args:
        failure: How the last attempt failed.
        number: How many there were before it.
        left: Seconds until the call's deadline.
        budgets: Where the retry is taken from.

    Returns:
        The seconds to wait first; None if the failure is final.
    """
    pause = _pause(failure, number)
    if not failure.retryable or pause >= left:
        return None
    wait = budgets.of(failure).take(left)
    return None if wait is None else max(pause, wait)


def _pause(failure: Failure, number: int) -> float:
    jitter = random.uniform(0.0, min(FIRST_PAUSE * 2.0 ** min(number, 30), LONGEST_PAUSE))
    return jitter + (failure.retry_after or 0.0)
