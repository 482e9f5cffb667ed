from __future__ import annotations

import threading
import time

import pytest

from gradwire_server.process.watchdog import Watchdog
from gradwire_server.rpc.admission.receive_timeouts import ReceiveTimeouts
from server_process import eventually


def test_a_call_is_cancelled_once_its_time_is_over(watchdog: Watchdog) -> None:
    """Not before, and once; one whose message has arrived is not."""
    timeouts = ReceiveTimeouts(0.4, watchdog, 8)
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
    timeouts = ReceiveTimeouts(0.05, watchdog, 8)
    cancelled = threading.Event()
    key = timeouts.begin(cancelled.set)
    assert cancelled.wait(10)
    timeouts.end(key)


@pytest.mark.parametrize(("calls", "refused"), [(4, True), (3, True), (4, False)])
def test_half_sent_requests_keep_others_out_for_a_short_time(
    watchdog: Watchdog, calls: int, refused: bool
) -> None:
    """Where calls are refused and half of the places wait for messages; else longer."""
    timeouts = ReceiveTimeouts(30.0, watchdog, places=8, crowded_seconds=0.2)
    cancelled = threading.Semaphore(0)
    keys = [timeouts.begin(cancelled.release) for _ in range(calls)]
    if calls == 4 and refused:
        for _ in keys:
            assert eventually(lambda: timeouts.note_refusal() or cancelled.acquire(blocking=False))
        return
    for _ in range(10):
        if refused:
            timeouts.note_refusal()
        time.sleep(0.1)
    assert not cancelled.acquire(blocking=False)
