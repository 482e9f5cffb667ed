from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gradwire.errors import DeadlineError, OverloadedError
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.places import Places
from server_process import eventually


def test_one_more_than_may_wait_is_refused() -> None:
    """At the bound a call waits; above it, it is refused at once, with the limit's name."""
    places = Places(2, 3, "max_waiting_executions")
    for _ in range(2):
        places.take(Deadline(0), "")  # a free place needs no time
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(places.take, Deadline(30), "") for _ in range(3)]
        assert eventually(lambda: places.waiting == 3)
        with pytest.raises(OverloadedError, match="`max_waiting_executions` is 3") as caught:
            places.take(Deadline(30), "")
        assert caught.value.metadata == {"limit": "max_waiting_executions", "allowed": "3"}
        for future in waiting:
            places.give_back()
            future.result(10)
        assert places.waiting == 0


def test_a_turn_that_does_not_come_is_late() -> None:
    """A call that gave up has left the queue, and takes no other's place."""
    places = Places(1, 1, "x")
    places.take(Deadline(1), "")
    for _ in range(3):
        with pytest.raises(DeadlineError, match="while it waited"):
            places.take(Deadline(0.01), "it waited")
    places.give_back()
    places.take(Deadline(0), "")


def test_never_more_are_taken_than_there_are() -> None:
    """With many threads that come and go; and all of them get one."""
    places, lock = Places(3, 100, "x"), threading.Lock()
    taken = most = 0

    def work() -> None:
        nonlocal taken, most
        for _ in range(200):
            places.take(Deadline(30), "")
            with lock:
                taken += 1
                most = max(most, taken)
            with lock:
                taken -= 1
            places.give_back()

    with ThreadPoolExecutor(12) as pool:
        for future in [pool.submit(work) for _ in range(12)]:
            future.result(60)
    assert taken == 0
    assert most <= 3


def test_time_with_a_place_taken_is_counted() -> None:
    """Once, however many are; up to now while one still is, and not after."""
    places = Places(2, 1, "x")
    assert (places.taken, places.busy_seconds) == (0, 0.0)
    start = time.perf_counter()
    places.take(Deadline(1), "")
    places.take(Deadline(1), "")
    assert places.taken == 2
    time.sleep(0.05)
    places.give_back()
    assert 0.05 <= places.busy_seconds <= time.perf_counter() - start
    places.give_back()
    busy = places.busy_seconds
    assert 0.05 <= busy <= time.perf_counter() - start
    time.sleep(0.01)
    assert places.busy_seconds == busy
    places.take(Deadline(1), "")
    places.give_back()
    assert busy <= places.busy_seconds < time.perf_counter() - start - 0.01


class Clock:
    """Time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def queue(places: Places, length: int) -> Iterator[list[Future[None]]]:
    """One taken and so many waiting; all get theirs at the end."""
    places.take(Deadline(60), "")
    with ThreadPoolExecutor(length) as pool:
        waiting = [pool.submit(places.take, Deadline(60), "") for _ in range(length)]
        assert eventually(lambda: places.waiting == length)
        try:
            yield waiting
        finally:
            while places.waiting:
                places.give_back()
    places.give_back()


def two_turns(places: Places, clock: Clock, seconds: float) -> None:
    """The first shows that turns come, the second how fast."""
    for _ in range(2):
        clock.now += seconds
        places.give_back()


def refuse_hasty(places: Places) -> None:
    """So many callers with one second come that the places takes all for such."""
    for _ in range(60):
        with pytest.raises(OverloadedError):
            places.take(Deadline(1.0), "")


def test_a_wait_for_too_long_is_refused() -> None:
    """At half of the time that is left a call waits, past it it is refused, and told why."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    with queue(places, 6), ThreadPoolExecutor(1) as pool:
        two_turns(places, clock, 2.0)
        assert places.waiting == 4
        assert places.expected_wait() == pytest.approx(10.0)
        with pytest.raises(OverloadedError, match="`max_wait_percent` is 50") as caught:
            places.take(Deadline(19.0), "")
        assert caught.value.metadata == {"limit": "max_wait_percent", "allowed": "50"}
        assert caught.value.retry_after == pytest.approx(10.0)
        patient = pool.submit(places.take, Deadline(21.0), "")
        assert eventually(lambda: places.waiting == 5)
        while places.waiting:
            places.give_back()
        patient.result(10)


