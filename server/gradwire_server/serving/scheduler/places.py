"""A bounded number of places, and a bounded queue for them, fair to each caller."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gradwire.errors import OverloadedError
from gradwire_server.serving.deadline import Deadline, late

_WEIGHT = 0.1
"""That of the newest value in a mean."""

_EARLY = 0.9
"""A queue counts as crowded a little before calls that come to it are refused."""


@dataclass(eq=False, slots=True)
class _Turn:
    """A thread that waits, and the caller that it waits for."""

    caller: str
    come: threading.Event = field(default_factory=threading.Event)


class Places:
    """Places that threads take and give back; a bounded number waits.

    The next place goes to the caller who has the fewest, and of equals to the one who came
    first: so no caller takes the last place while another waits.

    A call that would have to wait for more than a share of the time that it has
    left is refused at once. Without that, a queue in which calls wait for longer than
    their deadlines would have the server compute only what comes too late.
    """

    def __init__(
        self,
        places: int,
        waiting: int,
        limit: str,
        max_wait_percent: float = 100,
        clock: Callable[[], float] = time.monotonic,
        *,
        allowed: int | None = None,
    ) -> None:
        """Makes free places.

        Args:
            places: How many there are.
            waiting: How many threads may wait for one.
            limit: The name of the setting that bounds the queue.
            max_wait_percent: For how much of its time a call may be expected to wait.
            clock: Seconds, monotonic.
            allowed: The value of that setting; None if it is ``waiting``.
        """
        self._lock = threading.Lock()
        self._places = self._free = places
        self._busy_seconds = 0.0
        self._busy_since = 0.0
        self._max_waiting = waiting
        self._queue: deque[_Turn] = deque()
        self._held: Counter[str] = Counter()
        self._limit = limit
        self._allowed = waiting if allowed is None else allowed
        self._share = max_wait_percent / 100
        self._clock = clock
        self._interval = 0.0  # seconds between two turns, while all places are taken
        self._turn_at = 0.0  # when the last of the places was taken
        self._patience = math.inf  # seconds that calls which come have left, in the mean

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """How many threads wait for a place."""
        return len(self._queue)

    @property
    def busy_seconds(self) -> float:
        """For how long at least one place has been taken, up to now."""
        with self._lock:
            now = time.perf_counter() if self.taken else self._busy_since
            return self._busy_seconds + now - self._busy_since

    def expected_wait(self) -> float:
        """Returns for how many seconds the next thread to come would wait."""
        return 0.0 if self._free else self._interval * (len(self._queue) + 1)

    def is_crowded(self) -> bool:
        """Says whether a call with as much time left as those lately would be refused.

        So a call can be refused before its deadline is known, at a fraction of the cost.
        Calls with more time are refused as well: the queue is long enough without them.
        An empty queue is never crowded: without calls in it the server would not learn that
        calls have more time again.
        """
        if not self._queue:
            return False
        return self.expected_wait() > _EARLY * self._share * self._patience

    def take(self, deadline: Deadline, doing: str, caller: str = "") -> None:
        """Takes a place, once one is free. It is to be given back once.

        Args:
            deadline: Until when to wait for it.
            doing: What the call has done meanwhile, for the message of an error.
            caller: The name of the caller.

        Raises:
            OverloadedError: too many wait already, or the call would wait for too long.
            DeadlineError: the turn didn't come in time.
        """
        with self._lock:
            if self._free:
                if self._free == self._places:
                    self._busy_since = time.perf_counter()
                self._free -= 1
                self._held[caller] += 1
                if not self._free:
                    self._turn_at = self._clock()
                return
            left = deadline.remaining()
            if left <= 0:  # it says nothing of the time that other calls have
                raise late(doing)
            self._note_patience(left)
            self._check_queue(left)
            turn = _Turn(caller)
            self._queue.append(turn)
        if turn.come.wait(max(deadline.remaining(), 0.0)):
            return
        with self._lock:
            if turn.come.is_set():  # it came in this very moment
                return
            self._queue.remove(turn)
        raise late(doing)

    def give_back(self, caller: str = "") -> None:
        """Gives a place of a caller's to the next in the queue, or leaves it free."""
        with self._lock:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]
            if not self._free:
                self._note_turn()
            if self._queue:
                turn = min(self._queue, key=lambda turn: self._held[turn.caller])
                self._queue.remove(turn)
                self._held[turn.caller] += 1
                turn.come.set()
                return
            self._free += 1
            if self._free == self._places:
                now = time.perf_counter()
                self._busy_seconds += now - self._busy_since
                self._busy_since = now

    def _note_turn(self) -> None:
        """Measures how fast turns come, whether or not a thread waits for this one.

        A value that keeps calls out of the queue must not need a queue to change:
        they are refused only while all places are taken, and then each place given back
        tells a new one. So the first may count alone, however odd it is.
        """
        now = self._clock()
        weight = _WEIGHT if self._interval else 1.0
        self._interval += weight * (now - self._turn_at - self._interval)
        self._turn_at = now

    def _note_patience(self, left: float) -> None:
        if math.isinf(self._patience):
            self._patience = left
        self._patience += _WEIGHT * (left - self._patience)

    def _check_queue(self, left: float) -> None:
        if len(self._queue) >= self._max_waiting:
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
