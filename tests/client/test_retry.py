"""The retry loop under a clock of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gradwire.errors import OverloadedError, UnavailableError
from gradwire.transport.retry import LONGEST_PAUSE, Budgets, Failure, RetryBudget, call_with_retries

GONE = Failure(UnavailableError("gone"), retryable=True)


class Clock:
    """Time passes in `sleep` alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(
    clock: Clock,
    attempt: Callable[[float], str | Failure],
    seconds: float = 60.0,
    budget: RetryBudget | None = None,
) -> str:
    return call_with_retries(
        attempt,
        deadline=clock.now + seconds,
        budgets=Budgets(budget or RetryBudget(clock=clock), budget or RetryBudget(clock=clock)),
        clock=clock,
        sleep=clock.sleep,
    )


def results(*values: str | Failure) -> Callable[[float], str | Failure]:
    iterator: Iterator[str | Failure] = iter(values)
    return lambda left: next(iterator)


def test_success_comes_at_once(clock: Clock) -> None:
    """The usual call costs nothing."""
    assert run(clock, results("done")) == "done"
    assert clock.pauses == []


def test_what_may_pass_is_tried_again(clock: Clock) -> None:
    """Whatever the number of failures before."""
    assert run(clock, results(GONE, GONE, GONE, "done")) == "done"
    assert len(clock.pauses) == 3


def test_what_cannot_pass_is_not_tried_again(clock: Clock) -> None:
    """The error is the attempt's own, without notes."""
    error = OverloadedError("too large")
    with pytest.raises(OverloadedError) as caught:
        run(clock, results(Failure(error)))
    assert caught.value is error
    assert not hasattr(error, "__notes__")


def test_the_deadline_ends_it(clock: Clock) -> None:
    """Attempts are told what is left, and none begins after the deadline."""
    left: list[float] = []

    def attempt(seconds: float) -> Failure:
        left.append(seconds)
        return Failure(UnavailableError("gone"), retryable=True)

    with pytest.raises(UnavailableError) as caught:
        run(clock, attempt, seconds=10.0)
    assert clock.now <= 110.0
    assert left[0] == 10.0
    assert left == sorted(left, reverse=True)
    assert all(seconds > 0 for seconds in left)
    assert f"{len(left)} attempts" in caught.value.__notes__[0]


def test_pauses_grow_to_a_bound(clock: Clock) -> None:
    """Each is drawn from zero up to a bound that doubles, to two seconds."""
    with pytest.raises(UnavailableError):
        run(clock, lambda _: GONE, seconds=600.0)
    for number, pause in enumerate(clock.pauses):
        assert 0 <= pause <= min(0.1 * 2**number, LONGEST_PAUSE)
    assert max(clock.pauses) > LONGEST_PAUSE / 2
    assert len(set(clock.pauses)) == len(clock.pauses)


def test_the_servers_pause_is_a_minimum(clock: Clock) -> None:
    """Chance is added to it, so that not all come back together."""
    asked = Failure(OverloadedError("full"), retryable=True, retry_after=3.0)
    run(clock, results(asked, asked, "done"))
    assert all(3.0 <= pause < 5.0 for pause in clock.pauses)
    assert clock.pauses[0] != clock.pauses[1]


def test_a_pause_past_the_deadline_is_not_waited_for(clock: Clock) -> None:
    """The caller learns at once what he would learn later."""
    with pytest.raises(OverloadedError):
        run(clock, lambda _: Failure(OverloadedError("full"), True, 61.0))
    assert clock.pauses == []


def test_the_budget_bounds_all_calls_together(clock: Clock) -> None:
    """After a burst there are only so many retries in a second."""
    budget = RetryBudget(burst=5, per_second=2.0, clock=clock)
    assert [budget.take(60.0) for _ in range(5)] == [0.0] * 5
    assert budget.take(60.0) == pytest.approx(0.5)
    assert budget.take(60.0) == pytest.approx(1.0)
    assert budget.take(1.2) is None
    assert budget.take(60.0) == pytest.approx(1.5)  # the refusal has taken nothing
    clock.now += 1000.0
    assert [budget.take(60.0) for _ in range(5)] == [0.0] * 5
    assert budget.take(60.0) == pytest.approx(0.5)


def test_an_empty_budget_ends_a_call(clock: Clock) -> None:
    """The server's error is raised rather than the server pressed further."""
    budget = RetryBudget(burst=2, per_second=0.001, clock=clock)
    with pytest.raises(UnavailableError):
        run(clock, lambda _: GONE, budget=budget)
    assert len(clock.pauses) == 2


def test_what_succeeds_allows_retries(clock: Clock) -> None:
    """One for five successes, up to the burst, however many calls fail meanwhile."""
    budget = RetryBudget(burst=2, per_second=1e-9, per_success=0.2, clock=clock)
    assert [budget.take(0.0) for _ in range(3)] == [0.0, 0.0, None]
    for _ in range(5):
        assert budget.take(0.0) is None
        budget.succeeded()
    budget.succeeded()  # the sum of five fifths is a rounding error short of one
    assert budget.take(0.0) == 0.0
    assert budget.take(0.0) is None
    for _ in range(1000):
        budget.succeeded()
    assert [budget.take(0.0) for _ in range(3)] == [0.0, 0.0, None]


def test_the_wait_for_a_retry_goes_by_recent_successes(clock: Clock) -> None:
    """A fast server fills the budget fast; one that hasn't answered for long does not."""
    budget = RetryBudget(burst=1, per_second=0.1, per_success=0.2, clock=clock)
    for _ in range(100):
        budget.succeeded()  # 20 in a second, by the memory of 5 seconds
    assert budget.take(0.0) == 0.0
    assert budget.take(60.0) == pytest.approx(1 / (0.1 + 0.2 * 20))
    clock.now += 60.0
    assert budget.take(60.0) == 0.0
    assert budget.take(60.0) == pytest.approx(10.0, rel=0.01)


def test_a_server_that_refuses_is_spared_more_than_one_that_is_lost(clock: Clock) -> None:
    """Of a hundred callers, a refusing server sees few again within a second."""
    budgets = Budgets(
        RetryBudget(burst=16, per_second=2.0, per_success=0.2, clock=clock),
        RetryBudget(clock=clock),
    )
    full = Failure(OverloadedError("full"), retryable=True, refused=True)
    assert sum(budgets.of(full).take(1.0) is not None for _ in range(100)) == 18
    assert sum(budgets.of(GONE).take(1.0) is not None for _ in range(100)) == 48


def test_threads_share_the_budget() -> None:
    """No retry is counted twice or not at all."""
    budget = RetryBudget(burst=100, per_second=1e-6)
    taken: list[float | None] = []

    def take() -> None:
        for _ in range(50):
            taken.append(budget.take(0.0))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(None) == 300
