"""The two things that the server does, from bytes to arrays, stage by stage.

Knows every stage, and nothing of gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from gradwire.errors import GradwireError, InvalidProgramError, Reason
from gradwire.tensors import Array
from gradwire.v1 import service_pb2 as pb
from gradwire_server.config.settings import Settings
from gradwire_server.program.batch import NO_BATCH
from gradwire_server.program.exceeded import exceeded
from gradwire_server.runtime.executable import Executable
from gradwire_server.serving import batching
from gradwire_server.serving.batching import BatchLimits
from gradwire_server.serving.call_record import CallRecord
from gradwire_server.serving.deadline import Deadline, StillRunning
from gradwire_server.serving.device_watch import DeviceWatch
from gradwire_server.serving.inputs import read_inputs
from gradwire_server.serving.plan import Plan
from gradwire_server.serving.plan_cache import HeldPlan, PlanCache
from gradwire_server.serving.program_planner import ProgramPlanner
from gradwire_server.serving.refusals import Refusals
from gradwire_server.serving.scheduler import Scheduler

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preparation:
    """A program to prepare.

    Attributes:
        program: Its bytes.
        precision: One of ``gradwire.ir.precision.PRECISIONS``.
        batch_sizes: Rows to compile it for now.
        max_wait: Seconds after which to answer in any case; None for no such.
    """

    program: bytes
    precision: str
    batch_sizes: tuple[int, ...] = ()
    max_wait: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that is ready.

    Attributes:
        plan: The plan.
        executables: Every executable of it that is ready.
        cached: Whether nothing had to be compiled for this call.
        compile_seconds: How long compiling what was asked for took.
    """

    plan: Plan
    executables: tuple[Executable, ...]
    cached: bool
    compile_seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """The outputs of a run, each with its number of elements that are not finite."""

    plan: Plan
    outputs: list[Array]
    non_finite: list[int]


