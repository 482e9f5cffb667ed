"""The plans that this server holds, and their executables.

Each program is compiled once, however many ask for it at the same time, and
for the server rather than for the caller who asked first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakValueDictionary

from gradwire.errors import PlanNotFoundError
from gradwire_server.planner.plan import PlannedProgram
from gradwire_server.runtime.devices import environment
from gradwire_server.runtime.executable import Executable
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.deadline import Deadline, SharedDeadline
from gradwire_server.serving.executable_maker import ExecutableMaker
from gradwire_server.serving.plan import Plan, make_plan
from gradwire_server.serving.scheduler import Run, Runs

_MAX_SOURCES = 4
"""Different bytes of one program, such as other names, that are remembered."""

_PLAN_BYTES = 2**12
"""The memory of a plan beside its key, of which the canonical form is a copy, and its bytes."""


@dataclass(slots=True)
class Counts:
    """What has happened so far; for the metrics.

    ``compile_seconds`` is what all compiles together took; ``failed`` counts those
    that came to nothing.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    compiled: int = 0
    loaded_from_disk: int = 0
    failed: int = 0
    compile_seconds: float = 0.0


@dataclass(slots=True)
class Making:
    """An executable that is being made, those who wait for it, and the call that came first."""

    future: Future[Executable]
    deadline: SharedDeadline
    call_id: str


@dataclass(slots=True, eq=False, weakref_slot=True)
class HeldPlan:
    """A plan with what was made of it. A cache never has two of one plan.

    Attributes:
        plan: The plan.
        executables: Those that are ready, by bucket.
        making: Those that are being compiled or loaded, by bucket.
        compiled: The buckets that were compiled rather than loaded from disk.
        sources: Bytes and precisions that it was asked for with.
        bytes: The memory that it takes, as estimated.
    """

    plan: Plan
    executables: dict[int, Executable] = field(default_factory=dict)
    making: dict[int, Making] = field(default_factory=dict)
    compiled: set[int] = field(default_factory=set)
    sources: list[tuple[bytes, str]] = field(default_factory=list)
    bytes: int = 0


