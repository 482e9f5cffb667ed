"""What a run at one offered rate has shown: from the times of its calls to a line of the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from loadtest.mix import Array

MAX_LAG = 0.05
"""How far behind its plan a generator may be, in deadlines, at the 99th percentile."""


class Outcome(IntEnum):
    """How a call has ended."""

    PENDING = 0
    RIGHT = 1
    WRONG = 2
    REFUSED = 3
    LATE = 4
    FAILED = 5


@dataclass
class Calls:
    """The calls of one run, in the order in which they were due; times in seconds.

    Attributes:
        due: When each was to be sent.
        sent: When it was sent first.
        done: When it had ended.
        outcome: How, as an ``Outcome``.
        retries: How many attempts there were after the first.
        busy: Seconds of processor time of the generators.
    """

    due: Array
    sent: Array
    done: Array
    outcome: Array
    retries: Array
    busy: float = 0.0

    @classmethod
    def at(cls, due: Array) -> Calls:
        """Returns calls of which none has been sent."""
        size = len(due)
        zeros = np.zeros(size)
        return cls(due, zeros, zeros.copy(), np.zeros(size, np.int8), np.zeros(size, np.int32))

    @classmethod
    def join(cls, parts: Sequence[Calls]) -> Calls:
        """Returns the calls of several generators that ran at the same time."""
        names = ("due", "sent", "done", "outcome", "retries")
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(*arrays, busy=sum(part.busy for part in parts))


@dataclass(frozen=True)
class Point:
    """One line of the table. Rates are per second, latencies in seconds.

    Latencies count from the moment when a call was due, not from when it was
    sent, so that a stall counts for all calls due meanwhile. They are those of all
    calls but the refused: one that ran out of time counts with the time until
    its deadline.

    Attributes:
        client: ``bare`` or ``gradwire``: whether retryable failures are retried.
        offered: The rate at which calls were due.
        goodput: Calls with the right answer within the deadline.
        served: Calls that the server finished well, late or not; -1 if unknown.
        p50: Half of the latencies are below.
        p99: 99 in 100 are.
        p999: 999 in 1000 are.
        refused: The share of calls that the server refused.
        late: The share that ran out of time.
        failed: The share that failed in any other way.
        retries: Attempts after the first, per call.
        lag: How far behind its plan the generator was, 99th percentile.
        busy: Processor time of the generators, in cores.
        calls: How many calls the line is made from.
        wrong: How many answers had wrong values.
    """

    client: str
    offered: float
    goodput: float
    served: float
    p50: float
    p99: float
    p999: float
    refused: float
    late: float
    failed: float
    retries: float
    lag: float
    busy: float
    calls: int
    wrong: int
    deadline: float

    @property
    def valid(self) -> bool:
        """Whether the generator kept to its plan; else the line is no measure of the server."""
        return self.lag <= MAX_LAG * self.deadline

    def as_dict(self) -> dict[str, float | str]:
        """Returns the values by name."""
        return {**dataclasses.asdict(self), "valid": self.valid}


def summarise(
    calls: Calls,
    *,
    client: str,
    start: float,
    end: float,
    settle: float,
    deadline: float,
    served: float = -1.0,
) -> Point:
    """Summarises the calls of a run.

    Args:
        calls: The calls; all have ended.
        client: ``bare`` or ``gradwire``.
        start: When the run began.
        end: Until when calls were due.
        settle: Seconds at the start that don't count: queues fill first.
        deadline: Seconds within which an answer is of use.
        served: Answers per second by the server's own count.
    """
    counted = calls.due >= start + settle
    seconds = end - start - settle
    outcome = calls.outcome[counted]
    latency = (calls.done - calls.due)[counted]
    size = max(len(outcome), 1)
    good = (outcome == Outcome.RIGHT) & (latency <= deadline)
    waited = latency[outcome != Outcome.REFUSED]
    quantiles = np.quantile(waited, [0.5, 0.99, 0.999]) if len(waited) else np.full(3, np.nan)
    lag = (calls.sent - calls.due)[counted]
    too_late = (outcome == Outcome.LATE) | ((outcome == Outcome.RIGHT) & ~good)
    return Point(
        client=client,
        offered=len(outcome) / seconds,
        goodput=float(good.sum()) / seconds,
        served=served,
        p50=float(quantiles[0]),
        p99=float(quantiles[1]),
        p999=float(quantiles[2]),
        refused=float((outcome == Outcome.REFUSED).sum()) / size,
        late=float(too_late.sum()) / size,
        failed=float((outcome == Outcome.FAILED).sum()) / size,
        retries=float(calls.retries[counted].sum()) / size,
        lag=float(np.quantile(lag, 0.99)) if len(lag) else 0.0,
        busy=calls.busy / (end - start),
        calls=len(outcome),
        wrong=int((calls.outcome == Outcome.WRONG).sum()),
        deadline=deadline,
    )
