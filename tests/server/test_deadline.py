from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from gradwire.errors import DeadlineError
from gradwire_server.serving.deadline import Deadline, StillRunning


def test_a_deadline_passes() -> None:
    """Before it the check passes, after it never."""
    Deadline(10).check("it ran")
    with pytest.raises(DeadlineError, match="the call's deadline passed while it ran"):
        Deadline(0).check("it ran")
    with pytest.raises(DeadlineError):
        Deadline(10, lambda: False).check("nobody waited any more")


def test_a_result_is_waited_for() -> None:
    """It is returned as soon as it is ready; a failure is raised as it is."""
    future: Future[int] = Future()
    threading.Timer(0.05, future.set_result, [3]).start()
    assert Deadline(10).wait(future, "x") == 3
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        Deadline(10).wait(failed, "x")


def test_waiting_ends_at_the_deadline() -> None:
    """Or when the caller wants an answer, whichever is first."""
    future: Future[int] = Future()
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        Deadline(0.05).wait(future, "x")
    for seconds, within, error in (
        (0.05, 1.0, DeadlineError),
        (10.0, 0.05, StillRunning),
        (10.0, 0.0, StillRunning),
    ):
        deadline = Deadline(seconds)
        deadline.answer_within(within)
        with pytest.raises(error):
            deadline.wait(future, "x")
    assert time.monotonic() - start < 5
    assert not future.done()


def test_waiting_ends_when_the_caller_goes() -> None:
    """A thread isn't held for a caller that has disconnected."""
    gone = threading.Event()
    threading.Timer(0.05, gone.set).start()
    with pytest.raises(DeadlineError):
        Deadline(60, lambda: not gone.is_set()).wait(Future(), "x")
