from __future__ import annotations

import threading
import time

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.receive_timeouts import (
    HALF_SENT_SECONDS,
    MessageMemory,
    ReceiveTimeouts,
)
from server_process import eventually

ENOUGH = MessageMemory(0, 0, lambda: False)


def test_a_call_is_cancelled_once_its_time_is_over(watchdog: Watchdog) -> None:
    """Not before, and once; one whose message has arrived is not."""
    timeouts = ReceiveTimeouts(0.4, watchdog, ENOUGH)
    cancelled: list[tuple[str, float]] = []
    late = threading.Event()

    def cancel(name: str) -> None:
        cancelled.append((name, time.monotonic()))
        late.set()

    start = time.monotonic()
    timeouts.begin("Compute", "ipv4:127.0.0.1", lambda: cancel("silent"))
    timeouts.end(timeouts.begin("Compute", "ipv4:127.0.0.1", lambda: cancel("quick")))
    assert late.wait(10)
    time.sleep(0.3)
    ((name, at),) = cancelled
    assert name == "silent"
    assert at - start >= 0.4


def test_a_call_may_end_after_it_was_cancelled(watchdog: Watchdog) -> None:
    """As it does: what reads its messages then learns that none will come."""
    timeouts = ReceiveTimeouts(0.05, watchdog, ENOUGH)
    cancelled = threading.Event()
    key = timeouts.begin("Compute", "ipv4:127.0.0.1", cancelled.set)
    assert cancelled.wait(10)
    timeouts.end(key)


class Half:
    """Calls whose message doesn't arrive, and the names of those that were cancelled."""

    def __init__(self, watchdog: Watchdog, memory: MessageMemory = ENOUGH) -> None:
        self.timeouts = ReceiveTimeouts(30.0, watchdog, memory)
        self.cancelled: list[str] = []
        self._count = 0

    def send(self, *peers: str, method: str = "Compute") -> None:
        """Begins a call of each peer. Its name is the peer's, and how many came before it."""
        for peer in peers:
            name = f"{peer}{self._count}"
            self._count += 1
            self.timeouts.begin(method, peer, lambda name=name: self.cancelled.append(name))


def test_half_sent_requests_give_way_beyond_half_of_the_places(watchdog: Watchdog) -> None:
    """At half they stay, one more and the oldest gives way, until there are half again."""
    half = Half(watchdog)
    half.send(*"aaaa")
    time.sleep(2 * HALF_SENT_SECONDS)
    assert not half.timeouts.make_room(8, None)
    assert [half.timeouts.make_room(7, None) for _ in range(2)] == [True, False]
    assert half.cancelled == ["a0"]


def test_the_peer_with_the_most_gives_way(watchdog: Watchdog) -> None:
    """Not another, even if its request is the oldest; each peer is spared while it has fewer."""
    half = Half(watchdog)
    half.send(*"abbbccc")
    time.sleep(2 * HALF_SENT_SECONDS)
    assert all(half.timeouts.make_room(4, None) for _ in range(4))
    assert half.cancelled == ["b1", "c4", "b2", "c5"]


def test_a_message_that_has_just_begun_does_not_give_way(watchdog: Watchdog) -> None:
    """It may be whole, and only not yet read: so are those of a burst behind a balancer."""
    half = Half(watchdog)
    half.send(*"aaaa")
    assert not half.timeouts.make_room(4, None)
    time.sleep(2 * HALF_SENT_SECONDS)
    half.send(*"aaaa")
    assert [half.timeouts.make_room(6, None) for _ in range(2)] == [True, False]


def test_only_calls_that_hold_the_places_give_way(watchdog: Watchdog) -> None:
    """Where the places are those of a method, calls of another would free none."""
    half = Half(watchdog)
    half.send(*"aaaa", method="Prepare")
    half.send(*"bb")
    time.sleep(2 * HALF_SENT_SECONDS)
    assert [half.timeouts.make_room(3, "Compute") for _ in range(2)] == [True, False]
    assert half.cancelled == ["b4"]


def test_half_sent_requests_give_way_when_memory_is_short(watchdog: Watchdog) -> None:
    """But for some, which may stay; of the peer with the most at first, and none before that."""
    short = threading.Event()
    half = Half(watchdog, MessageMemory(2, 0, short.is_set))
    half.send(*"abbb")
    time.sleep(4 * HALF_SENT_SECONDS)
    assert half.cancelled == []
    short.set()
    assert eventually(lambda: half.cancelled == ["b1", "b2"])
    time.sleep(4 * HALF_SENT_SECONDS)
    assert half.cancelled == ["b1", "b2"]
