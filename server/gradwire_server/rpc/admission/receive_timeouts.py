"""Cancels calls whose message does not arrive: each holds a place and a pool thread.

It must not import gRPC.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from gradwire_server.process.watchdog import Watchdog

HALF_SENT_SECONDS = 0.1
"""A request whose message has not been read for so long is half-sent. A message that came
with its request is read sooner, on a busy server too."""
_CHECKS = 8
"""How often the calls are checked within the time that a message may take."""


@dataclass(frozen=True, eq=False, slots=True)
class Arrival:
    """A call whose message is awaited: of which method and peer, since when, how to cancel it."""

    method: str
    peer: str
    since: float
    cancel: Callable[[], object]


@dataclass(frozen=True, slots=True)
class MessageMemory:
    """What messages may hold that are on their way: no other bound counts them.

    Attributes:
        spared: How many half-sent requests may stay when memory is short.
        spared_bytes: What replies that are not read may hold then.
        is_short: Says whether it is, by a look at the system.
    """

    spared: int
    spared_bytes: int
    is_short: Callable[[], bool]


class ReceiveTimeouts:
    """The calls whose message has not arrived yet."""

    def __init__(self, seconds: float, watchdog: Watchdog, memory: MessageMemory) -> None:
        """Makes it.

        Args:
            seconds: How long a message may take to arrive.
            watchdog: Checks the calls while it runs.
            memory: What of them may stay when memory is short.
        """
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._arrivals: dict[Arrival, None] = {}  # the oldest first
        watchdog.every(seconds / _CHECKS, self._cancel_late)
        watchdog.every(HALF_SENT_SECONDS, self._relieve)

    def begin(self, method: str, peer: str, cancel: Callable[[], object]) -> Arrival:
        """Adds a call.

        Args:
            method: Its method.
            peer: The address that it comes from, without the port.
            cancel: Ends it.

        Returns:
            What ``end`` takes.
        """
        with self._lock:
            arrival = Arrival(method, peer, time.monotonic(), cancel)
            self._arrivals[arrival] = None
        return arrival

    def end(self, arrival: Arrival) -> None:
        """Removes a call: its message has arrived, or won't."""
        with self._lock:
            self._arrivals.pop(arrival, None)

    def make_room(self, places: int, method: str | None) -> bool:
        """Cancels a half-sent request if such requests hold more than half of the places.

        It is of the peer that has the most of them, and of these the one that has waited
        longest. So whoever sends many takes nothing from those who send few, nor, behind
        a balancer, where all have one address, from requests that are sent whole.

        Args:
            places: How many there are, all of them taken.
            method: The method whose calls take them; None for all methods.

        Returns:
            Whether a place is free now, or will be in a moment.
        """
        return self._give_way(places // 2, method)

    def cancel_all(self) -> None:
        """Cancels all of them, when the server ends: what comes now would only be refused."""
        self._cancel_since(time.monotonic())

    def _relieve(self) -> None:
        """Cancels half-sent requests while memory is short: gRPC holds what has come of each."""
        if len(self._arrivals) > self._memory.spared and self._memory.is_short():
            while self._give_way(self._memory.spared, None):
                pass

    def _give_way(self, spared: int, method: str | None) -> bool:
        """Cancels a half-sent request if there are more than some; returns whether it did."""
        latest = time.monotonic() - HALF_SENT_SECONDS
        with self._lock:
            waiting = takewhile(lambda arrival: arrival.since <= latest, self._arrivals)
            half_sent = [arrival for arrival in waiting if method in (None, arrival.method)]
            if len(half_sent) <= spared:
                return False
            (peer, _), *_ = Counter(arrival.peer for arrival in half_sent).most_common(1)
            oldest = next(arrival for arrival in half_sent if arrival.peer == peer)
            del self._arrivals[oldest]
        oldest.cancel()
        return True

    def _cancel_late(self) -> None:
        self._cancel_since(time.monotonic() - self._seconds)

    def _cancel_since(self, latest: float) -> None:
        """Cancels those that have waited since then, or for longer."""
        with self._lock:
            late = list(takewhile(lambda arrival: arrival.since <= latest, self._arrivals))
            for arrival in late:
                del self._arrivals[arrival]
        for arrival in late:
            arrival.cancel()
