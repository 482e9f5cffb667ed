"""Bounds the calls in progress, before their messages are read. It must not import gRPC.

A refusal must cost next to nothing, or refused calls take the time of accepted ones.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """How many calls may be in progress.

    Attributes:
        limit: The setting that bounds them.
        allowed: Its value.
        most: The number of calls.
        text: The end of the message of a refusal: the rule and why it applies.
    """

    limit: str
    allowed: int
    most: int = 0
    text: str = "and it has as many"


class Admission:
    """Counts the calls in progress."""

    def __init__(
        self,
        calls: Bound,
        methods: Mapping[str, Bound],
        crowded: Mapping[str, Callable[[], Bound | None]],
    ) -> None:
        """Makes an admission.

        Args:
            calls: Bounds all calls together.
            methods: Bounds those of a method.
            crowded: For a method, returns a bound other than a number of calls
                for which its calls are refused now, or None.
        """
        self._lock = threading.Lock()
        self._all = calls
        self._methods = methods
        self._crowded = crowded
        self._inside: Counter[str] = Counter()
        self._total = 0

    @property
    def all_calls(self) -> Bound:
        """The bound on all calls together."""
        return self._all

    def enter(self, method: str) -> Bound | None:
        """Accepts a call, or returns the bound for which it is refused.

        For each call that is accepted, here or by ``take_over``, ``leave`` must be
        called once.
        """
        is_crowded = self._crowded.get(method)
        if is_crowded is not None and (reason := is_crowded()) is not None:
            return reason
        bound = self._methods.get(method)
        with self._lock:
            if bound is not None and self._inside[method] >= bound.most:
                return bound
            if self._total >= self._all.most:
                return self._all
            self._inside[method] += 1
            self._total += 1
            return None

    def take_over(self, method: str) -> None:
        """Accepts a call over its bound, in the place of one that is being cancelled."""
        with self._lock:
            self._inside[method] += 1
            self._total += 1

    def leave(self, method: str) -> None:
        """Counts a call that has ended."""
        with self._lock:
            self._inside[method] -= 1
            self._total -= 1
