from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler import runs as runs_module
from gradwire_server.serving.scheduler.runs import Run, Runs
from server_process import eventually


@contextmanager
def running(runs: Runs, deadline: Deadline, plan_id: str, call_id: str) -> Iterator[None]:
    """A run for the time of the block."""
    run = Run(deadline, plan_id, call_id)
    runs.add(run)
    yield
    runs.remove(run)


def test_all_places_must_be_taken(watchdog: Watchdog) -> None:
    """As long as one is left, or its run is waited for, or ends in time, the server goes on."""
    gave_up = threading.Event()
    runs = Runs(2, 0.4, watchdog, gave_up.set)
    waited_for = Deadline(60)
    with running(runs, Deadline(0), "p", "1"):
        assert not gave_up.wait(0.8)
        with running(runs, waited_for, "p", "2"):
            assert not gave_up.wait(0.8)
            assert runs.abandoned == 1
        with running(runs, Deadline(0), "p", "3"):
            time.sleep(0.1)
        assert not gave_up.wait(0.8)
        with running(runs, Deadline(0), "p", "4"):
            assert gave_up.wait(10)
    assert runs.abandoned == 0


@pytest.mark.parametrize("gone", [True, False])
def test_a_caller_may_go_before_the_deadline(watchdog: Watchdog, gone: bool) -> None:
    """Then the run is abandoned, too; a run whose caller is there and has time is not."""
    gave_up = threading.Event()
    runs = Runs(1, 0.2, watchdog, gave_up.set)
    with running(runs, Deadline(60, alive=lambda: not gone), "p", "1"):
        assert gave_up.wait(1.0) == gone
        assert runs.abandoned == gone


def test_each_is_logged_once(watchdog: Watchdog, caplog: pytest.LogCaptureFixture) -> None:
    """With its plan and its call, so that its sender can be found."""
    runs = Runs(3, 0.2, watchdog, lambda: None)
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(running(runs, Deadline(0), f"plan{number}", f"call{number}"))
        assert eventually(lambda: len(caplog.records) == 2)
        time.sleep(0.3)
    assert sorted(record.getMessage()[:32] for record in caplog.records) == [
        "the plan plan0 of the call 'call0'"[:32], "the plan plan1 of the call 'call1'"[:32],
    ]  # fmt: skip


def test_it_gives_up_once(watchdog: Watchdog) -> None:
    """However long they go on after that; whether it has is known."""
    times = []
    runs = Runs(1, 0.1, watchdog, lambda: times.append(1))
    assert not runs.are_stuck
    with running(runs, Deadline(0), "p", "1"):
        assert eventually(lambda: runs.are_stuck)
        time.sleep(0.3)
    assert times == [1]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_check_that_is_held_up_takes_no_time_from_a_run(
    monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """It is abandoned from the moment of the check, and what has ended meanwhile is no more."""
    now, held_up = 50.0, iter([10.0, 0.0, 10.0, 0.0])

    def alive() -> bool:
        nonlocal now
        now += next(held_up)
        return False

    monkeypatch.setattr(runs_module, "time", SimpleNamespace(monotonic=lambda: now))
    runs = Runs(1, 5.0, Watchdog(), lambda: None)
    runs.add(Run(Deadline(60, alive), "p", "1"))
    runs._check()
    now += 4.0
    runs._check()
    assert not runs.are_stuck
    runs._check()  # begins after 4 s, ends after 14
    assert not runs.are_stuck
    if goes_on:
        runs._check()
    assert runs.are_stuck == goes_on


def test_it_gives_up_though_the_log_is_stuck(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where nobody reads the pipe that it is written to."""
    released, gave_up = threading.Event(), threading.Event()
    monkeypatch.setattr(
        logging.getLogger("gradwire_server.serving.scheduler.runs"),
        "log",
        lambda *line, **values: released.wait(30),
    )
    runs = Runs(1, 0.1, watchdog, gave_up.set)
    with running(runs, Deadline(0), "p", "1"):
        assert gave_up.wait(10)
    released.set()
