from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gradwire.errors import DeadlineError, OverloadedError
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.places import Gate
from server_process import eventually


def test_one_more_than_may_wait_is_refused() -> None:
    """At the bound a call waits; above it, it is turned away at once, with the limit's name."""
    gate = Gate(2, 3, "max_waiting_executions")
    for _ in range(2):
        gate.enter(Deadline(0), "")  # a free place needs no time
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(gate.enter, Deadline(30), "") for _ in range(3)]
        assert eventually(lambda: gate.waiting == 3)
        with pytest.raises(OverloadedError, match="`max_waiting_executions` is 3") as caught:
            gate.enter(Deadline(30), "")
        assert caught.value.metadata == {"limit": "max_waiting_executions", "allowed": "3"}
        for future in waiting:
            gate.leave()
            future.result(10)
        assert gate.waiting == 0


def test_a_turn_that_does_not_come_is_late() -> None:
    """Whoever gave up has left the queue, and takes nobody's place."""
    gate = Gate(1, 1, "x")
    gate.enter(Deadline(1), "")
    for _ in range(3):
        with pytest.raises(DeadlineError, match="while it waited"):
            gate.enter(Deadline(0.01), "it waited")
    gate.leave()
    gate.enter(Deadline(0), "")


def test_never_more_are_inside_than_may_be() -> None:
    """With many threads that come and go; and all of them get in."""
    gate, lock = Gate(3, 100, "x"), threading.Lock()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            gate.enter(Deadline(30), "")
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            gate.leave()

    with ThreadPoolExecutor(12) as pool:
        for future in [pool.submit(work) for _ in range(12)]:
            future.result(60)
    assert inside == 0
    assert most <= 3


def test_time_with_anybody_inside_is_counted() -> None:
    """Once, however many there are; up to now while somebody still is, and not after."""
    gate = Gate(2, 1, "x")
    assert (gate.inside, gate.busy_seconds) == (0, 0.0)
    start = time.perf_counter()
    gate.enter(Deadline(1), "")
    gate.enter(Deadline(1), "")
    assert gate.inside == 2
    time.sleep(0.05)
    gate.leave()
    assert 0.05 <= gate.busy_seconds <= time.perf_counter() - start
    gate.leave()
    busy = gate.busy_seconds
    assert 0.05 <= busy <= time.perf_counter() - start
    time.sleep(0.01)
    assert gate.busy_seconds == busy
    gate.enter(Deadline(1), "")
    gate.leave()
    assert busy <= gate.busy_seconds < time.perf_counter() - start - 0.01


class Clock:
    """Time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def queue(gate: Gate, length: int) -> Iterator[list[Future[None]]]:
    """One inside and so many waiting; all are let through at the end."""
    gate.enter(Deadline(60), "")
    with ThreadPoolExecutor(length) as pool:
        waiting = [pool.submit(gate.enter, Deadline(60), "") for _ in range(length)]
        assert eventually(lambda: gate.waiting == length)
        try:
            yield waiting
        finally:
            while gate.waiting:
                gate.leave()
    gate.leave()


def two_turns(gate: Gate, clock: Clock, seconds: float) -> None:
    """The first shows that turns come, the second how fast."""
    for _ in range(2):
        clock.now += seconds
        gate.leave()


def refuse_hasty(gate: Gate) -> None:
    """So many callers with one second come that the gate takes all for such."""
    for _ in range(60):
        with pytest.raises(OverloadedError):
            gate.enter(Deadline(1.0), "")


def test_a_wait_for_too_long_is_refused() -> None:
    """At half of the time that is left one waits, past it one is turned away, and told why."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    with queue(gate, 6), ThreadPoolExecutor(1) as pool:
        two_turns(gate, clock, 2.0)
        assert gate.waiting == 4
        assert gate.expected_wait() == pytest.approx(10.0)
        with pytest.raises(OverloadedError, match="`max_wait_percent` is 50") as caught:
            gate.enter(Deadline(19.0), "")
        assert caught.value.metadata == {"limit": "max_wait_percent", "allowed": "50"}
        assert caught.value.retry_after == pytest.approx(10.0)
        patient = pool.submit(gate.enter, Deadline(21.0), "")
        assert eventually(lambda: gate.waiting == 5)
        while gate.waiting:
            gate.leave()
        patient.result(10)


def test_a_queue_is_crowded_by_the_measure_of_those_who_come() -> None:
    """Too long for callers in a hurry, and not for others; an empty one never is."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    assert not gate.is_crowded()
    with queue(gate, 6):
        two_turns(gate, clock, 2.0)
        assert not gate.is_crowded()  # they had a minute
        refuse_hasty(gate)
        assert gate.is_crowded()
    assert not gate.is_crowded()


def test_callers_who_are_late_are_no_measure() -> None:
    """Where there is no place they are late, not too many; patient ones find no crowd then."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    with queue(gate, 4):
        two_turns(gate, clock, 1.0)
        for _ in range(100):
            with pytest.raises(DeadlineError, match="while it waited"):
                gate.enter(Deadline(-1.0), "it waited")
        assert gate.waiting == 2
        assert not gate.is_crowded()


def test_an_empty_queue_is_not_crowded() -> None:
    """Though all before were in a hurry: patient callers come to it, and show that they are."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    with queue(gate, 6):
        two_turns(gate, clock, 2.0)
        refuse_hasty(gate)
        assert gate.is_crowded()
        for _ in range(4):
            clock.now += 2.0
            gate.leave()
        assert (gate.inside, gate.waiting) == (1, 0)
        assert gate.expected_wait() == pytest.approx(2.0)
        assert not gate.is_crowded()
        with ThreadPoolExecutor(1) as pool:
            for _ in range(20):
                assert not gate.is_crowded()
                patient = pool.submit(gate.enter, Deadline(60.0), "")
                assert eventually(lambda: gate.waiting == 1)
                crowded = gate.is_crowded()
                clock.now += 2.0
                gate.leave()
                patient.result(10)
        assert not crowded


def test_what_was_slow_may_become_fast_without_a_queue() -> None:
    """Long waits turn those in a hurry away, and nobody else comes: that must not last."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    with queue(gate, 3):
        two_turns(gate, clock, 100.0)
    gate.enter(Deadline(1.0), "")
    with pytest.raises(OverloadedError):
        gate.enter(Deadline(1.0), "")
    for _ in range(60):
        clock.now += 0.001
        gate.leave()
        gate.enter(Deadline(1.0), "")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.enter, Deadline(1.0), "")
        assert eventually(lambda: gate.waiting == 1)
        gate.leave()
        waiting.result(10)


def test_turns_are_timed_while_all_places_are_taken() -> None:
    """From the last that was free on; not while nobody would have to wait."""
    clock = Clock()
    gate = Gate(2, 100, "x", 50, clock)
    for _ in range(2):
        gate.enter(Deadline(1.0), "")
        clock.now += 1000.0
        gate.enter(Deadline(1.0), "")
        clock.now += 3.0
        gate.leave()
        clock.now += 1000.0
        gate.leave()
    assert gate.expected_wait() == 0.0
    for _ in range(2):
        gate.enter(Deadline(1.0), "")
    assert gate.expected_wait() == pytest.approx(3.0)


def test_without_a_queue_nobody_is_refused() -> None:
    """However long the last ones have taken: a place is free."""
    clock = Clock()
    gate = Gate(1, 100, "x", 50, clock)
    with queue(gate, 3):
        two_turns(gate, clock, 100.0)
    gate.enter(Deadline(0.001), "")
    gate.leave()