def test_a_queue_is_crowded_by_the_measure_of_those_who_come() -> None:
    """Too long for callers in a hurry, and not for others; an empty one never is."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    assert not places.is_crowded()
    with queue(places, 6):
        two_turns(places, clock, 2.0)
        assert not places.is_crowded()  # they had a minute
        refuse_hasty(places)
        assert places.is_crowded()
    assert not places.is_crowded()


def test_callers_who_are_late_are_no_measure() -> None:
    """Where there is no place they are late, not too many; patient ones find no crowd then."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    with queue(places, 4):
        two_turns(places, clock, 1.0)
        for _ in range(100):
            with pytest.raises(DeadlineError, match="while it waited"):
                places.take(Deadline(-1.0), "it waited")
        assert places.waiting == 2
        assert not places.is_crowded()


def test_an_empty_queue_is_not_crowded() -> None:
    """Though all before were in a hurry: patient callers come to it, and show that they are."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    with queue(places, 6):
        two_turns(places, clock, 2.0)
        refuse_hasty(places)
        assert places.is_crowded()
        for _ in range(4):
            clock.now += 2.0
            places.give_back()
        assert (places.taken, places.waiting) == (1, 0)
        assert places.expected_wait() == pytest.approx(2.0)
        assert not places.is_crowded()
        with ThreadPoolExecutor(1) as pool:
            for _ in range(20):
                assert not places.is_crowded()
                patient = pool.submit(places.take, Deadline(60.0), "")
                assert eventually(lambda: places.waiting == 1)
                crowded = places.is_crowded()
                clock.now += 2.0
                places.give_back()
                patient.result(10)
        assert not crowded


def test_what_was_slow_may_become_fast_without_a_queue() -> None:
    """Long waits turn those in a hurry away, and nobody else comes: that must not last."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    with queue(places, 3):
        two_turns(places, clock, 100.0)
    places.take(Deadline(1.0), "")
    with pytest.raises(OverloadedError):
        places.take(Deadline(1.0), "")
    for _ in range(60):
        clock.now += 0.001
        places.give_back()
        places.take(Deadline(1.0), "")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(places.take, Deadline(1.0), "")
        assert eventually(lambda: places.waiting == 1)
        places.give_back()
        waiting.result(10)


def test_turns_are_timed_while_all_places_are_taken() -> None:
    """From the last that was free on; not while nobody would have to wait."""
    clock = Clock()
    places = Places(2, 100, "x", 50, clock)
    for _ in range(2):
        places.take(Deadline(1.0), "")
        clock.now += 1000.0
        places.take(Deadline(1.0), "")
        clock.now += 3.0
        places.give_back()
        clock.now += 1000.0
        places.give_back()
    assert places.expected_wait() == 0.0
    for _ in range(2):
        places.take(Deadline(1.0), "")
    assert places.expected_wait() == pytest.approx(3.0)


def test_without_a_queue_nobody_is_refused() -> None:
    """However long the last ones have taken: a place is free."""
    clock = Clock()
    places = Places(1, 100, "x", 50, clock)
    with queue(places, 3):
        two_turns(places, clock, 100.0)
    places.take(Deadline(0.001), "")
    places.give_back()


def test_a_caller_with_many_calls_delays_no_other() -> None:
    """The next place goes to the caller who has the fewest, whichever came first."""
    places = Places(2, 10, "x")
    for _ in range(2):
        places.take(Deadline(0), "", "greedy")
    with ThreadPoolExecutor(3) as pool:
        greedy = pool.submit(places.take, Deadline(30), "", "greedy")
        assert eventually(lambda: places.waiting == 1)
        other = pool.submit(places.take, Deadline(30), "", "other")
        assert eventually(lambda: places.waiting == 2)
        places.give_back("greedy")
        other.result(10)
        assert not greedy.done()
        places.give_back("greedy")
        greedy.result(10)
    for caller in ("greedy", "other"):
        places.give_back(caller)
    assert places.taken == 0
