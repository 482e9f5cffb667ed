from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.runs import Runs
from server_process import eventually


def test_all_places_must_be_taken() -> None:
    """As long as one is left, or its run is waited for, or ends in time, the server goes on."""
    gave_up = threading.Event()
    runs = Runs(2, 0.4, gave_up.set)
    waited_for = Deadline(60)
    with runs.running(Deadline(0), "p", "1"):
        assert not gave_up.wait(0.8)
        with runs.running(waited_for, "p", "2"):
            assert not gave_up.wait(0.8)
            assert runs.abandoned == 1
        with runs.running(Deadline(0), "p", "3"):
            time.sleep(0.1)
        assert not gave_up.wait(0.8)
        with runs.running(Deadline(0), "p", "4"):
            assert gave_up.wait(10)
    assert runs.abandoned == 0
    runs.stop()


@pytest.mark.parametrize("gone", [True, False])
def test_a_caller_may_go_before_the_deadline(gone: bool) -> None:
    """Then the run is abandoned, too; a caller who is there and has time keeps his."""
    gave_up = threading.Event()
    runs = Runs(1, 0.2, gave_up.set)
    with runs.running(Deadline(60, alive=lambda: not gone), "p", "1"):
        assert gave_up.wait(1.0) == gone
        assert runs.abandoned == gone
    runs.stop()


def test_each_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With its plan and its call, so that whoever sent it can be found."""
    runs = Runs(3, 0.2, lambda: None)
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(runs.running(Deadline(0), f"plan{number}", f"call{number}"))
        assert eventually(lambda: len(caplog.records) == 2)
        time.sleep(0.3)
    assert sorted(record.getMessage()[:32] for record in caplog.records) == [
        "the plan plan0 of the call 'call0'"[:32], "the plan plan1 of the call 'call1'"[:32],
    ]  # fmt: skip
    runs.stop()
