from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.errors import DeadlineError, OverloadedError
from gradwire_server.config.settings import Settings
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler import Scheduler
from programs import X, unary
from server_process import eventually
from serving import inline, outputs, serving


def make(
    device_bytes: int = 100, give_up: Callable[[], None] = lambda: None, **limits: Any
) -> Scheduler:
    """One whose runs nobody looks at."""
    return Scheduler(Settings(**limits), device_bytes, Watchdog(), give_up)


def call() -> CallRecord:
    return CallRecord("Compute", "call", plan_id="plan")


def test_places_are_bounded() -> None:
    """As many run as may, the next waits, and one that would find the queue full is refused."""
    scheduler = make(max_executions=2, max_waiting_executions=1)
    with ExitStack() as running, ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            running.enter_context(scheduler.run(10, Deadline(1), call()))
        third = scheduler.run(10, Deadline(30), call())
        entered = pool.submit(third.__enter__)
        assert eventually(lambda: scheduler.waiting == 1)
        assert (scheduler.running, entered.done()) == (2, False)
        with (
            pytest.raises(OverloadedError, match="`max_waiting_executions` is 1"),
            scheduler.run(10, Deadline(30), call()),
        ):
            pass
        running.close()
        entered.result(10)
        assert (scheduler.running, scheduler.waiting) == (1, 0)
        third.__exit__(None)
    assert scheduler.running == 0


def test_memory_is_waited_for_at_a_place() -> None:
    """One that finds no memory in time gives its place back, for the others to run."""
    scheduler = make(100, max_executions=2)
    with scheduler.run(60, Deadline(1), call()):
        record = call()
        with (
            pytest.raises(DeadlineError, match="while it waited for its turn to run"),
            scheduler.run(50, Deadline(0.05), record),
        ):
            pass
        assert record.queue >= 0.05
        assert record.execute == 0
        assert scheduler.running == 1
        with scheduler.run(40, Deadline(0.05), call()):
            assert scheduler.running == 2
    with scheduler.run(100, Deadline(0.05), call()):
        pass


@pytest.mark.parametrize("ends", ["well", "with an error"])
def test_all_is_given_back(ends: str) -> None:
    """However the run ends."""
    scheduler = make(100, max_executions=1)
    for _ in range(3):
        try:
            with scheduler.run(100, Deadline(0.05), call()):
                assert scheduler.running == 1
                if ends != "well":
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert (scheduler.running, scheduler.abandoned) == (0, 0)


def test_a_call_whose_caller_has_gone_does_not_run() -> None:
    """Though its turn has come: it gives back what it got."""
    scheduler = make(100, max_executions=1)
    gone = Deadline(60, alive=lambda: False)
    with (
        pytest.raises(DeadlineError, match="while it waited for its turn to run"),
        scheduler.run(100, gone, call()),
    ):
        pytest.fail("it ran")
    with scheduler.run(100, Deadline(1), call()):
        pass


def test_time_counts_as_queue_and_then_as_execute() -> None:
    """Waiting for a place is the one, running the other; what was noted before stays."""
    scheduler = make(max_executions=1)
    record = call()
    record.queue = record.execute = 1.0
    begun, release = threading.Event(), threading.Event()

    def hold() -> None:
        with scheduler.run(10, Deadline(60), call()):
            begun.set()
            release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert begun.wait(10)
        start = time.perf_counter()
        threading.Timer(0.1, release.set).start()
        with scheduler.run(10, Deadline(60), record):
            time.sleep(0.2)
        took = time.perf_counter() - start
    queue, execute = record.queue - 1.0, record.execute - 1.0
    assert queue >= 0.08
    assert execute >= 0.2
    assert queue + execute <= took


def test_a_run_without_a_caller_is_seen() -> None:
    """From the moment when its caller goes to its end."""
    scheduler = make()
    there = True
    with scheduler.run(10, Deadline(60, alive=lambda: there), call()):
        assert scheduler.abandoned == 0
        there = False
        assert scheduler.abandoned == 1
    assert scheduler.abandoned == 0


