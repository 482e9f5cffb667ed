from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from gradwire.errors import OverloadedError
from gradwire_server.serving.compile_pool import CompilePool
from server_process import eventually


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends all jobs that wait for it, at the latest after the test."""
    event = threading.Event()
    yield event
    event.set()


def test_jobs_are_done_in_turn(release: threading.Event) -> None:
    """As many at once as there are threads, the rest in the order they came."""
    workers, done = CompilePool(1, 10), []
    workers.submit(lambda: release.wait(30) and None)
    for number in range(3):
        workers.submit(lambda number=number: done.append(number))
    assert eventually(lambda: (workers.busy, workers.waiting) == (1, 3))
    release.set()
    assert eventually(lambda: done == [0, 1, 2])
    assert workers.stop(10)


def test_one_more_than_may_wait_is_refused(release: threading.Event) -> None:
    """Jobs for idle threads don't count as waiting."""
    workers = CompilePool(2, 3)
    for _ in range(2 + 3):
        workers.submit(lambda: release.wait(30) and None)
    with pytest.raises(OverloadedError, match="`max_waiting_compiles` is 3") as caught:
        workers.submit(lambda: None)
    assert caught.value.metadata == {"limit": "max_waiting_compiles", "allowed": "3"}
    release.set()
    assert eventually(lambda: workers.busy == workers.waiting == 0)
    workers.submit(lambda: None)
    assert workers.stop(10)


def test_a_job_that_raises_costs_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next job is done."""
    workers, done = CompilePool(1, 10), threading.Event()
    workers.submit(lambda: 1 // 0)
    workers.submit(done.set)
    assert done.wait(10)
    assert workers.stop(10)
    assert "ZeroDivisionError" in caplog.text


def test_the_end_drops_what_waits(release: threading.Event) -> None:
    """A job that is being done goes on, which the answer says; nothing new is taken."""
    workers, done = CompilePool(1, 10), threading.Event()
    workers.submit(lambda: release.wait(30) and None)
    assert eventually(lambda: workers.busy == 1)
    workers.submit(done.set)
    assert not workers.stop(0.05)
    with pytest.raises(OverloadedError):
        workers.submit(lambda: None)
    release.set()
    assert workers.stop(10)
    assert not done.is_set()


def test_other_threads_keep_their_stack() -> None:
    """The deep stack is for compiling alone."""
    before = threading.stack_size()
    workers = CompilePool(1, 1)
    assert threading.stack_size() == before
    assert workers.stop(10)


def test_only_a_compile_makes_threads_switch_often() -> None:
    """While a job runs others get the interpreter soon; afterwards all is as before."""
    # The interval is the whole process's, and a compile of another test may still run.
    script = """
import queue, sys
from gradwire_server.serving.compile_pool import CompilePool
before, during, workers = sys.getswitchinterval(), queue.Queue(), CompilePool(1, 1)
workers.submit(lambda: during.put(sys.getswitchinterval()))
found = during.get(timeout=30)
assert workers.stop(30)
print(before, found, sys.getswitchinterval())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    before, during, after = map(float, run.stdout.split())
    assert during < before / 10
    assert after == before


def test_a_caller_with_long_jobs_delays_no_other(release: threading.Event) -> None:
    """The reserved thread takes no second job of a caller; the first of another goes there."""
    pool, done = CompilePool(1, 10, reserved=1), []
    for _ in range(3):
        pool.submit(lambda: release.wait(30) and None, "a")
    assert eventually(lambda: (pool.busy, pool.waiting) == (1, 2))
    for number in range(2):
        pool.submit(lambda number=number: done.append(number), "b")
    assert eventually(lambda: done == [0, 1])
    assert (pool.busy, pool.waiting) == (1, 2)
    release.set()
    assert eventually(lambda: pool.busy == pool.waiting == 0)
    assert pool.stop(10)


def test_a_full_queue_keeps_nobody_from_the_reserved_thread(release: threading.Event) -> None:
    """A caller's first job goes there, however many of another wait; the next is refused."""
    pool, done = CompilePool(1, 2, reserved=1), threading.Event()
    pool.submit(lambda: release.wait(30) and None, "a")
    assert eventually(lambda: pool.busy == 1)
    for _ in range(2):
        pool.submit(lambda: None, "a")
    with pytest.raises(OverloadedError):
        pool.submit(lambda: None, "a")
    pool.submit(lambda: (done.set(), release.wait(30)), "b")
    assert done.wait(10)
    for caller in "bc":
        with pytest.raises(OverloadedError):
            pool.submit(lambda: None, caller)
    release.set()
    assert pool.stop(10)


def test_callers_take_turns(release: threading.Event) -> None:
    """Of two free threads one goes to the caller who has none at work, not to the first in line."""
    pool, started = CompilePool(2, 10), queue.Queue()

    def job(name: str) -> Callable[[], object]:
        return lambda: (started.put(name), release.wait(30))

    pool.submit(job("a"), "a")
    assert started.get(timeout=10) == "a"
    gate = threading.Event()
    pool.submit(lambda: gate.wait(30), "c")
    assert eventually(lambda: pool.busy == 2)
    pool.submit(job("a"), "a")
    pool.submit(job("b"), "b")
    gate.set()
    assert started.get(timeout=10) == "b"
    release.set()
    assert pool.stop(10)
