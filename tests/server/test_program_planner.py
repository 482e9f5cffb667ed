"""Where new programs are checked and planned, and how often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gradwire.errors import DeadlineError, InvalidProgramError, LimitExceededError
from gradwire.ir import encode_program
from gradwire_server.planner.plan import PlannedProgram
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.serving.compile_pool import CompilePool
from gradwire_server.serving.compilers import CompilerInProcess
from gradwire_server.serving.deadline import Deadline
from gradwire_server.serving.plan_cache import PlanCache
from gradwire_server.serving.program_planner import ProgramPlanner
from programs import SIN_BYTES, function, node, program, unary, vector

LARGE = encode_program(unary("sin", 3000))
assert len(LARGE) > 2**15
WRONG = encode_program(program(function([vector(3)], *[node("add", [0], 1)] * 3000, results=[1])))


class Apart(CompilerInProcess):
    """Stands for compilers in processes: it counts, and waits until it may answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.may_answer = threading.Event()

    def plan_program(self, program: bytes, limits: ProgramLimits) -> PlannedProgram:  # type: ignore[override]
        self.asked += 1
        assert self.may_answer.wait(60)
        return super().plan_program(program, limits)


class Planners:
    """Planners with the same compilers, and a cache each."""

    def __init__(self) -> None:
        self.compilers = Apart()
        self.pool = CompilePool(1, 8, traces=False)

    def make(self, **flags: Any) -> ProgramPlanner:
        plans = PlanCache(
            self.pool, None, self.compilers.compile_program, max_plans=4, max_plan_bytes=2**30
        )
        limits = ProgramLimits(max_program_bytes=2**17)
        return ProgramPlanner(plans, self.pool, self.compilers, limits, **flags)


@pytest.fixture
def planners() -> Iterator[Planners]:
    made = Planners()
    yield made
    made.compilers.may_answer.set()
    assert made.pool.stop(60)


def test_a_small_program_is_planned_at_once(planners: Planners) -> None:
    """In the caller's thread, and so is each where there are no other processes."""
    assert planners.make(apart=True).plan(SIN_BYTES, "highest").done()
    assert planners.make(apart=False).plan(LARGE, "highest").done()
    assert planners.compilers.asked == 0


def test_a_large_program_is_planned_apart_and_once(planners: Planners) -> None:
    """Those who ask for it meanwhile wait for the same; a caller stops waiting at its deadline."""
    planner = planners.make(apart=True)
    planning = planner.plan(LARGE, "highest")
    assert planner.plan(LARGE, "highest") is planning
    other = planner.plan(LARGE, "fast")
    with pytest.raises(DeadlineError):
        Deadline(0.05).wait(planning, "its program was checked")
    planners.compilers.may_answer.set()
    held = planning.result(60)
    assert (held.plan.program, held.plan.precision) == (LARGE, "highest")
    assert other.result(60).plan.precision == "fast"
    assert planners.compilers.asked == 2


def test_what_is_refused_fails_all_who_wait(planners: Planners) -> None:
    """With the error of the check; the next who asks has it checked again."""
    planner = planners.make(apart=True)
    planners.compilers.may_answer.set()
    for asked in (1, 2):
        with pytest.raises(InvalidProgramError, match=r"`functions\[0\].nodes\[0\]` \(add\)"):
            planner.plan(WRONG, "highest").result(60)
        assert planners.compilers.asked == asked


def test_what_is_too_large_goes_nowhere(planners: Planners) -> None:
    """It is refused in the caller's thread, whose bytes are counted first."""
    with pytest.raises(LimitExceededError, match="`max_program_bytes` is 131072 "):
        planners.make(apart=True).plan(bytes(2**17 + 1), "highest")
    assert planners.compilers.asked == 0
