"""Bounds how many do a thing at once, and how many wait to, and for how long."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from gradwire.errors import OverloadedError
from gradwire_server.serving.deadline import Deadline, late

_WEIGHT = 0.1
"""That of the newest value in a mean."""

_EARLY = 0.9
"""A queue is crowded a little before it turns those away who stand at it."""


class Gate:
    """Lets a number of threads in; a bounded number more may wait, first come first served.

    A caller that would have to wait for more than a share of the time that it has
    left is turned away at once. Without that, a queue that is longer than
    anybody's patience would have the server compute only what comes too late.
    """

    def __init__(
        self,
        inside: int,
        waiting: int,
        limit: str,
        max_wait_percent: float = 100,
        clock: Callable[[], float] = time.monotonic,
        *,
        allowed: int | None = None,
    ) -> None:
        """Makes a gate.

        Args:
            inside: How many may be inside at once.
            waiting: How many may wait.
            limit: The name of the setting that says when it is full.
            max_wait_percent: For how much of its time a caller may be expected to wait.
            clock: Seconds, monotonic.
            allowed: The value of that setting; None if it is ``waiting``.
        """
        self._lock = threading.Lock()
        self._places = self._free = inside
        self._busy_seconds = 0.0
        self._busy_since = 0.0
        self._max_waiting = waiting
        self._waiting: deque[threading.Event] = deque()
        self._limit = limit
        self._allowed = waiting if allowed is None else allowed
        self._share = max_wait_percent / 100
        self._clock = clock
        self._interval = 0.0  # seconds between two turns, while all places are taken
        self._turn_at = 0.0  # when the last of the places was taken
        self._patience = math.inf  # seconds that those who come have left

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

    def expected_wait(self) -> float:
        """Returns for how many seconds the next to come would wait."""
        return 0.0 if self._free else self._interval * (len(self._waiting) + 1)

    def is_crowded(self) -> bool:
        """Says whether somebody as patient as those lately would be turned away.

        Whoever asks can refuse a call before its deadline is known, and so at a
        fraction of the cost. Others who are more patient are refused as well:
        the queue is long enough without them. One that is empty is not, and if
        nobody came to it, nobody would learn that callers are patient again.
        """
        if not self._waiting:
            return False
        return self.expected_wait() > _EARLY * self._share * self._patience

    def enter(self, deadline: Deadline, doing: str) -> None:
        """Goes in. Each enter is followed by one leave.

        Raises:
            OverloadedError: too many wait already, or it would wait for too long.
            DeadlineError: the turn didn't come in time.
        """
        with self._lock:
            if self._free:
                if self._free == self._places:
                    self._busy_since = time.perf_counter()
                self._free -= 1
                if not self._free:
                    self._turn_at = self._clock()
                return
            left = deadline.remaining()
            if left <= 0:  # it says nothing of the patience of others
                raise late(doing)
            self._note_patience(left)
            self._check_room(left)
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
            if not self._free:
                self._note_turn()
            if self._waiting:
                self._waiting.popleft().set()
                return
            self._free += 1
            if self._free == self._places:
                now = time.perf_counter()
                self._busy_seconds += now - self._busy_since
                self._busy_since = now

    def _note_turn(self) -> None:
        """Measures how fast turns come, whether or not somebody waits for this one.

        A value that keeps callers from queueing must not need a queue to change:
        they are refused only while all places are taken, and then each leave tells
        a new one. So the first may count alone, however odd it is.
        """
        now = self._clock()
        weight = _WEIGHT if self._interval else 1.0
        self._interval += weight * (now - self._turn_at - self._interval)
        self._turn_at = now

    def _note_patience(self, left: float) -> None:
        if math.isinf(self._patience):
            self._patience = left
        self._patience += _WEIGHT * (left - self._patience)

    def _check_room(self, left: float) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError(
                f"`{self._limit}` is {self._allowed} on this server, and as many wait",
                metadata={"limit": self._limit, "allowed": str(self._allowed)},
                retry_after=self.expected_wait(),
            )
        wait = self.expected_wait()
        if wait > self._share * left:
            percent = f"{100 * self._share:g}"
            raise OverloadedError(
                f"`max_wait_percent` is {percent} on this server; the call would wait for about "
                f"{wait:.3g} s, and has {max(left, 0.0):.3g} s",
                metadata={"limit": "max_wait_percent", "allowed": percent},
                retry_after=wait,
            )
