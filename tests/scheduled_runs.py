"""A scheduler whose threads a ``Schedule`` runs, and what must hold at each of their steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from gradwire.errors import DeadlineError, OverloadedError
from gradwire_server.config.settings import Settings
from gradwire_server.process import background_log, run_journal, watchdog
from gradwire_server.process.run_journal import create_journal
from gradwire_server.process.watchdog import Watchdog
from gradwire_server.serving import deadline
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.scheduler import Scheduler, isolation, memory, places, runs, scheduler
from gradwire_server.serving.scheduler.places import Places
from schedule import Schedule
from scheduled_threading import install
from scheduled_waits import RunsInOrder, SeenIsolation, SeenMemory

_MODULES = (background_log, deadline, isolation, memory, places, run_journal, runs, scheduler)
_WATCHED = [str(module.__file__) for module in (isolation, memory, places, runs, scheduler)]
_PLANS = ("p0", "p1", "p2")
_CALLERS = "aaabc"
_SIZES = (0, 10, 40, 60, 100, 150)


@dataclass(frozen=True)
class _Mood:
    """What the calls of a schedule are like; ``endless`` is how often a run takes long."""

    places: Sequence[int]
    durations: Sequence[float]
    endless: float
    abandoned_seconds: float


_MOODS = (
    _Mood((2, 8, 8), (0.0, 0.0, 0.1), 0.0, 60.0),
    _Mood((1, 2, 3), (0.0, 0.1, 0.5, 1.0, 5.0), 0.1, 60.0),
    _Mood((1, 1, 2), (0.0, 0.1, 1.0), 0.5, 2.0),
)


@dataclass(eq=False)
class _Call:
    """A call in progress; ``over_at`` is when nobody waits for it any more."""

    plan: str
    caller: str
    size: int
    over_at: float
    is_gone: bool = False


class RunsWorld:
    """Calls that run programs or wait for compiles, some of which are cancelled.

    Attributes:
        scheduler: What is tested.
        journal: Where it notes runs.
        names: The schedule's ``threading``.
    """

    def __init__(self, schedule: Schedule, patch: pytest.MonkeyPatch) -> None:
        self.names = install(patch, schedule, (*_MODULES, watchdog))
        turn = places._Turn
        patch.setattr(places, "_Turn", lambda caller: turn(caller, self.names["Event"]()))
        patch.setattr(scheduler, "Places", partial(Places, clock=lambda: schedule.now))
        patch.setattr(scheduler, "Memory", SeenMemory)
        patch.setattr(scheduler, "Isolation", SeenIsolation)
        self.schedule, self._random = schedule, schedule.random
        random = self._random
        mood = self._mood = random.choice(_MOODS)
        self._settings = Settings(
            max_executions=random.choice(mood.places),
            max_waiting_executions=random.randint(1, 6),
            max_wait_percent=random.choice([50, 100, 100]),
            max_abandoned_seconds=mood.abandoned_seconds,
            max_waiting_calls=random.randint(1, 2),
        )
        self._failures = random.choice([0.2, 0.9])
        self._size = random.choice([0, 100, 100])
        self._suspects = set(random.sample(_PLANS, random.randint(0, 2)))
        self.journal = create_journal(self._settings.max_executions)
        self._watchdog = Watchdog()
        self.scheduler = Scheduler(
            self._settings, self._size, self._watchdog, self._note_end, self.journal,
            self._suspects,
        )  # fmt: skip
        self.scheduler._runs._runs = RunsInOrder()
        self._calls: dict[Deadline, _Call] = {}
        self._inside: list[_Call] = []
        self._compiling = 0
        self._ended_well: set[str] = set()
        self._seen: dict[Places, tuple[Any, ...]] = {}
        self._full_at: dict[str, int] = {}
        self._was_stuck = False
        self._rests: list[float] = []

    def body(self) -> None:
        """The first thread: starts the others and looks at what they leave."""
        schedule, random = self.schedule, self._random
        schedule.check, schedule.at_rest = self._check, self._check_at_rest
        start = schedule.now
        self._watchdog.start()
        threads = [schedule.spawn(self._work, f"call-{n}") for n in range(random.randint(4, 10))]
        threads.append(schedule.spawn(self._cancel, "cancel"))
        for thread in threads:
            schedule.join(thread)
        self._watchdog.stop()
        self._check_end(schedule.now - start)

    def _work(self) -> None:
        for _ in range(self._random.randint(1, 4)):
            act = self._wait_for_compile if self._random.random() < 0.2 else self._run
            seconds = self._random.choice([0.0, 1.0, 10.0, 60.0, 60.0])
            plan, caller = self._random.choice(_PLANS), self._random.choice(_CALLERS)
            size = self._random.choice(_SIZES)
            call = _Call(plan, caller, size, self.schedule.now + seconds)
            due, began = Deadline(seconds, lambda call=call: not call.is_gone), self.schedule.steps
            self._calls[due] = call
            try:
                act(call, due)
            except OverloadedError as error:
                self._justify(error, began, due)
            except DeadlineError:
                assert due.is_over(), "a call is late before its deadline"
            except ZeroDivisionError:
                pass
            del self._calls[due]
            self._pass_time()

    def _run(self, call: _Call, due: Deadline) -> None:
        record = CallRecord("Compute", "call", plan_id=call.plan, caller=call.caller)
        with self.scheduler.run(call.size, due, record):
            self._inside.append(call)
            self._pass_time()
            if self._random.random() < self._mood.endless:
                self.schedule.sleep(10.0)
            self._inside.remove(call)
            if self._random.random() < self._failures:
                raise ZeroDivisionError
            self._ended_well.add(call.plan)

    def _wait_for_compile(self, _: _Call, due: Deadline) -> None:
        with self.scheduler.wait_for_compile(due):
            self._compiling += 1
            self._pass_time()
            self._compiling -= 1

    def _cancel(self) -> None:
        for _ in range(self._random.randint(0, 6)):
            self._pass_time()
            if self._calls:
                call = self._random.choice(list(self._calls.values()))
                call.is_gone, call.over_at = True, min(call.over_at, self.schedule.now)

    def _pass_time(self) -> None:
        self.schedule.sleep(self._random.choice(self._mood.durations))

    def _justify(self, error: OverloadedError, began: int, due: Deadline) -> None:
        """A call is refused when the bound is reached while it asks, and for nothing else."""
        limit = error.metadata["limit"]
        if limit == "max_wait_percent":
            share = self._settings.max_wait_percent / 100
            assert error.retry_after is not None
            assert error.retry_after > share * due.remaining(), "a short wait is refused"
        else:
            assert self._full_at.get(limit, -1) >= began, f"`{limit}` is not reached"

    def _note_end(self) -> None:
        self.schedule.require(self._was_stuck, "it gives up while a place is left")

    def _check(self) -> None:
        inside = Counter([call.caller for call in self._inside]) if self._inside else {}
        self._check_places(self.scheduler._places, self._settings.max_waiting_executions, inside)
        self._check_places(self.scheduler._compile_waits, 0, {"": self._compiling})
        self._check_memory()
        self._check_isolation()
        self._check_stuck()

    def _check_places(self, it: Places, bound: int, inside: Mapping[str, int]) -> None:
        if it._lock.locked():
            return
        assert 0 <= it._free <= it._places, "more is taken or free than there is"
        held = it._held.values()
        assert min(held, default=1) > 0, "a place is given back twice"
        assert sum(held) == it._places - it._free, "each place taken has its caller"
        assert all(count <= it._held[caller] for caller, count in inside.items()), (
            "a call runs without a place"
        )
        assert not (it._queue and it._free), "a call waits while a place is free"
        assert len(it._queue) <= bound, "more wait than may"
        if not it._free and len(it._queue) == bound:
            self._full_at[it._limit] = self.schedule.steps
        before = self._seen.get(it, ())
        self._seen[it] = tuple(it._queue)
        for turn in before:
            if turn not in it._queue and turn.come._flag:
                counts = Counter(it._held)
                counts[turn.caller] -= 1
                fewest = min(before, key=lambda other: counts[other.caller])
                assert turn is fewest, "the next place goes to the caller who has the fewest"

    def _check_memory(self) -> None:
        it = self.scheduler._memory
        if it._changed._lock.locked() or not self._size:
            return
        sizes = [call.size for call in self._inside if call.size]
        assert sum(sizes) <= it._taken, "a program runs without its memory"
        assert sum(sizes) <= self._size or len(sizes) == 1, "together they need too much memory"

    def _check_isolation(self) -> None:
        it = self.scheduler._isolation
        if it._changed._lock.locked():
            return
        assert it._beside >= 0, "a run leaves twice"
        if not it._suspects:
            return
        noted = [run.plan_id for run in self.journal.read()]
        running = [call.plan for call in self._inside]
        assert len(noted) <= 1 or it._suspects.isdisjoint(noted), "a suspect is noted alone"
        assert len(running) <= 1 or it._suspects.isdisjoint(running), "a suspect runs alone"

    def _check_stuck(self) -> None:
        over = self._abandoned()
        if not over:
            self._rests.clear()
        elif self.schedule.now - max(over) >= self._settings.max_abandoned_seconds:
            self._was_stuck = True

    def _abandoned(self) -> list[float]:
        """Since when nobody waits for the runs, if they take all places and nobody does."""
        noted = self.scheduler._runs._runs
        if len(noted) < self._settings.max_executions:
            return []
        moments = [self._calls[run.deadline].over_at for run in noted]
        return moments if max(moments) <= self.schedule.now else []

    def _check_at_rest(self) -> None:
        """All threads wait: none of them for something that is there."""
        it = self.scheduler
        alone = it._isolation
        waiting = it._memory.waiting + len(alone.plans)
        assert it.running == len(self._inside) + waiting, "a call that has a place waits for one"
        assert it.waiting_for_compile == self._compiling
        if it._memory.waiting:
            assert not it._memory._fits(it._memory.sizes[0][0]), "a run waits for free memory"
        if alone.plans:
            assert self._inside, "a run waits though nothing runs"
            there = {plan for plan, _ in alone.plans} | {call.plan for call in self._inside}
            assert there & alone._suspects, "a run waits though there is no suspect"
        self._check_given_up()

    def _check_given_up(self) -> None:
        """The watchdog has looked at the runs within a period, and again after their time."""
        now, seconds = self.schedule.now, self._settings.max_abandoned_seconds
        if not self._abandoned():
            return
        self._rests.append(now)
        period = seconds / runs._CHECKS
        noticed = [at for at in self._rests if at >= self._rests[0] + period]
        overdue = [at for at in noticed if at >= noticed[0] + seconds]
        if overdue and now >= overdue[0] + period:
            assert self.scheduler.is_stuck, "it doesn't give up"

    def _check_end(self, seconds: float) -> None:
        it = self.scheduler
        assert (it.running, it.waiting, it.waiting_for_compile, it.abandoned) == (0, 0, 0, 0)
        assert not it._places._held
        assert (it._memory._taken, it._memory.waiting) == (0, 0)
        alone = it._isolation
        assert (alone._beside, alone._alone, alone.plans) == (0, False, [])
        left = self._suspects - self._ended_well
        assert alone._suspects == left, "a suspect is one until it has ended well"
        assert it.expected_wait() == 0.0
        assert 0.0 <= it.busy_seconds <= seconds
        assert not self.journal.read()
        assert len(self.journal._free) == self._settings.max_executions


Mutation = Callable[[RunsWorld, pytest.MonkeyPatch], object]


def play_runs(seed: int, mutate: Mutation | None = None) -> None:
    """Plays one schedule; raises ``ScheduleError`` where something doesn't hold."""
    schedule = Schedule(seed, _WATCHED)
    with pytest.MonkeyPatch.context() as patch:
        world = RunsWorld(schedule, patch)
        if mutate is not None:
            mutate(world, patch)
        try:
            schedule.run(world.body)
        finally:
            world.journal.close()
