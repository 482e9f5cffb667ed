"""One process that sends calls and checks the answers. The rates are given to it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np

from gradwire.transport.retry import Budgets, next_pause
from gradwire.transport.status import failure_of
from loadtest.agenda import Agenda, poisson_times
from loadtest.points import Calls, Outcome
from loadtest.target import Target
from loadtest.templates import Template

_METHOD = "/gradwire.v1.DerivativeService/Compute"

_OUTCOMES = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.REFUSED,
    grpc.StatusCode.CANCELLED: Outcome.REFUSED,  # by a server that is flooded
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.LATE,
}


@dataclass(frozen=True)
class Setup:
    """What a worker is told once.

    Attributes:
        target: The server.
        templates: What to send.
        connections: How many connections to share the calls among.
        deadline: Seconds after which an answer is of no use.
        cores: The cores to run on; empty for any.
        seed: What the arrival times are drawn from, with the number of the run.
    """

    target: Target
    templates: Sequence[Template]
    connections: int
    deadline: float
    cores: frozenset[int]
    seed: int


@dataclass(frozen=True)
class Order:
    """One run.

    Attributes:
        number: Its number.
        rate: Calls per second of this worker.
        start: When it begins, on the machine's monotonic clock.
        seconds: For how long calls are due.
        retrying: Whether retryable failures are retried, as the client does.
    """

    number: int
    rate: float
    start: float
    seconds: float
    retrying: bool


def work(setup: Setup, pipe: Connection) -> None:
    """Carries out orders until the pipe ends."""
    if setup.cores:
        os.sched_setaffinity(0, setup.cores)
    worker = Worker(setup)
    pipe.send("ready")
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        pipe.send(worker.run(order))


class Worker:
    """A generator's connections."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._metadata = setup.target.metadata()
        channels = [setup.target.channel() for _ in range(setup.connections)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(10.0)
        self._calls = [channel.unary_unary(_METHOD) for channel in channels]
        # As with the client, each connection has budgets of its own.
        self._budgets = [Budgets() for _ in channels]

    def run(self, order: Order) -> Calls:
        """Sends the calls of one run; returns when all have ended."""
        rng = np.random.default_rng([self._setup.seed, order.number])
        due = order.start + poisson_times(order.rate, order.seconds, rng)
        run = _Run(self._setup, order, due, rng, self._calls, self._budgets, self._metadata)
        time.sleep(max(order.start - time.monotonic(), 0.0))
        busy = time.process_time()
        run.agenda.run(run.send)
        run.calls.busy = time.process_time() - busy
        return run.calls


class _Run:
    """The calls of one run. ``send`` has one thread, answers come in others."""

    def __init__(
        self,
        setup: Setup,
        order: Order,
        due: Any,
        rng: np.random.Generator,
        methods: Sequence[Any],
        budgets: Sequence[Budgets],
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        shares = np.array([template.share for template in setup.templates])
        picks = rng.choice(len(shares), len(due), p=shares / shares.sum())
        self.calls = Calls.at(due)
        self.agenda = Agenda(due.tolist())
        self._templates = [setup.templates[pick] for pick in picks]
        self._target = setup.target.address
        self._deadline = setup.deadline
        self._retrying = order.retrying
        self._methods = methods
        self._budgets = budgets
        self._metadata = metadata
        self._inline: set[int] = set()

    def send(self, position: int, attempt: int) -> None:
        """Sends one call without waiting for its answer."""
        now = time.monotonic()
        if attempt == 0:
            self.calls.sent[position] = now
        left = self.calls.due[position] + self._deadline - now
        if left <= 0:
            self._end(position, Outcome.LATE, now)
            return
        template = self._templates[position]
        call = self._methods[position % len(self._methods)].future(
            template.request(attempt, position in self._inline),
            timeout=left,
            metadata=(("gradwire-route", template.route), *self._metadata),
        )
        call.add_done_callback(partial(self._answered, position, attempt))

    def _answered(self, position: int, attempt: int, call: Any) -> None:
        now = time.monotonic()
        code = call.code()
        budgets = self._budgets[position % len(self._budgets)]
        if code is grpc.StatusCode.OK:
            budgets.succeeded()
            right = self._templates[position].is_answered_by(call.result())
            self._end(position, Outcome.RIGHT if right else Outcome.WRONG, now)
        elif code is grpc.StatusCode.NOT_FOUND and position not in self._inline:
            # It no longer holds the plan. The client sends the program along.
            self._inline.add(position)
            self.agenda.again(position, attempt + 1, now)
        elif (pause := self._pause(position, attempt, call, budgets, now)) is not None:
            self.calls.retries[position] += 1
            self.agenda.again(position, attempt + 1, now + pause)
        else:
            self._end(position, _OUTCOMES.get(code, Outcome.FAILED), now)

    def _pause(
        self, position: int, attempt: int, call: Any, budgets: Budgets, now: float
    ) -> float | None:
        """Returns when to try again, by the client's own rules; None for not at all."""
        if not self._retrying:
            return None
        failure = failure_of(call, target=self._target, call_id="")
        left = self.calls.due[position] + self._deadline - now
        return next_pause(failure, attempt, left, budgets)

    def _end(self, position: int, outcome: Outcome, now: float) -> None:
        self.calls.outcome[position] = outcome
        self.calls.done[position] = now
        self.agenda.end()
