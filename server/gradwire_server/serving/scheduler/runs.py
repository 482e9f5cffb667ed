"""Programs that run, and those among them that nobody waits for any more.

Nothing can stop a program that runs: one that never ends keeps its place, and
when all places are gone the process is of no use to anybody. Knows no gRPC.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gradwire_server.serving.deadline import Deadline

_log = logging.getLogger(__name__)

_LOOKS = 8
"""How often one looks within the time that runs may go on."""


@dataclass(eq=False, slots=True)
class _Run:
    """One run. It is abandoned from the moment when that is noticed."""

    deadline: Deadline
    plan_id: str
    call_id: str
    abandoned_at: float | None = None


class Runs:
    """The runs of one server.

    Attributes:
        are_stuck: Whether it has given up.
    """

    def __init__(self, places: int, seconds: float, give_up: Callable[[], None]) -> None:
        """Starts to look after them; ``stop`` ends that.

        Args:
            places: How many there may be at once.
            seconds: How long all of them may go on without their callers.
            give_up: Called once, when they have.
        """
        self._places = places
        self._seconds = seconds
        self._give_up = give_up
        self.are_stuck = False
        self._lock = threading.Lock()
        self._runs: set[_Run] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._thread.start()

    @property
    def abandoned(self) -> int:
        """How many go on though their callers have gone, or have had to."""
        with self._lock:
            return sum(run.deadline.is_over() for run in self._runs)

    @contextmanager
    def running(self, deadline: Deadline, plan_id: str, call_id: str) -> Iterator[None]:
        """Holds one run of a plan, for a call."""
        run = _Run(deadline, plan_id, call_id)
        with self._lock:
            self._runs.add(run)
        try:
            yield
        finally:
            with self._lock:
                self._runs.remove(run)

    def stop(self) -> None:
        """Looks after nothing any more."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.wait(self._seconds / _LOOKS):
            if self._take_all_places():
                _log.critical(
                    "all %d places are taken by programs that go on without their callers: this "
                    "server ends, for nothing else can stop them",
                    self._places,
                )
                self.are_stuck = True
                self._give_up()
                return

    def _take_all_places(self) -> bool:
        now = time.monotonic()
        with self._lock:
            runs = list(self._runs)
        late = 0
        for run in runs:
            if not run.deadline.is_over():
                continue
            if run.abandoned_at is None:
                run.abandoned_at = now
                _log.warning(
                    "the plan %s of the call %r still runs, and nobody waits for it any more",
                    run.plan_id,
                    run.call_id,
                )
            late += now - run.abandoned_at >= self._seconds
        return late >= self._places
