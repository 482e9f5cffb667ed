from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gradwire.errors import DeadlineError
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.memory import DeviceMemory
from programs import chain, program, vector
from server_process import eventually
from serving import inline, outputs, serving

X = np.linspace(0.0, 1.0, 3)


def test_those_inside_take_no_more_than_there_is() -> None:
    """At the bound they are let in; one byte over it waits until another leaves."""
    room = DeviceMemory(100)
    room.enter(60, Deadline(1), "")
    room.enter(40, Deadline(1), "")
    with pytest.raises(DeadlineError, match="while it waited"):
        room.enter(1, Deadline(0.01), "it waited")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(room.enter, 50, Deadline(10), "")
        room.leave(40)
        assert not late.done()
        room.leave(60)
        late.result(10)


def test_whoever_is_alone_gets_in() -> None:
    """Whatever it takes: others have decided whether it may run at all."""
    room = DeviceMemory(100)
    room.enter(1000, Deadline(1), "")
    with pytest.raises(DeadlineError):
        room.enter(0, Deadline(0.01), "")


def test_a_large_one_is_not_passed_by() -> None:
    """Those who come after it wait behind it, though there were room for them."""
    room, order = DeviceMemory(100), []

    def run(size: int) -> None:
        room.enter(size, Deadline(10), "")
        order.append(size)
        room.leave(size)

    room.enter(60, Deadline(1), "")
    with ThreadPoolExecutor(2) as pool:
        pool.submit(run, 90)
        assert eventually(lambda: len(room._waiting) == 1)
        pool.submit(run, 10)
        assert eventually(lambda: len(room._waiting) == 2)
        assert order == []
        room.leave(60)
    assert order == [90, 10]


def test_one_that_gives_up_lets_the_next_in() -> None:
    """The place at the head of the queue is not kept for it."""
    room = DeviceMemory(100)
    room.enter(60, Deadline(1), "")
    with ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(room.enter, 90, Deadline(0.2), "")
        assert eventually(lambda: len(room._waiting) == 1)
        small = pool.submit(room.enter, 10, Deadline(10), "")
        with pytest.raises(DeadlineError):
            impatient.result(10)
        small.result(10)


def test_without_a_bound_all_get_in() -> None:
    """As where a device doesn't say what it has."""
    room = DeviceMemory(0)
    room.enter(2**60, Deadline(1), "")
    room.enter(2**60, Deadline(0), "")


def test_runs_share_the_memory_of_the_device(tmp_path: Path) -> None:
    """A run waits for the memory that others have taken."""
    with serving(tmp_path, max_device_bytes=10**6) as (app, stub):
        request = inline(program(chain("sin", 1, vector(3))), X)
        (wanted,) = outputs(stub.Compute(request, timeout=60))
        app.memory.enter(10**6, Deadline(1), "")
        waiting = stub.Compute.future(request, timeout=60)
        assert eventually(lambda: len(app.memory._waiting) == 1)
        app.memory.leave(10**6)
        np.testing.assert_array_equal(outputs(waiting.result())[0], wanted)
