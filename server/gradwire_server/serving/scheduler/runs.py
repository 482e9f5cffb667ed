"""Programs that run, and those among them whose callers have gone.

Nothing can stop a program that runs: one that never ends keeps its place, and
when all places are gone the process can run no other. The same holds for a compile in
this process and its thread. Knows no gRPC.
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
    call_id: str = ""
    caller: str = ""
    place: int = -1
    started: float = 0.0
    abandoned_at: float | None = None


class Runs:
    """The runs of one server.

    Attributes:
        are_stuck: Whether abandoned runs went on for too long, in so many places.
    """

    def __init__(
        self,
        places: int,
        seconds: float,
        watchdog: Watchdog,
        give_up: Callable[[], None],
        journal: RunJournal | None = None,
        *,
        is_needed: Callable[[float], bool] = lambda since: True,
        doing: str = "runs",
    ) -> None:
        """Makes an empty list.

        Args:
            places: How many runs that go on without their callers are too many.
            seconds: For how long they may.
            watchdog: Has the runs looked at while it runs.
            give_up: Called once, from its thread, when they have. It must be quick.
            journal: Where they are noted for the supervisor.
            is_needed: Says whether anything needs them to end, given since when the first
                of them has been abandoned. It is asked when they have had their time.
            doing: What they do, for the log.
        """
        self._places = places
        self._seconds = seconds
        self._give_up = give_up
        self._journal = journal
        self._is_needed = is_needed
        self._doing = doing
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

    def has_older(self, moment: float) -> bool:
        """Says whether a run goes on that began before and that a caller waits for."""
        with self._lock:
            older = [run for run in self._runs if run.started <= moment]
        return not all(run.deadline.is_over() for run in older)

    def add(self, run: Run) -> None:
        """Notes a run that begins."""
        run.started = time.monotonic()
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
        """Gives up if too many abandoned runs have gone on for too long, and are in the way."""
        if self.are_stuck:
            return
        overdue = self._find_overdue()
        if len(overdue) < self._places or not self._is_needed(min(overdue, default=0.0)):
            return
        self._log.write(
            logging.CRITICAL,
            "%d places are taken by programs each of which still %s without a caller: this "
            "server ends, for nothing else can stop them",
            len(overdue),
            self._doing,
        )
        self.are_stuck = True
        self._give_up()

    def _find_overdue(self) -> list[float]:
        """Returns since when those runs are abandoned that are for too long; logs new ones."""
        now = time.monotonic()  # when all of these still go on
        with self._lock:
            runs = list(self._runs)
        overdue = []
        for run in runs:
            if not run.deadline.is_over():
                continue
            if run.abandoned_at is None:
                run.abandoned_at = time.monotonic()  # this thread may have been held up since
                self._log.write(
                    logging.WARNING,
                    "the plan %s of the call %r still %s, without a caller that waits",
                    run.plan_id,
                    run.call_id,
                    self._doing,
                )
            if now - run.abandoned_at >= self._seconds:
                overdue.append(run.abandoned_at)
        return overdue
