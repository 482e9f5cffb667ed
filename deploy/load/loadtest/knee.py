"""Finds the knee: the highest offered rate that is carried. Uses rates and points only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtest.points import Point

MIN_GOODPUT = 0.95
"""The share of the calls that must be answered rightly and in time."""

DEFINITION = (
    f"the knee is the highest offered rate with goodput >= {MIN_GOODPUT:.0%} of it and p99 "
    "within the deadline, found by doubling and then bisection"
)

_MAX_DOUBLINGS = 16


@dataclass(frozen=True)
class Knee:
    """What was found.

    Attributes:
        rate: The highest rate that was carried; 0 if none was.
        limited: Whether the generator, not the service, was at its limit above it.
    """

    rate: float
    limited: bool = False


def is_carried(point: Point) -> bool:
    """Says whether a service carries the rate that was offered."""
    return (
        point.valid and point.goodput >= MIN_GOODPUT * point.offered and point.p99 <= point.deadline
    )


def find_knee(measure: Callable[[float], Point], start: float, halvings: int = 4) -> Knee:
    """Searches for the knee.

    A rate that isn't carried is tried once more, since a machine may stall shortly,
    and so is one at which the generator lagged.

    Args:
        measure: Offers a rate, and says what happened.
        start: The first rate.
        halvings: How often the gap between what is carried and what isn't is halved,
            on a log scale.
    """
    limited = False

    def carried(rate: float) -> bool:
        nonlocal limited
        failures = 0
        for _ in range(4):
            point = measure(rate)
            if is_carried(point):
                return True
            failures += point.valid
            if failures == 2:
                break
        limited = not failures
        return False

    low, high = 0.0, start
    for _ in range(_MAX_DOUBLINGS):
        if not carried(high):
            break
        low, high = high, 2 * high
    else:
        return Knee(low, limited=True)
    if not low:
        return Knee(0.0, limited)
    for _ in range(halvings):
        middle = (low * high) ** 0.5
        if carried(middle):
            low = middle
        else:
            high = middle
    return Knee(low, limited)
