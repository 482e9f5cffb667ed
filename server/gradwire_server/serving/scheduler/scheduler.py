"""Decides when a program runs, and for how long calls may expect to wait for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gradwire_server.config.settings import MAX_SECONDS, Settings
from gradwire_server.process.run_journal import RunJournal
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline, late
from gradwire_server.serving.scheduler.isolation import Entered, Isolation
from gradwire_server.serving.scheduler.memory import Memory
from gradwire_server.serving.scheduler.places import Places
from gradwire_server.serving.scheduler.runs import Run, Runs

_WAITING_TO_RUN = "it waited for its turn to run"
_WAITING_FOR_COMPILE = "it waited for its program to be compiled"


class Scheduler:
    """Bounds the programs that run at once, and the calls that wait for a compile.

    A call first waits for one of a few places, in turns with other callers, then for device
    memory, in order of arrival. A run that goes on without its caller keeps both: nothing
    can stop it.
    """

    def __init__(
        self,
        settings: Settings,
        device_bytes: int,
        watchdog: Watchdog,
        give_up: Callable[[], None],
        journal: RunJournal | None = None,
        suspects: Iterable[str] = (),
    ) -> None:
        """Makes a scheduler.

        Args:
            settings: How many may run and wait, and for how long.
            device_bytes: What programs that run together may need; 0 for no bound.
            watchdog: Has the runs looked at while it runs.
            give_up: Called once, from the watchdog's thread, when all places are taken for
                too long by runs without callers, or one in a server that is embedded and
                has another call. It must be quick.
            journal: Where runs and loads are noted for the supervisor.
            suspects: The plans that are to run alone.
        """
        self._places = Places(
            settings.max_executions,
            settings.max_waiting_executions,
            "max_waiting_executions",
            settings.max_wait_percent,
        )
        self._memory = Memory(device_bytes)
        self._journal = journal
        self._came_at = 0.0  # when the last call came that runs something
        self._may_stay = settings.max_abandoned_seconds
        # A private server is ended for the next call of its one caller, and not before.
        self._runs = Runs(
            1 if settings.embedded else settings.max_executions,
            settings.max_abandoned_seconds,
            watchdog,
            give_up,
            journal,
            is_needed=self._has_next if settings.embedded else lambda since: True,
        )
        self._isolation = Isolation(suspects)
        calls = settings.max_waiting_calls
        self._compile_waits = Places(calls, 0, "max_waiting_calls", allowed=calls)

    @property
    def running(self) -> int:
        """How many programs run, or wait for memory with a place of theirs."""
        return self._places.taken

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return self._places.waiting

    @property
    def abandoned(self) -> int:
        """How many run without a caller that waits."""
        return self._runs.abandoned

    @property
    def waiting_for_compile(self) -> int:
        """How many calls wait for a compile."""
        return self._compile_waits.taken

    @property
    def suspects(self) -> int:
        """How many plans are to run alone."""
        return self._isolation.suspects

    @property
    def busy_seconds(self) -> float:
        """For how long at least one place has been taken, up to now."""
        return self._places.busy_seconds

    @property
    def is_stuck(self) -> bool:
        """Whether it has given up."""
        return self._runs.are_stuck

    def expected_wait(self) -> float:
        """Returns for how many seconds the next call would wait for a place."""
        return self._places.expected_wait()

    def is_crowded(self) -> bool:
        """Says whether a call with as much time as those lately would be refused.

        This can be asked before anything of a call is read, see ``Places.is_crowded``.
        """
        return self._places.is_crowded()

    def run(self, peak_bytes: int, deadline: Deadline, record: CallRecord) -> Turn:
        """Returns a block in which a program runs.

        Entering it waits for a place and for memory; leaving it gives both back. Until the
        block begins the time counts as the stage ``queue`` of the record, from then on as
        ``execute``.

        Args:
            peak_bytes: The device memory that the program needs.
            deadline: Until when the caller waits for the result.
            record: The call that it runs for; its plan is noted in it already.

        Raises:
            OverloadedError: on entering: too many wait already, or the call would wait for
                too long.
            DeadlineError: on entering: the turn didn't come in time, or the caller has gone.
        """
        self._came_at = time.monotonic()
        run = Run(deadline, record.plan_id, record.call_id, record.caller)
        return Turn(self, run, peak_bytes, record)

    def admit(self, run: Run, peak_bytes: int) -> Entered:
        """Takes all that a run needs, and notes the run. See ``run``."""
        self._places.take(run.deadline, _WAITING_TO_RUN, run.caller)
        try:
            self._memory.take(peak_bytes, run.deadline, _WAITING_TO_RUN)
            try:
                entered = self._isolation.enter(run.plan_id, run.deadline, _WAITING_TO_RUN)
            except BaseException:
                self._memory.give_back(peak_bytes)
                raise
        except BaseException:
            self._places.give_back(run.caller)
            raise
        self._runs.add(run)
        return entered

    def release(self, run: Run, peak_bytes: int, entered: Entered, *, well: bool) -> None:
        """Gives back what ``admit`` has taken."""
        self._runs.remove(run)
        self._isolation.leave(run.plan_id, entered, well=well)
        self._memory.give_back(peak_bytes)
        self._places.give_back(run.caller)

    @contextmanager
    def noting(self, plan_id: str) -> Iterator[None]:
        """Notes that an executable of a plan is loaded or compiled here, in the block.

        It may end the process as a run may, so it is alone where a run would be. That it
        ends well says nothing of the run that follows.
        """
        entered = self._isolation.enter(plan_id, Deadline(MAX_SECONDS), _WAITING_TO_RUN)
        place = None if self._journal is None else self._journal.enter(plan_id)
        try:
            yield
        finally:
            if self._journal is not None and place is not None:
                self._journal.leave(place)
            self._isolation.leave(plan_id, entered, well=False)

    def _has_next(self, since: float) -> bool:
        """Says whether a call is there, or was, since a run has been abandoned for too long.

        One that runs since before that would have to be computed again, and is left alone.

        Args:
            since: When it was abandoned.
        """
        others = self._places.taken + self._places.waiting - self._runs.abandoned
        was_there = self._came_at >= since + self._may_stay
        return (others > 0 or was_there) and not self._runs.has_older(since)

    @contextmanager
    def wait_for_compile(self, deadline: Deadline) -> Iterator[None]:
        """Counts a call that waits for a compile, for the time of the block.

        Raises:
            OverloadedError: as many wait already as may.
            DeadlineError: the same, and the call has no time left.
        """
        self._compile_waits.take(deadline, _WAITING_FOR_COMPILE)
        try:
            yield
        finally:
            self._compile_waits.give_back()


class Turn:
    """One run of a program, from the queue to its end. A class costs less than a generator."""

    __slots__ = ("_began", "_entered", "_peak_bytes", "_record", "_run", "_scheduler")

    def __init__(self, scheduler: Scheduler, run: Run, peak_bytes: int, record: CallRecord) -> None:
        self._scheduler = scheduler
        self._run = run
        self._peak_bytes = peak_bytes
        self._record = record

    def __enter__(self) -> None:
        scheduler, run = self._scheduler, self._run
        start = time.perf_counter()
        try:
            self._entered = scheduler.admit(run, self._peak_bytes)
        finally:
            self._began = time.perf_counter()
            self._record.queue += self._began - start
        if run.deadline.is_over():
            scheduler.release(run, self._peak_bytes, self._entered, well=False)
            raise late(_WAITING_TO_RUN)

    def __exit__(self, kind: object, *error: object) -> None:
        self._scheduler.release(self._run, self._peak_bytes, self._entered, well=kind is None)
        self._record.execute += time.perf_counter() - self._began
