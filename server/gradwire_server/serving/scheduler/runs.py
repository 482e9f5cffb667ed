"""Programs that run, and those among them whose callers have gone.

Nothing can stop a program that runs: one that never ends keeps its place, and
when all places are gone the process can run no other. Knows no gRPC.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.run_journal import RunJournal
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving.deadline import Deadline

_CHECKS = 8
"""How often the runs are looked at within the time that abandoned ones may go on."""


@dataclass(eq=False, slots=True)
class Run:
    """One run of a plan, for a call. It is abandoned from the check that notices it.

    ``place`` is its place in the journal.
    """

    deadline: Deadline
    plan_id: str
    call_id: str
    caller: str = ""
    place: int = -1
    abandoned_at: float | None = None


class Runs:
    """The runs of one server.

    Attributes:
        are_stuck: Whether all places were taken by abandoned runs for too long.
    """

    def __init__(
        self,
        places: int,
        seconds: float,
        watchdog: Watchdog,
        give_up: Callable[[], None],
        journal: RunJournal | None = None,
    ) -> None:
        """Makes an empty list.

        Args:
            places: How many runs there may be at once.
            seconds: How long all of them may go on without their callers.
            watchdog: Has the runs looked at while it runs.
            give_up: Called once, from its thread, when they have. It must be quick.
            journal: Where they are noted for the supervisor.
        """
        self._places = places
        self._seconds = seconds
        self._give_up = give_up
        self._journal = journal
        self.are_stuck = False
        self._lock = threading.Lock()
        self._runs: set[Run] = set()
        self._log = BackgroundLog(logging.getLogger(__name__))
        watchdog.every(seconds / _CHECKS, self._check)

    @property
    def abandoned(self) -> int:
        """How many go on though their callers have gone, or have had to."""
        with self._lock:
            return sum(run.deadline.is_over() for run in self._runs)

    def add(self, run: Run) -> None:
        """Notes a run that begins."""
        if self._journal is not None:
            run.place = self._journal.enter(run.plan_id)
        with self._lock:
            self._runs.add(run)

    def remove(self, run: Run) -> None:
        """Forgets a run that has ended."""
        with self._lock:
            self._runs.remove(run)
        if self._journal is not None:
            self._journal.leave(run.place)

    def _check(self) -> None:
        """Gives up if all places have been taken by abandoned runs for too long."""
        if self.are_stuck or self._count_overdue() < self._places:
            return
        self._log.write(
            logging.CRITICAL,
            "all %d places are taken by programs that go on without their callers: this "
            "server ends, for nothing else can stop them",
            self._places,
        )
        self.are_stuck = True
        self._give_up()

    def _count_overdue(self) -> int:
        """Counts the runs that have been abandoned for too long, and logs new ones."""
        now = time.monotonic()  # when all of these still go on
        with self._lock:
            runs = list(self._runs)
        overdue = 0
        for run in runs:
            if not run.deadline.is_over():
                continue
            if run.abandoned_at is None:
                run.abandoned_at = time.monotonic()  # this thread may have been held up since
                self._log.write(
                    logging.WARNING,
                    "the plan %s of the call %r still runs, without a caller that waits",
                    run.plan_id,
                    run.call_id,
                )
            overdue += now - run.abandoned_at >= self._seconds
        return overdue
