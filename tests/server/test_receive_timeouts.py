from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.receive_timeouts import ReceiveTimeouts


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """One that watches."""
    made = Watchdog()
    made.start()
    yield made
    made.stop()


def test_a_call_is_cancelled_once_its_time_is_over(watchdog: Watchdog) -> None:
    """Not before, and once; one whose message has arrived is not."""
    timeouts = ReceiveTimeouts(0.4, watchdog)
    cancelled: list[tuple[str, float]] = []
    late = threading.Event()

    def cancel(name: str) -> None:
        cancelled.append((name, time.monotonic()))
        late.set()

    start = time.monotonic()
    timeouts.begin(lambda: cancel("silent"))
    timeouts.end(timeouts.begin(lambda: cancel("quick")))
    assert late.wait(10)
    time.sleep(0.3)
    ((name, at),) = cancelled
    assert name == "silent"
    assert at - start >= 0.4


def test_a_call_may_end_after_it_was_cancelled(watchdog: Watchdog) -> None:
    """As it does: what reads its messages then learns that none will come."""
    timeouts = ReceiveTimeouts(0.05, watchdog)
    cancelled = threading.Event()
    key = timeouts.begin(cancelled.set)
    assert cancelled.wait(10)
    timeouts.end(key)