def test_it_gives_up_when_runs_without_callers_take_all_places() -> None:
    """It says so, and by then is known to be stuck."""
    gave_up, watchdog = threading.Event(), Watchdog()
    settings = Settings(max_executions=1, max_abandoned_seconds=1.0)
    scheduler = Scheduler(settings, 0, watchdog, gave_up.set)
    watchdog.start()
    there = True
    with scheduler.run(10, Deadline(60, alive=lambda: there), call()):
        there = False
        assert not scheduler.is_stuck
        assert gave_up.wait(10)
        assert scheduler.is_stuck
    watchdog.stop()


def test_calls_that_wait_for_a_compile_are_bounded() -> None:
    """At the bound they wait, one over it is refused; programs run meanwhile."""
    scheduler = make(max_waiting_calls=2)
    for _ in range(2):
        with ExitStack() as waiting:
            for _ in range(2):
                waiting.enter_context(scheduler.wait_for_compile(Deadline(60)))
            assert scheduler.waiting_for_compile == 2
            with (
                pytest.raises(OverloadedError, match="`max_waiting_calls` is 2") as caught,
                scheduler.wait_for_compile(Deadline(60)),
            ):
                pass
            assert caught.value.metadata == {"limit": "max_waiting_calls", "allowed": "2"}
            with (
                pytest.raises(DeadlineError, match="waited for its program to be compiled"),
                scheduler.wait_for_compile(Deadline(0)),
            ):
                pass
            with scheduler.run(10, Deadline(1), call()):
                pass
    assert scheduler.waiting_for_compile == 0


def test_runs_share_the_memory_of_the_device(tmp_path: Path) -> None:
    """A run waits for the memory that others have taken."""
    with serving(tmp_path, max_device_bytes=10**6, max_executions=2) as (app, stub):
        request = inline(unary("sin"), X)
        (wanted,) = outputs(stub.Compute(request, timeout=60))
        with app.scheduler.run(10**6, Deadline(60), call()):
            waiting = stub.Compute.future(request, timeout=60)
            assert eventually(lambda: app.scheduler._memory.waiting == 1)
        np.testing.assert_array_equal(outputs(waiting.result())[0], wanted)


class Embedded:
    """A scheduler of an embedded server, in which one run has been abandoned."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.gave_up = threading.Event()
        settings = Settings(embedded=True, max_executions=3, max_abandoned_seconds=1.0)
        self._scheduler = Scheduler(settings, 0, watchdog, self.gave_up.set)
        self._waits = True
        self.stack = ExitStack()

    def run(self, *, waits: bool = True) -> ExitStack:
        """A run that goes on until it is closed, whose caller waits or is to leave."""
        block = self.stack.enter_context(ExitStack())
        deadline = Deadline(60, lambda: waits or self._waits)
        block.enter_context(self._scheduler.run(0, deadline, call()))
        return block

    def leave(self) -> None:
        """The callers leave that are to."""
        self._waits = False


@pytest.fixture
def embedded(watchdog: Watchdog) -> Iterator[Embedded]:
    """One."""
    made = Embedded(watchdog)
    with made.stack:
        yield made


def test_an_embedded_server_ends_for_the_next_call(embedded: Embedded) -> None:
    """However short, if it comes when an abandoned run has had its time, and not before."""
    embedded.run(waits=False)
    embedded.leave()
    assert not embedded.gave_up.wait(0.5)
    embedded.run().close()
    assert not embedded.gave_up.wait(1.5)
    embedded.run().close()
    assert embedded.gave_up.wait(10)


def test_an_embedded_server_ends_for_a_call_that_is_there(embedded: Embedded) -> None:
    """When the abandoned run has had its time."""
    embedded.run(waits=False)
    embedded.leave()
    assert not embedded.gave_up.wait(0.3)
    embedded.run()
    assert not embedded.gave_up.wait(0.4)
    assert embedded.gave_up.wait(10)


def test_an_embedded_server_does_not_end_for_a_later_call_what_began_before(
    embedded: Embedded,
) -> None:
    """It would have to be computed again, and is no longer than others."""
    older = embedded.run()
    embedded.run(waits=False)
    embedded.leave()
    assert not embedded.gave_up.wait(0.3)
    embedded.run()
    assert not embedded.gave_up.wait(1.5)
    older.close()
    assert embedded.gave_up.wait(10)
