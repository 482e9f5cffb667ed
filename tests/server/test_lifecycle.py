from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradwire.errors import OverloadedError, UnavailableError
from gradwire_server.serving.lifecycle import Lifecycle, State


def test_calls_are_taken_only_while_serving() -> None:
    """Neither before the start nor after the end."""
    lifecycle = Lifecycle(100)
    with pytest.raises(UnavailableError, match="the server is starting"):
        lifecycle.enter(1)
    lifecycle.serve()
    lifecycle.enter(1)
    lifecycle.drain()
    assert lifecycle.state is State.DRAINING
    with pytest.raises(UnavailableError, match="the server is draining"):
        lifecycle.enter(1)
    assert lifecycle.calls == 1


def test_calls_are_taken_while_leaving() -> None:
    """Up to the same bounds; a server that isn't serving can't leave."""
    lifecycle = Lifecycle(100)
    assert not lifecycle.leave_rotation()
    lifecycle.serve()
    assert lifecycle.leave_rotation()
    assert lifecycle.state is State.LEAVING
    lifecycle.enter(100)
    with pytest.raises(OverloadedError, match="`max_bytes_in_flight` is 100"):
        lifecycle.enter(1)
    assert not lifecycle.leave_rotation()
    lifecycle.drain()
    assert not lifecycle.leave_rotation()


def test_bytes_are_bounded() -> None:
    """At the bound they are taken, one over it refused; one call alone may have any size."""
    lifecycle = Lifecycle(100)
    lifecycle.serve()
    lifecycle.enter(60)
    lifecycle.enter(40)
    with pytest.raises(OverloadedError, match="`max_bytes_in_flight` is 100"):
        lifecycle.enter(1)
    lifecycle.leave(40)
    lifecycle.leave(60)
    lifecycle.enter(1000)
    with pytest.raises(OverloadedError):
        lifecycle.enter(0)
    lifecycle.leave(1000)
    lifecycle.enter(100)


def test_the_end_of_calls_is_waited_for() -> None:
    """Not longer than asked, and not longer than needed."""
    lifecycle = Lifecycle(100)
    lifecycle.serve()
    assert lifecycle.wait_until_idle(0)
    lifecycle.enter(1)
    assert not lifecycle.wait_until_idle(0.01)
    threading.Timer(0.05, lifecycle.leave, [1]).start()
    assert lifecycle.wait_until_idle(10)


def test_refusals_are_held() -> None:
    """Until they are released; then callers get the same refusal as otherwise."""
    lifecycle = Lifecycle(100)
    lifecycle.serve()
    lifecycle.drain()
    lifecycle.hold_refusals()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lifecycle.enter, 1)
        time.sleep(0.05)
        assert not held.done()
        lifecycle.release_refusals()
        with pytest.raises(UnavailableError):
            held.result(10)
