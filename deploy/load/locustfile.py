"""Locust users that call derivatives through gradwire's own client and check every answer.

    make locust ARGS='--host 127.0.0.1:8701'                        five minutes of ramp
    make locust ARGS='--host 127.0.0.1:8701 --shape soak --soak-minutes 60'

Closed loop: a user waits for its answer before it calls again, as a training
loop does. For latency at a given rate use open_loop.py, which doesn't wait for answers.
"""

from __future__ import annotations

import time
from typing import Any

import grpc.experimental.gevent
import numpy as np
from locust import LoadTestShape, User, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

import gradwire as gw
from gradwire.trees import flatten
from loadtest.mix import MIXES, Kind, is_right
from loadtest.target import Target

grpc.experimental.gevent.init_gevent()  # before any channel is made


class WrongAnswerError(Exception):
    """An answer has wrong values."""


@events.init_command_line_parser.add_listener
def _add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--shape", choices=("ramp", "soak"), default="ramp", help="how users come")
    parser.add_argument("--mix", choices=sorted(MIXES), default="mixed", help="what is called")
    parser.add_argument("--ramp-minutes", type=float, default=5.0, help="from 1 user to all")
    parser.add_argument("--soak-minutes", type=float, default=60.0, help="with all users")
    parser.add_argument("--most-users", type=int, default=50, help="how many users there will be")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds for one call")
    parser.add_argument("--tls-ca", default=None, help="the authority of the server's certificate")
    parser.add_argument("--client-cert", default=None, help="the caller's certificate")
    parser.add_argument("--client-key", default=None, help="the key of that certificate")
    parser.add_argument("--token-file", default=None, help="the caller's token")


class Caller(User):
    """One user with a connection of its own."""

    wait_time = between(0.0, 0.05)

    def on_start(self) -> None:
        """Connects, and prepares every kind of call."""
        options = self.environment.parsed_options
        target = Target(
            self.host, options.tls_ca, options.client_cert, options.client_key, options.token_file
        )
        self._rng = np.random.default_rng()
        self._connection = target.connect(timeout=options.deadline)
        kinds = MIXES[options.mix]()
        self._shares = np.array([kind.share for kind in kinds]) / sum(kind.share for kind in kinds)
        self._calls = [
            (kind, gw.prepare(kind.function, *kind.draw(self._rng), connection=self._connection))
            for kind in kinds
        ]

    def on_stop(self) -> None:
        """Disconnects."""
        self._connection.close()

    @task
    def call(self) -> None:
        """Calls one kind and checks the answer."""
        kind, prepared = self._calls[self._rng.choice(len(self._calls), p=self._shares)]
        arguments = kind.draw(self._rng)
        start = time.perf_counter()
        answer: Any = None
        error: Exception | None = None
        try:
            answer = prepared(*arguments)
        except gw.GradwireError as failure:
            error = failure
        seconds = time.perf_counter() - start
        self.environment.events.request.fire(
            request_type="Compute",
            name=kind.name,
            response_time=1e3 * seconds,
            response_length=0,
            exception=error or _check(kind, arguments, answer),
            context={},
        )


class Shape(LoadTestShape):
    """A ramp from one user to all in steps of a tenth, or all of them for a long time."""

    def tick(self) -> tuple[int, float] | None:
        """Returns how many users there are now, and how fast they come."""
        options = self.runner.environment.parsed_options
        most, passed = options.most_users, self.get_run_time() / 60
        if options.shape == "soak":
            return (most, float(most)) if passed < options.soak_minutes else None
        if passed >= options.ramp_minutes:
            return None
        step = int(10 * passed / options.ramp_minutes) + 1
        return max(most * step // 10, 1), float(most)


@events.quitting.add_listener
def _judge(environment: Environment, **_: Any) -> None:
    """Fails the run if any call has failed."""
    total = environment.stats.total
    environment.process_exit_code = 1 if total.num_failures or not total.num_requests else 0


def _check(kind: Kind, arguments: tuple[Any, ...], answer: Any) -> Exception | None:
    got = [np.asarray(leaf) for leaf in flatten(answer)[0]]
    if is_right(got, kind.expect(*arguments), kind.rtol):
        return None
    return WrongAnswerError(f"{kind.name} has wrong values")