class PlanCache:
    """The cache of plans, bounded in number and in bytes; the least used go first."""

    def __init__(
        self,
        workers: CompilePool,
        maker: ExecutableMaker,
        *,
        max_plans: int,
        max_plan_bytes: int,
        note: Callable[[bytes, str, int], None] | None = None,
        makings: Runs | None = None,
    ) -> None:
        """Makes an empty cache.

        Args:
            workers: The threads that compile and load.
            maker: What does that.
            max_plans: Bounds the plans.
            max_plan_bytes: Bounds their memory, as estimated.
            note: Called with the bytes and precision of a program, and a
                bucket, when the executable for it has been made ready.
            makings: Where it is noted what is being made, if nothing can stop that.
        """
        self.counts = Counts()
        self._makings = makings
        self._note = note
        self._workers = workers
        self._maker = maker
        self._max_plans = max_plans
        self._max_bytes = max_plan_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[str, HeldPlan] = OrderedDict()
        self._by_source: dict[tuple[bytes, str], HeldPlan] = {}
        # Dropped ones as well, while a call or a compile uses them: if such a program comes
        # again, nothing is made of it twice.
        self._by_key: WeakValueDictionary[bytes, HeldPlan] = WeakValueDictionary()
        self._bytes = 0

    @property
    def num_held(self) -> int:
        """The number of plans that are held."""
        return len(self._held)

    @property
    def bytes_held(self) -> int:
        """The memory of what is held, as estimated."""
        return self._bytes

    def find(self, plan_id: str) -> HeldPlan:
        """Returns the plan of that id.

        Raises:
            PlanNotFoundError: it isn't held, or no longer.
        """
        with self._lock:
            held = self._held.get(plan_id)
            if held is None:
                self.counts.misses += 1
                raise PlanNotFoundError(
                    "`plan_id` must name a plan that this server holds; send the program again",
                    field="plan_id",
                )
            self._held.move_to_end(plan_id)
            self.counts.hits += 1
            return held

    def find_source(self, program: bytes, precision: str) -> HeldPlan | None:
        """Returns the plan that was made of exactly these bytes, if it is held."""
        with self._lock:
            held = self._by_source.get((program, precision))
            if held is None:
                self.counts.misses += 1
                return None
            self._held.move_to_end(held.plan.id)
            self.counts.hits += 1
            return held

    def hold(self, planned: PlannedProgram, precision: str, source: bytes) -> HeldPlan:
        """Returns the plan of a program, new or held already.

        Args:
            planned: The program and what was chosen for it.
            precision: The precision of matrix products.
            source: The bytes that it was read from.
        """
        plan = make_plan(planned, source, precision, environment())
        with self._lock:
            held = self._held.get(plan.id)
            if held is not None and held.plan.key != plan.key:
                self._drop(held)  # two keys with one hash: the newer stays
                held = None
            if held is None:
                held = self._add(plan)
            self._held.move_to_end(plan.id)
            name = (source, precision)
            if name not in self._by_source and len(held.sources) < _MAX_SOURCES:
                self._by_source[name] = held
                held.sources.append(name)
                self._grow(held, len(source))
            self._evict(held)
            return held

    def make_executable(
        self,
        held: HeldPlan,
        bucket: int,
        deadline: Deadline,
        caller: str = "",
        call_id: str = "",
    ) -> Future[Executable]:
        """Starts to make an executable, unless it is there or on its way.

        Args:
            held: The plan.
            bucket: The rows of a batch, or ``NO_BATCH``.
            deadline: Until when the call waits that asks for it.
            caller: Who asks for it; see ``CompilePool``.
            call_id: The id of that call, for the log.

        Raises:
            OverloadedError: too much waits to be compiled.
        """
        with self._lock:
            made = held.executables.get(bucket)
            if made is not None:
                future: Future[Executable] = Future()
                future.set_result(made)
                return future
            making = held.making.get(bucket)
            if making is None:
                making = Making(Future(), SharedDeadline(), call_id)
                self._workers.submit(partial(self._make, held, bucket, making), caller)
                held.making[bucket] = making
            making.deadline.add(deadline)
            return making.future

    def _make(self, held: HeldPlan, bucket: int, making: Making) -> None:
        future = making.future
        try:
            with self._noted(held.plan, making):
                executable, compiled = self._maker.make(held.plan, bucket)
        except Exception as error:  # noqa: BLE001 - it goes to all who wait
            with self._lock:
                self.counts.failed += 1
                del held.making[bucket]
                # It was kept beyond the bound only while it was being made.
                self._evict(next(reversed(self._held.values()), held))
            future.set_exception(error)
            return
        with self._lock:
            if compiled:
                self.counts.compiled += 1
                self.counts.compile_seconds += executable.cost.compile_seconds
                held.compiled.add(bucket)
            else:
                self.counts.loaded_from_disk += 1
            held.executables[bucket] = executable
            del held.making[bucket]
            self._grow(held, executable.held_bytes)
            if self._held.get(held.plan.id) is held:
                self._evict(held)
        future.set_result(executable)
        if self._note is not None and held.sources:
            source, precision = held.sources[0]
            self._note(source, precision, bucket)

    @contextmanager
    def _noted(self, plan: Plan, making: Making) -> Iterator[None]:
        if self._makings is None:
            yield
            return
        run = Run(making.deadline, plan.id, making.call_id)
        self._makings.add(run)
        try:
            yield
        finally:
            self._makings.remove(run)

    def _add(self, plan: Plan) -> HeldPlan:
        """Holds a plan, new or dropped before."""
        held = self._by_key.get(plan.key)
        if held is None:
            held = self._by_key[plan.key] = HeldPlan(plan)
            held.bytes = _PLAN_BYTES + 2 * len(plan.key)
        self._held[plan.id] = held
        self._bytes += held.bytes
        self._by_source.update(dict.fromkeys(held.sources, held))
        return held

    def _grow(self, held: HeldPlan, amount: int) -> None:
        held.bytes += amount
        if self._held.get(held.plan.id) is held:
            self._bytes += amount

    def _evict(self, newest: HeldPlan) -> None:
        """Drops what was used longest ago; never what is being made, nor ``newest``."""
        excess = [h for h in self._held.values() if h is not newest and not h.making]
        for held in excess:
            if len(self._held) <= self._max_plans and self._bytes <= self._max_bytes:
                return
            self._drop(held)
            self.counts.evictions += 1

    def _drop(self, held: HeldPlan) -> None:
        del self._held[held.plan.id]
        self._bytes -= held.bytes
        for name in held.sources:
            del self._by_source[name]
