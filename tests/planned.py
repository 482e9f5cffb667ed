"""Judges programs as the server does, from verification to the planner. Needs NumPy only."""

from __future__ import annotations

from gradwire.ir import Program, TypedProgram, encode_program
from gradwire_server.planner.choices import apply_choices
from gradwire_server.planner.plan import PlannedProgram, plan_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program
from gradwire_server.serving.plan import Plan, make_plan


def judge(program: Program, limits: ProgramLimits | None = None) -> PlannedProgram:
    """Verifies and plans a program; raises where the server refuses it."""
    return plan_program(verify_program(program, limits), limits)


def settle(program: Program) -> TypedProgram:
    """Returns a program as it is compiled, with nothing left open."""
    return apply_choices(verify_program(program), judge(program).choices)


def plan_of(program: Program, precision: str = "highest", environment: str = "here") -> Plan:
    """Returns the plan that a server makes of a program."""
    return make_plan(judge(program), encode_program(program), precision, environment)
