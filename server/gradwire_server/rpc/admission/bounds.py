"""Bounds the calls that are inside, before anything of them is read. Knows no gRPC.

A call that is refused must cost next to nothing, or those who come too much
take the time of those who are served.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """How many calls may be inside.

    Attributes:
        limit: The setting that says so.
        allowed: Its value.
        most: The number of calls.
        text: The rule and why it says no, for a message.
    """

    limit: str
    allowed: int
    most: int = 0
    text: str = "and it has as many"


class Admission:
    """Counts the calls that are inside."""

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
            crowded: Says for a method whether something else than a number keeps
                its calls out now.
        """
        self._lock = threading.Lock()
        self._all = calls
        self._methods = methods
        self._crowded = crowded
        self._inside: Counter[str] = Counter()
        self._total = 0

    @property
    def max_calls(self) -> int:
        """How many calls may be inside, of all methods together."""
        return self._all.most

    def enter(self, method: str) -> Bound | None:
        """Lets a call in, or returns the bound that keeps it out.

        Each call that is let in leaves once.
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

    def leave(self, method: str) -> None:
        """Counts a call that has ended."""
        with self._lock:
            self._inside[method] -= 1
            self._total -= 1
