"""A cache of plans and its compile pool, whose threads a ``Schedule`` runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradwire.errors import DeadlineError, OverloadedError, PlanNotFoundError
from gradwire.ir import Program, encode_program
from gradwire_server.planner.plan import PlannedProgram
from gradwire_server.serving import compile_pool, deadline, plan, plan_cache
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.deadline import Deadline, StillRunning
from gradwire_server.serving.plan_cache import HeldPlan, PlanCache
from planned import judge
from programs import function, node, program, vector
from schedule import Schedule
from scheduled_threading import future_of, install

_WATCHED = [str(module.__file__) for module in (compile_pool, plan_cache, deadline)]
_PRECISION = "highest"
_NAMES = ("f", "g")
_CALLERS = "aaabc"
_BUCKETS = (0, 4)
_MANY_BYTES = 10**9


@dataclass(frozen=True)
class _Source:
    """A program: which one, its bytes, and what is known of it."""

    number: int
    bytes: bytes
    planned: PlannedProgram


@cache
def _source(number: int, name: str) -> _Source:
    constants = [np.array(float(number))]
    body = node("add", [0, 1], 2)
    written: Program = program(
        function([vector(2)], body, results=[2], constants=constants, name=name)
    )
    return _Source(number, encode_program(written), judge(written))


class _Store(dict[bytes, bytes]):
    """Stands for a directory."""

    read = dict.get
    write = dict.__setitem__

    def remove(self, key: bytes) -> None:
        self.pop(key, None)


class PlansWorld:
    """Calls that hold plans, have them compiled and wait for that; compiles take time or fail.

    Attributes:
        pool: What is tested.
        cache: The same.
        names: The schedule's ``threading``.
    """

    def __init__(self, schedule: Schedule, patch: pytest.MonkeyPatch) -> None:
        self.names = install(patch, schedule, (compile_pool, plan_cache, deadline))
        self.schedule, self._random = schedule, schedule.random
        patch.setattr(plan_cache, "Future", future_of(self.names["Condition"]))
        patch.setattr(plan_cache, "environment", lambda: "here")
        patch.setattr(plan_cache, "load_executable", self._load)
        patch.setattr(
            compile_pool,
            "sys",
            SimpleNamespace(getswitchinterval=lambda: 1.0, setswitchinterval=self._set_interval),
        )
        random = self._random
        if random.random() < 0.1:
            patch.setattr(plan, "ID_LENGTH", 0)  # now all ids are the same
        self._shared, self._reserved = random.randint(1, 2), random.randint(0, 1)
        self._max_waiting = random.randint(1, 3)
        self._max_plans = random.randint(1, 3)
        self._max_bytes = random.choice([20_000, _MANY_BYTES])
        self._stops_early = random.random() < 0.1
        self.pool = CompilePool(self._shared, self._max_waiting, reserved=self._reserved)
        self.cache = PlanCache(
            self.pool,
            random.choice([None, _Store()]),
            self._compile,
            max_plans=self._max_plans,
            max_plan_bytes=self._max_bytes,
            note=lambda *_: self._tell("noted"),
        )
        self._numbers = {_source(n, name).bytes: n for n in range(4) for name in _NAMES}
        self._compiling: set[tuple[int, int]] = set()
        self._told: Counter[str] = Counter()
        self._ever: set[HeldPlan] = set()
        self._queue: tuple[Any, ...] = ()
        self._at_work: Counter[str] = Counter()
        self._full_at: dict[str, int] = {}
        self._is_calm = True

    def body(self) -> None:
        """The first thread: starts the others and looks at what they leave."""
        schedule, random = self.schedule, self._random
        schedule.check, schedule.at_rest = self._check, self._check_at_rest
        threads = [schedule.spawn(self._work, f"call-{n}") for n in range(random.randint(3, 8))]
        if self._stops_early:
            self._pass_time()
            self.pool.stop(random.choice([0.0, 1.0]))
        for thread in threads:
            schedule.join(thread)
        while self.pool.busy or self.pool.waiting:
            schedule.sleep(1.0)
        assert self.pool.stop(math.inf)
        self._check_end()

    def _work(self) -> None:
        for _ in range(self._random.randint(1, 4)):
            held = self._hold()
            if self._random.random() < 0.3:
                self._pass_time()
            began, caller = self.schedule.steps, self._random.choice(_CALLERS)
            bucket = self._random.choice(_BUCKETS)
            try:
                future = self.cache.make_executable(held, bucket, caller)
            except OverloadedError:
                reached = self.pool._stopped or self._full_at.get(caller, -1) >= began
                assert reached, "`max_waiting_compiles` is not reached"
            else:
                self._wait(future, bucket)
            self._pass_time()

    def _hold(self) -> HeldPlan:
        """As a call does: by the id if it is known, else by the bytes."""
        source = _source(self._random.randrange(4), self._random.choice(_NAMES))
        held = self.cache.find_source(source.bytes, _PRECISION)
        if held is None:
            held = self.cache.hold(source.planned, _PRECISION, source.bytes)
        self._told["asked"] += 1
        self._ever.add(held)
        assert held.plan.planned.canonical == source.planned.canonical
        if self._random.random() < 0.3:
            self._pass_time()
            self._told["asked"] += 1
            try:
                held = self.cache.find(held.plan.id)
            except PlanNotFoundError:
                self._told["lost"] += 1
        return held

    def _wait(self, future: Any, bucket: int) -> None:
        due = Deadline(self._random.choice([0.0, 1.0, 60.0]))
        start, within = self.schedule.now, self._random.choice([None, 0.5])
        if within is not None:
            due.answer_within(within)
        try:
            assert due.wait(future, "").bucket == bucket
        except StillRunning:
            assert within is not None
            assert self.schedule.now >= start + within, "a call gives up too early"
        except DeadlineError:
            assert due.is_over(), "a call is late before its deadline"
        except ZeroDivisionError:
            assert self._told["failed"], "a compile that has ended well fails"

    def _compile(self, source: bytes, precision: str, bucket: int, choices: Sequence[Any]) -> bytes:
        name = (self._numbers[source], bucket)
        self.schedule.require(name not in self._compiling, "it is compiled twice at one time")
        self._compiling.add(name)
        self._pass_time()
        self._compiling.remove(name)
        if self._random.random() < 0.2:
            self._told["failed"] += 1
            raise ZeroDivisionError
        self._told["compiled"] += 1
        return bytes([bucket, self._random.randrange(50)])

    def _load(self, data: bytes) -> Any:
        self.schedule.pause()
        bucket, size = data
        cost = SimpleNamespace(compile_seconds=1.0)
        return SimpleNamespace(bucket=bucket, cost=cost, held_bytes=100 * size)

    def _set_interval(self, seconds: float) -> None:
        self._is_calm = seconds == 1.0

    def _tell(self, what: str) -> None:
        self._told[what] += 1

    def _pass_time(self) -> None:
        self.schedule.sleep(self._random.choice([0.0, 0.0, 0.1, 0.5, 1.0, 5.0]))

    def _check(self) -> None:
        if not self.pool._changed._lock.locked():
            self._check_pool(self.pool)
        if not self.cache._lock.locked():
            self._check_cache(self.cache)

    def _check_pool(self, it: CompilePool) -> None:
        now = Counter(it._at_work)
        threads = self._shared + self._reserved
        assert all(count > 0 for count in now.values())
        assert now.total() <= threads, "more jobs are done than there are threads"
        assert len(it._queue) <= self._max_waiting + threads - now.total(), "more wait than may"
        assert self._is_calm == (not now), "other threads get the interpreter soon in a compile"
        for job in self._queue:
            if job not in it._queue and not it._stopped:
                before = self._at_work
                fewest = min(self._queue, key=lambda other: before[other.caller])
                assert job is fewest, "the next job is of the caller with the fewest at work"
                free = not before[job.caller] or before.total() < self._shared
                assert free, "a reserved thread goes to a caller who has another"
        self._queue, self._at_work = tuple(it._queue), now
        for caller in _CALLERS:
            if len(it._queue) >= self._max_waiting + self._idle_for(it, caller):
                self._full_at[caller] = self.schedule.steps

    def _idle_for(self, it: CompilePool, caller: str) -> int:
        """How many threads would take a job of the caller's at once, and those in the queue."""
        is_first = not it._at_work[caller] and all(job.caller != caller for job in it._queue)
        threads = self._shared + (self._reserved if is_first else 0)
        return max(threads - it._at_work.total(), 0)

    def _check_cache(self, it: PlanCache) -> None:
        held = it._held.values()
        for each in held:
            made = sum(executable.held_bytes for executable in each.executables.values())
            named = sum(len(source) for source, _ in each.sources)
            size = plan_cache._PLAN_BYTES + 2 * len(each.plan.key) + named + made
            assert each.bytes == size, "a plan has the bytes of all that is made of it"
        assert it._bytes == sum(each.bytes for each in held), "the bytes are those of the plans"
        sources = {name: each for each in held for name in each.sources}
        assert it._by_source == sources, "plans are found by the sources that they have"
        if len(held) > self._max_plans or it._bytes > self._max_bytes:
            idle = sum(not each.making for each in held)
            assert idle <= 1, "over the bound only the newest is held, and what is being made"

    def _check_at_rest(self) -> None:
        """All threads wait: none of them for something that is there."""
        it = self.pool
        idle = self._shared + self._reserved > it._at_work.total()
        for job in it._queue:
            free = not it._at_work[job.caller] or it._at_work.total() < self._shared
            assert not (idle and free), "a job waits though a thread is free for it"

    def _check_end(self) -> None:
        counts, told = self.cache.counts, self._told
        assert (self.pool.busy, self.pool.waiting) == (0, 0)
        assert counts.hits + counts.misses == told["asked"]
        assert counts.misses >= told["lost"]
        assert (counts.compiled, counts.failed) == (told["compiled"], told["failed"]), "counts"
        assert counts.compile_seconds == counts.compiled
        assert told["noted"] == counts.compiled + counts.loaded_from_disk
        if not self._stops_early:
            assert not any(each.making for each in self._ever), "a making is kept"


Mutation = Callable[[PlansWorld, pytest.MonkeyPatch], object]


def play_plans(seed: int, mutate: Mutation | None = None) -> None:
    """Plays one schedule; raises ``ScheduleError`` where something doesn't hold."""
    schedule = Schedule(seed, _WATCHED)
    with pytest.MonkeyPatch.context() as patch:
        world = PlansWorld(schedule, patch)
        if mutate is not None:
            mutate(world, patch)
        schedule.run(world.body)
