from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gradwire.errors import DeadlineError
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler.memory import Memory
from server_process import eventually


def test_no_more_is_taken_than_there_is() -> None:
    """At the bound all get theirs; one byte over it waits until others give theirs back."""
    memory = Memory(100)
    memory.take(60, Deadline(1), "")
    memory.take(40, Deadline(1), "")
    with pytest.raises(DeadlineError, match="while it waited"):
        memory.take(1, Deadline(0.01), "it waited")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(memory.take, 50, Deadline(10), "")
        memory.give_back(40)
        assert not late.done()
        memory.give_back(60)
        late.result(10)


def test_one_that_is_alone_gets_any_size() -> None:
    """It has been decided before whether it may run at all."""
    memory = Memory(100)
    memory.take(1000, Deadline(1), "")
    with pytest.raises(DeadlineError):
        memory.take(0, Deadline(0.01), "")


def test_a_large_one_is_not_passed_by() -> None:
    """Those who come after it wait behind it, though there were room for them."""
    memory, order = Memory(100), []

    def run(size: int) -> None:
        memory.take(size, Deadline(10), "")
        order.append(size)
        memory.give_back(size)

    memory.take(60, Deadline(1), "")
    with ThreadPoolExecutor(2) as pool:
        pool.submit(run, 90)
        assert eventually(lambda: memory.waiting == 1)
        pool.submit(run, 10)
        assert eventually(lambda: memory.waiting == 2)
        assert order == []
        memory.give_back(60)
    assert order == [90, 10]


def test_one_that_gives_up_does_not_block_the_next() -> None:
    """The place at the head of the queue is not kept for it."""
    memory = Memory(100)
    memory.take(60, Deadline(1), "")
    with ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(memory.take, 90, Deadline(0.2), "")
        assert eventually(lambda: memory.waiting == 1)
        small = pool.submit(memory.take, 10, Deadline(10), "")
        with pytest.raises(DeadlineError):
            impatient.result(10)
        small.result(10)


def test_without_a_bound_all_get_theirs() -> None:
    """As where a device doesn't say what it has."""
    memory = Memory(0)
    memory.take(2**60, Deadline(1), "")
    memory.take(2**60, Deadline(0), "")
