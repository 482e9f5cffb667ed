from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from gradwire_server.process.watchdog import Watchdog
from server_process import eventually


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """One that is stopped at the end, in any case."""
    made = Watchdog()
    yield made
    made.stop()


def test_each_is_called_in_its_own_period(watchdog: Watchdog) -> None:
    """Not before the first has passed, and neither much more nor much less often after."""
    calls: dict[float, list[float]] = {0.05: [], 0.2: []}
    start = time.monotonic()
    for period, times in calls.items():
        watchdog.every(period, lambda times=times: times.append(time.monotonic()))
    watchdog.start()
    assert eventually(lambda: len(calls[0.2]) == 3)
    watchdog.stop()
    for period, times in calls.items():
        assert times[0] - start >= period
        assert all(b - a >= period for a, b in itertools.pairwise(times))
    assert len(calls[0.05]) > len(calls[0.2])


def test_all_are_called_from_one_thread(watchdog: Watchdog) -> None:
    """However many there are."""
    threads: set[threading.Thread] = set()
    called = [threading.Event() for _ in range(5)]
    for event in called:
        watchdog.every(0.01, lambda e=event: (threads.add(threading.current_thread()), e.set()))
    watchdog.start()
    assert all(event.wait(10) for event in called)
    assert [thread.daemon for thread in threads] == [True]


def test_one_that_fails_stops_nothing(watchdog: Watchdog, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback and called again, and so are the others."""
    failed, fine = [], []

    def fail() -> None:
        failed.append(1)
        raise ZeroDivisionError

    watchdog.every(0.01, fail)
    watchdog.every(0.01, lambda: fine.append(1))
    watchdog.start()
    assert eventually(lambda: len(failed) >= 3 and len(fine) >= 3)
    assert eventually(lambda: "ZeroDivisionError" in caplog.text)
    assert caplog.records[0].getMessage() == "a check of the watchdog failed"


def test_one_may_come_late(watchdog: Watchdog) -> None:
    """It doesn't wait for the end of a longer period, or of none."""
    watchdog.every(60, lambda: None)
    watchdog.start()
    called = threading.Event()
    watchdog.every(0.01, called.set)
    assert called.wait(10)


def test_nothing_is_called_after_the_stop(watchdog: Watchdog) -> None:
    """It waits for a call in progress, and none follows."""
    begun, release = threading.Event(), threading.Event()
    calls = []

    def check() -> None:
        begun.set()
        release.wait(10)
        calls.append(1)

    watchdog.every(0.01, check)
    watchdog.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=watchdog.stop)
    stopping.start()
    time.sleep(0.05)
    assert stopping.is_alive()
    release.set()
    stopping.join(10)
    assert not stopping.is_alive()
    before = len(calls)
    time.sleep(0.05)
    assert len(calls) == before == 1


def test_one_that_was_never_started_can_be_stopped(watchdog: Watchdog) -> None:
    """As where a server fails to start; and twice."""
    watchdog.every(0.01, lambda: None)
    watchdog.stop()
    watchdog.stop()


def test_it_needs_the_standard_library_alone() -> None:
    """The processes that watch others import little."""
    code = (
        "import sys, gradwire_server.process.watchdog; "
        "assert not {'grpc', 'jax', 'numpy', 'google', 'gradwire'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
