from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from gradwire.errors import DeadlineError
from gradwire_server.config.settings import Settings
from gradwire_server.process.run_journal import create_journal
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler import Scheduler
from gradwire_server.serving.scheduler.isolation import Entered, Isolation
from server_process import eventually

DOING = "it waited for its turn"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for runs that wait."""
    with ThreadPoolExecutor(16) as made:
        yield made


def enter(isolation: Isolation, plan_id: str, seconds: float = 30.0) -> Entered:
    return isolation.enter(plan_id, Deadline(seconds), DOING)


def enter_later(
    pool: ThreadPoolExecutor, isolation: Isolation, plan_id: str, seconds: float = 30.0
) -> Future[Entered]:
    """One that waits; it has come when this returns."""
    before = len(isolation._queue)
    future = pool.submit(enter, isolation, plan_id, seconds)
    assert eventually(lambda: len(isolation._queue) > before or future.done())
    return future


def test_without_suspects_all_run_freely() -> None:
    """However many there are."""
    isolation = Isolation()
    assert [enter(isolation, "a") for _ in range(3)] == [Entered.FREELY] * 3
    isolation.leave("a", Entered.FREELY, well=False)
    assert isolation.suspects == 0


def test_others_run_beside_each_other() -> None:
    """A suspect that isn't called costs nothing."""
    isolation = Isolation(["s"])
    assert [enter(isolation, "a"), enter(isolation, "b")] == [Entered.BESIDE] * 2


def test_a_suspect_waits_for_others_and_they_for_it(pool: ThreadPoolExecutor) -> None:
    """Nothing runs beside it; those that come after it wait behind it."""
    isolation = Isolation(["s"])
    for plan_id in ("a", "b"):
        enter(isolation, plan_id)
    suspect = enter_later(pool, isolation, "s")
    other = enter_later(pool, isolation, "a")
    isolation.leave("a", Entered.BESIDE, well=True)
    time.sleep(0.05)
    assert not suspect.done()
    isolation.leave("b", Entered.BESIDE, well=True)
    assert suspect.result(10) is Entered.ALONE
    time.sleep(0.05)
    assert not other.done()
    isolation.leave("s", Entered.ALONE, well=True)
    assert other.result(10) in (Entered.BESIDE, Entered.FREELY)


def test_suspects_run_one_after_the_other(pool: ThreadPoolExecutor) -> None:
    """So that a death tells which of them caused it."""
    isolation = Isolation(["s", "t"])
    assert enter(isolation, "s") is Entered.ALONE
    second = enter_later(pool, isolation, "t")
    time.sleep(0.05)
    assert not second.done()
    isolation.leave("s", Entered.ALONE, well=True)
    assert second.result(10) is Entered.ALONE
    assert isolation.suspects == 1


def test_one_run_that_ends_well_clears_a_plan(pool: ThreadPoolExecutor) -> None:
    """One that fails doesn't; calls of it that wait already need no longer run alone."""
    isolation = Isolation(["s", "t"])
    enter(isolation, "s")
    isolation.leave("s", Entered.ALONE, well=False)
    assert isolation.suspects == 2
    assert enter(isolation, "s") is Entered.ALONE
    waiting = [enter_later(pool, isolation, "s") for _ in range(2)]
    isolation.leave("s", Entered.ALONE, well=True)
    assert isolation.suspects == 1
    assert [future.result(10) for future in waiting] == [Entered.BESIDE] * 2


def test_the_last_one_cleared_frees_all() -> None:
    """From then on nothing is counted, and what was let in before may end."""
    isolation = Isolation(["s"])
    enter(isolation, "s")
    isolation.leave("s", Entered.ALONE, well=True)
    assert enter(isolation, "s") is Entered.FREELY


@pytest.mark.parametrize("late", ["s", "a"])
def test_nobody_waits_past_the_deadline(pool: ThreadPoolExecutor, late: str) -> None:
    """Those behind one that has given up go on."""
    isolation = Isolation(["s", "t"])
    held = "a" if late == "s" else "t"
    entered = enter(isolation, held)
    start = time.monotonic()
    first = enter_later(pool, isolation, late, 0.3)
    behind = enter_later(pool, isolation, "b")
    with pytest.raises(DeadlineError, match="deadline passed while it waited for its turn"):
        first.result(10)
    assert time.monotonic() - start >= 0.3
    if late == "a":
        assert not behind.done()
        isolation.leave(held, entered, well=True)
    assert behind.result(10) is Entered.BESIDE
    assert isolation._queue == type(isolation._queue)()


def test_one_that_need_not_wait_may_have_no_time() -> None:
    """Whether it is late is for the scheduler to find out."""
    assert enter(Isolation(["s"]), "a", 0.0) is Entered.BESIDE


def test_nobody_starves(pool: ThreadPoolExecutor) -> None:
    """A suspect that fails again and again and others that keep coming take turns."""
    isolation, stop = Isolation(["s"]), threading.Event()
    runs = {"s": 0, "a": 0}

    def call(plan_id: str) -> None:
        while not stop.is_set():
            entered = enter(isolation, plan_id)
            time.sleep(0.001)
            runs[plan_id] += 1
            isolation.leave(plan_id, entered, well=plan_id != "s")

    calls = [pool.submit(call, plan_id) for plan_id in "ssssaaaa"]
    try:
        assert eventually(lambda: min(runs.values()) >= 20, 30), runs
    finally:
        stop.set()
    for future in calls:
        future.result(10)


@pytest.mark.parametrize("ends", ["well", "with an error", "too late"])
def test_the_scheduler_knows_how_a_run_ended(ends: str) -> None:
    """Only one that has computed its outputs clears its plan."""
    scheduler = Scheduler(Settings(), 0, Watchdog(), lambda: None, suspects=["s", "t"])
    assert scheduler.suspects == 2
    record = CallRecord("Compute", "call", plan_id="s")
    deadline = Deadline(60, alive=lambda: ends != "too late")
    try:
        with scheduler.run(0, deadline, record):
            assert scheduler.running == 1
            if ends != "well":
                raise ZeroDivisionError
    except (ZeroDivisionError, DeadlineError):
        pass
    assert scheduler.suspects == (1 if ends == "well" else 2)
    with scheduler.run(0, Deadline(1), CallRecord("Compute", "call", plan_id="a")):
        assert scheduler.running == 1


def test_loads_are_noted_and_kept_apart_like_runs(pool: ThreadPoolExecutor) -> None:
    """A suspect is loaded with nothing beside it, and is one until it has run."""
    journal = create_journal(3)

    def noted() -> list[str]:
        return [run.plan_id for run in journal.read()]

    scheduler = Scheduler(Settings(), 0, Watchdog(), lambda: None, journal, ["s"])
    suspect, other = scheduler.noting("s"), scheduler.noting("a")
    suspect.__enter__()
    assert noted() == ["s"]
    entered = pool.submit(other.__enter__)
    assert eventually(lambda: len(scheduler._isolation._queue) == 1)
    assert not entered.done()
    suspect.__exit__(None, None, None)
    entered.result(10)
    assert noted() == ["a"]
    record = CallRecord("Compute", "call", plan_id="s")
    with pytest.raises(DeadlineError), scheduler.run(0, Deadline(0.1), record):
        pass
    other.__exit__(None, None, None)
    assert scheduler.suspects == 1
    with scheduler.run(0, Deadline(60), record):
        assert noted() == ["s"]
    assert scheduler.suspects == 0
    journal.close()
