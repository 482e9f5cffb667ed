from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradwire.errors import DeadlineError, OverloadedError
from gradwire_server.deadline import Deadline
from gradwire_server.gate import Gate
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
