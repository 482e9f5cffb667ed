"""The open loop under a clock of its own, on services whose behaviour is known."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
import pytest

from loadtest.agenda import Agenda, poisson_times
from loadtest.knee import MIN_GOODPUT, find_knee, is_carried
from loadtest.points import MAX_LAG, Calls, Outcome, Point, summarise

DEADLINE = 1.0


class Clock:
    """Time passes while a thread waits, and when the service advances it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Serves one call after the other, each in the same time, but for one stall."""

    def __init__(self, clock: Clock, seconds: float, stall_at: float, stall: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._stall_at = clock.now + stall_at
        self._stall = stall
        self._free_at = clock.now

    def serve(self) -> float:
        """Takes a call now; returns when it will be answered."""
        start = max(self._clock.now, self._free_at)
        if start >= self._stall_at:
            start += self._stall
            self._stall = 0.0
        self._free_at = start + self._seconds
        return self._free_at


def offer(rate: float, seconds: float, serve: Callable[[], float], clock: Clock) -> Point:
    """Sends at a rate; ``serve`` says when each call is answered, and may hold the sender up."""
    start = clock.now
    calls = Calls.at(start + poisson_times(rate, seconds, np.random.default_rng(5)))
    answers: list[float] = []

    def wait(left: float | None) -> None:
        clock.now = min(answers[0] if answers else np.inf, clock.now + (left or np.inf))
        while answers and answers[0] <= clock.now:
            heapq.heappop(answers)
            agenda.end()

    def send(position: int, attempt: int) -> None:
        calls.sent[position] = clock.now
        calls.done[position] = serve()
        calls.outcome[position] = Outcome.RIGHT
        heapq.heappush(answers, calls.done[position])

    agenda = Agenda(calls.due.tolist(), clock, wait)
    agenda.run(send)
    end = start + seconds
    return summarise(calls, client="bare", start=start, end=end, settle=0.0, deadline=DEADLINE)


def test_a_stall_counts_for_all_who_would_have_come() -> None:
    """Half a second in ten hits 1 call in 20, though a client that waits would send but one."""
    clock = Clock()
    point = offer(100.0, 10.0, Service(clock, 0.001, 3.0, 0.5).serve, clock)
    assert point.calls == pytest.approx(1000, rel=0.1)
    assert point.p50 < 0.01
    assert 0.35 < point.p99 <= 0.501
    assert point.valid
    closed_loop_p99 = np.quantile([0.001] * 999 + [0.501], 0.99)
    assert closed_loop_p99 < 0.01


def test_a_held_up_sender_leaves_no_call_out() -> None:
    """What is sent late counts from when it was due, and the point is marked."""
    clock = Clock()
    held_up = iter([0.0] * 300 + [0.5])

    def serve() -> float:
        clock.now += next(held_up, 0.0)  # as when a full connection blocks the sender
        return clock.now + 0.001

    point = offer(100.0, 10.0, serve, clock)
    assert point.calls == pytest.approx(1000, rel=0.1)
    assert 0.35 < point.p99 <= 0.501
    assert point.lag == pytest.approx(point.p99, abs=0.02)
    assert not point.valid


def test_late_and_refused_calls_are_no_goodput() -> None:
    """Nor do refused ones make the latencies look better, or those out of time vanish."""
    due = np.arange(10.0)
    calls = Calls.at(due)
    calls.sent[:] = due
    calls.done[:] = np.add(due, [0.1, 0.1, 0.1, 0.1, 1.5, 1.0, 0.0, 0.0, 0.2, 0.2])
    calls.outcome[:] = [1, 1, 1, 1, Outcome.RIGHT, Outcome.LATE, 3, 3, Outcome.FAILED, 1]
    point = summarise(calls, client="bare", start=0, end=10, settle=0, deadline=1.0)
    assert (point.offered, point.goodput) == (1.0, 0.5)
    assert (point.refused, point.late, point.failed) == (0.2, 0.2, 0.1)
    assert point.p50 == pytest.approx(0.15)
    assert point.p999 > 1.4
    settled = summarise(calls, client="bare", start=0, end=10, settle=4.5, deadline=1.0)
    assert settled.calls == 5


def test_times_are_drawn_before_anything_is_sent() -> None:
    """In order, at the rate, and with the gaps of independent arrivals."""
    times = poisson_times(200.0, 100.0, np.random.default_rng(0))
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert np.all(gaps >= 0)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_retries_come_when_they_are_due() -> None:
    """Between the planned calls; and the run lasts until all have ended."""
    clock = Clock()
    sent: list[tuple[float, int, int]] = []

    def wait(left: float | None) -> None:
        assert left is not None
        clock.now += left

    def send(position: int, attempt: int) -> None:
        sent.append((clock.now - 1000.0, position, attempt))
        if attempt < 2 and position == 0:
            agenda.again(position, attempt + 1, clock.now + 1.5)
        else:
            agenda.end()

    agenda = Agenda([1000.0, 1001.0, 1002.0], clock, wait)
    agenda.run(send)
    assert sent == [(0.0, 0, 0), (1.0, 1, 0), (1.5, 0, 1), (2.0, 2, 0), (3.0, 0, 2)]


def queue_of(capacity: float) -> Callable[[float], Point]:
    """A service that takes all it can: waits as of M/D/1 below its capacity, and sheds above."""

    def measure(rate: float) -> Point:
        load = rate / capacity
        wait = load / (2 * (1 - load)) / capacity if load < 1 else 10.0
        p99 = 1 / capacity + 4.6 * wait
        good = rate if p99 <= DEADLINE else 0.9 * capacity
        return make_point(rate, goodput=min(good, rate), p99=p99)

    return measure


def make_point(offered: float, *, goodput: float, p99: float, lag: float = 0.0) -> Point:
    return Point(
        client="bare", offered=offered, goodput=goodput, served=-1, p50=p99 / 3, p99=p99,
        p999=p99, refused=0, late=0, failed=0, retries=0, lag=lag, busy=0, calls=1, wrong=0,
        deadline=DEADLINE,
    )  # fmt: skip


@pytest.mark.parametrize("capacity", [47.0, 333.0, 5000.0])
def test_the_knee_is_found(capacity: float) -> None:
    """Of a queue whose capacity is known, to the resolution of the search and never above."""
    knee = find_knee(queue_of(capacity), start=20.0, halvings=5)
    assert 0.9 * capacity < knee.rate <= capacity
    assert not knee.limited


def test_a_hiccup_is_no_knee() -> None:
    """A rate that fails once and not again is carried."""
    tried: list[float] = []
    service = queue_of(500.0)

    def measure(rate: float) -> Point:
        tried.append(rate)
        hiccup = tried.count(rate) == 1
        return make_point(rate, goodput=0, p99=2.0) if hiccup else service(rate)

    assert 430.0 < find_knee(measure, start=50.0).rate <= 500.0


def test_a_weak_generator_is_named() -> None:
    """Where it lags, there is no result for the service."""

    def measure(rate: float) -> Point:
        return make_point(rate, goodput=rate, p99=0.01, lag=0.0 if rate < 100 else 0.2)

    knee = find_knee(measure, start=20.0)
    assert 70 < knee.rate < 100
    assert knee.limited


def test_a_rate_is_carried_at_its_bounds() -> None:
    """At them it is, one step over any of them not."""
    good = MIN_GOODPUT * 100
    assert is_carried(make_point(100, goodput=good, p99=DEADLINE, lag=MAX_LAG * DEADLINE))
    assert not is_carried(make_point(100, goodput=good - 0.01, p99=DEADLINE))
    assert not is_carried(make_point(100, goodput=100, p99=DEADLINE + 0.001))
    assert not is_carried(make_point(100, goodput=100, p99=0.1, lag=MAX_LAG * DEADLINE + 0.001))


def test_nothing_carried_is_no_knee() -> None:
    """Not even the first rate."""
    assert find_knee(queue_of(10.0), start=40.0).rate == 0.0