class Engine:
    """Prepares and computes."""

    def __init__(
        self,
        plans: PlanCache,
        planner: ProgramPlanner,
        scheduler: Scheduler,
        settings: Settings,
        device: DeviceWatch,
        device_bytes: int,
        refusals: Refusals,
        free_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Makes an engine.

        Args:
            plans: The plans.
            planner: Makes plans of programs that are new.
            scheduler: Decides when programs run.
            settings: Bounds on programs, runs and replies.
            device: Says whether an error means that the device is lost.
            device_bytes: The device memory that one run may need; 0 for no bound.
            refusals: The plans that have brought a server down.
            free_bytes: Returns the free memory of the device where that is the host.
        """
        self._plans = plans
        self._planner = planner
        self._scheduler = scheduler
        self._device = device
        self._limits = BatchLimits(
            settings.max_batch_rows, settings.max_message_bytes, device_bytes, settings.program
        )
        self._max_batch_sizes = settings.max_batch_sizes
        self._free_bytes = free_bytes
        self._refusals = refusals

    def prepare(self, wanted: Preparation, deadline: Deadline, record: CallRecord) -> Prepared:
        """Checks a program and has it compiled.

        Raises:
            StillRunning: ``max_wait`` has passed first.
            GradwireError: the program is refused, or can't be compiled now.
        """
        with record.stage("validate"):
            held = self._hold(wanted, deadline, record)
            buckets = self._buckets(held.plan, wanted.batch_sizes)
            ready = {bucket for bucket in buckets if bucket in held.executables}
        made = self._wait(held, buckets, deadline, record)
        return Prepared(
            held.plan,
            tuple(held.executables.values()),
            cached=all(bucket in ready or bucket not in held.compiled for bucket in buckets),
            compile_seconds=sum(executable.cost.compile_seconds for executable in made),
        )

    def compute(
        self,
        source: str | Preparation,
        inputs: Sequence[pb.Input],
        deadline: Deadline,
        record: CallRecord,
    ) -> Result:
        """Runs a plan.

        Args:
            source: The id of a plan, or a program to be prepared if it isn't yet.
            inputs: One for each parameter of the entry.
            deadline: Until when to work on it.
            record: Where the time goes.

        Raises:
            StillRunning: ``max_wait`` has passed before the program was compiled.
            GradwireError: the program or an input is refused, or there is no
                time or room to run it now.
        """
        with record.stage("validate"):
            held = self._find(source, deadline, record)
            plan = held.plan
            arrays, rows = read_inputs(inputs, plan)
            record.rows = rows
            bucket = batching.bucket_of(rows)
            executable = held.executables.get(bucket)
            if executable is None or rows != NO_BATCH:
                batching.check_size(plan, rows, self._limits)
            if rows == 0:
                outputs = batching.empty_outputs(plan)
                return Result(plan, outputs, [0] * len(outputs))
            padded = batching.pad(plan, arrays, rows)
        if executable is None:
            (executable,) = self._wait(held, [bucket], deadline, record)
        return self._run(plan, executable, padded, rows, deadline, record)

    def _run(
        self,
        plan: Plan,
        executable: Executable,
        inputs: Sequence[Array],
        rows: int,
        deadline: Deadline,
        record: CallRecord,
    ) -> Result:
        batching.check_memory(executable.cost, self._limits)
        with self._scheduler.run(executable.cost.peak_bytes, deadline, record):
            batching.check_free_memory(executable.cost, self._free_bytes)
            try:
                padded = executable(inputs)
            except GradwireError:
                raise
            except Exception as error:
                self._device.check(error)
                raise
        with record.stage("execute"):
            outputs = batching.cut(padded, rows)
            non_finite = [batching.count_non_finite(output) for output in outputs]
        record.non_finite = sum(non_finite)
        return Result(plan, outputs, non_finite)

    def _find(self, source: str | Preparation, deadline: Deadline, record: CallRecord) -> HeldPlan:
        """Returns the plan that a call runs; starts to make the batch sizes that it names."""
        if isinstance(source, str):
            held = self._plans.find(source)
            self._note(held.plan, record)
            return held
        held = self._hold(source, deadline, record)
        if source.batch_sizes:
            for bucket in self._buckets(held.plan, source.batch_sizes):
                self._plans.make_executable(held, bucket, deadline, record.caller, record.call_id)
        return held

    def _hold(self, wanted: Preparation, deadline: Deadline, record: CallRecord) -> HeldPlan:
        """Returns the plan of a program; its bytes are checked if they are new."""
        if wanted.max_wait is not None:
            deadline.answer_within(wanted.max_wait)
        held = self._plans.find_source(wanted.program, wanted.precision)
        if held is None:
            planning = self._planner.plan(wanted.program, wanted.precision, record.caller)
            (held,) = self._wait_for([planning], deadline, "its program was checked")
        self._note(held.plan, record)
        return held

    def _note(self, plan: Plan, record: CallRecord) -> None:
        """Notes the plan of a call, unless it is quarantined."""
        record.plan_id = plan.id
        record.operator = plan.planned.operator
        self._refusals.check_plan(plan.id)

    def _buckets(self, plan: Plan, sizes: Sequence[int]) -> list[int]:
        """Returns the buckets to compile for the batch sizes that a caller names."""
        if not plan.is_mapped:
            if sizes:
                raise InvalidProgramError(
                    "`batch_sizes` must be empty for a program without mapped inputs; "
                    f"got {len(sizes)} sizes",
                    reason=Reason.ERROR_REASON_INVALID_REQUEST,
                    field="batch_sizes",
                )
            batching.check_size(plan, NO_BATCH, self._limits)
            return [NO_BATCH]
        if len(sizes) > self._max_batch_sizes:
            raise exceeded("max_batch_sizes", self._max_batch_sizes, len(sizes))
        for rows in (1, *sizes):
            batching.check_size(plan, rows, self._limits)
        return sorted({batching.bucket_of(rows) for rows in sizes if rows})

    def _wait(
        self, held: HeldPlan, buckets: Sequence[int], deadline: Deadline, record: CallRecord
    ) -> list[Executable]:
        """Has executables made and waits for them; they are made in any case."""
        with record.stage("compile"):
            futures = [
                self._plans.make_executable(held, bucket, deadline, record.caller, record.call_id)
                for bucket in buckets
            ]
            made = self._wait_for(futures, deadline, "its program was compiled")
        for executable in made:
            batching.check_memory(executable.cost, self._limits)
        return made

    def _wait_for(self, futures: Sequence[Future[T]], deadline: Deadline, doing: str) -> list[T]:
        try:
            if all(future.done() for future in futures):
                return [future.result() for future in futures]
            with self._scheduler.wait_for_compile(deadline):
                return [deadline.wait(future, doing) for future in futures]
        except (GradwireError, StillRunning):
            raise
        except Exception as error:  # it may come from loading
            self._device.check(error)
            raise
