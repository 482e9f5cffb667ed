"""Clients that compute small programs with closed forms, and note what became of each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import numpy as np

import gradwire as gw
from gradwire.ir import encode_program
from gradwire.tensors import Array
from programs import vector
from sketch import Sketch, Value, op, several, total

_numbers = count(1)


@dataclass(frozen=True)
class Task:
    """A program, and what it computes.

    Attributes:
        name: What it is called in messages.
        data: The program as it travels.
        draw: Makes its inputs.
        expect: Its outputs, by closed forms in NumPy.
    """

    name: str
    data: bytes
    draw: Callable[[np.random.Generator], Sequence[Array]]
    expect: Callable[..., Sequence[Array]]


def _draw(rng: np.random.Generator) -> list[Array]:
    return [rng.uniform(0.5, 1.5, 5)]


def _task(name: str, sketch: Sketch, expect: Callable[..., Sequence[Any]]) -> Task:
    return Task(name, encode_program(sketch.program()), _draw, expect)


def _gradient(c: float) -> Task:
    """∇ Σ sin(c x) = c cos(c x)."""
    sketch = Sketch()
    inner = sketch.add([vector(5)], lambda x: total(op("sin", x * c), 0))
    sketch.add([vector(5)], lambda x: several("grad", x, outputs=2, functions=[inner]))
    return _task("gradient", sketch, lambda x: [np.sin(c * x).sum(), c * np.cos(c * x)])


def _hessian_diagonal(c: float) -> Task:
    """The second derivatives of Σ c x⁴ are 12 c x²."""
    sketch = Sketch()
    inner = sketch.add([vector(5)], lambda x: total(x**4 * c, 0))
    sketch.add(
        [vector(5)], lambda x: several("hessian_diagonal", x, outputs=2, functions=[inner])[-1]
    )
    return _task("hessian_diagonal", sketch, lambda x: [12 * c * x**2])


def _matrix(c: float) -> Task:
    """(c I + v vᵀ) v = (c + vᵀv) v."""
    sketch = Sketch()

    def write(x: Value) -> Value:
        column, row = op("reshape", x, shape=(5, 1)), op("reshape", x, shape=(1, 5))
        return op("matmul", column * row + c * np.eye(5), x)

    sketch.add([vector(5)], write)
    return _task("matrix", sketch, lambda x: [(c + x @ x) * x])


def _loop(c: float) -> Task:
    """Twenty times x ← (x + c) / 2: c + (x - c) / 2²⁰."""
    sketch = Sketch()
    body = sketch.add([vector(dtype="int64"), vector(5)], lambda _, x: (x + c) * 0.5)
    looped = {"functions": [body], "lower": 0, "upper": 20}
    sketch.add([vector(5)], lambda x: op("fori_loop", x, **looped))
    return _task("loop", sketch, lambda x: [c + (x - c) / 2**20])


KINDS = (_gradient, _hessian_diagonal, _matrix, _loop)


def new_task(kind: Callable[[float], Task] | None = None) -> Task:
    """A program that no server of this test has seen, of some kind or the next."""
    number = next(_numbers)
    return (kind or KINDS[number % len(KINDS)])(1.0 + number / 1024)


def is_right(got: Sequence[Array], wanted: Sequence[Any]) -> bool:
    """Says whether outputs are what they must be."""
    return len(got) == len(wanted) and all(
        g.shape == np.shape(w) and np.allclose(g, w, rtol=1e-9, atol=1e-9)
        for g, w in zip(got, wanted, strict=True)
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Attributes:
        task: The program.
        start: When it began, on the monotonic clock.
        seconds: How long it took.
        error: What failed; None for an answer.
        wrong: What was wrong with the answer; empty if it was right.
    """

    task: str
    start: float
    seconds: float
    error: gw.GradwireError | None = None
    wrong: str = ""


def call(
    connection: gw.Connection, task: Task, rng: np.random.Generator, timeout: float
) -> Outcome:
    """Calls once, with inputs of its own, and compares."""
    inputs = task.draw(rng)
    start = time.monotonic()
    try:
        reply = connection.compute(task.data, inputs, timeout=timeout)
    except gw.GradwireError as error:
        return Outcome(task.name, start, time.monotonic() - start, error)
    seconds = time.monotonic() - start
    wanted = task.expect(*inputs)
    if is_right(reply.outputs, wanted):
        return Outcome(task.name, start, seconds)
    return Outcome(task.name, start, seconds, wrong=f"{inputs}: {reply.outputs}, not {wanted}")


@dataclass
class Clients:
    """Threads that call until the block ends, each on a connection of its own.

    Attributes:
        target: Where the server is.
        count: How many there are.
        timeout: How long a call may take.
        tasks: The programs that all of them use; one call in ``newcomers`` is of one that
            is new to the server.
        pause: Seconds between two calls of one.
        outcomes: What became of the calls so far.
    """

    target: str
    count: int = 4
    timeout: float = 60.0
    tasks: Sequence[Task] = field(default_factory=lambda: [new_task(kind) for kind in KINDS])
    newcomers: int = 50
    pause: float = 0.02
    seed: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._busy_since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True)
            for number in range(self.count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        end = time.monotonic() + self.timeout + 5.0
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))

    @property
    def hanging(self) -> int:
        """How many have not come back from a call, after the block."""
        return sum(thread.is_alive() for thread in self._threads)

    def _work(self, number: int) -> None:
        rng = np.random.default_rng([self.seed, number])
        with gw.connect(self.target) as connection:
            while not self._stopping.is_set():
                new = rng.integers(self.newcomers) == 0
                task = new_task() if new else self.tasks[rng.integers(len(self.tasks))]
                self.outcomes.append(call(connection, task, rng, self.timeout))
                self._stopping.wait(self.pause)


def problems(clients: Clients) -> list[str]:
    """All that well-behaved clients must not see: errors, wrong values, late answers."""
    found = [f"{clients.hanging} calls hang"] * (clients.hanging > 0)
    for outcome in clients.outcomes:
        if outcome.error is not None:
            found.append(f"{outcome.task}: {outcome.error!r} after {outcome.seconds:.1f} s")
        if outcome.wrong:
            found.append(f"{outcome.task}: {outcome.wrong}")
        if outcome.seconds > clients.timeout + 1.0:
            found.append(f"{outcome.task}: {outcome.seconds:.1f} s")
    return found
