"""Judges programs as the server does, from verification to the planner. Needs NumPy only."""

from __future__ import annotations

from gradwire.ir import Program, TypedProgram
from gradwire_server.planner.choices import apply_choices
from gradwire_server.planner.plan import PlannedProgram, plan_program
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import verify_program


def judge(program: Program, limits: ProgramLimits | None = None) -> PlannedProgram:
    """Verifies and plans a program; raises where the server refuses it."""
    return plan_program(verify_program(program, limits), limits)


def settle(program: Program) -> TypedProgram:
    """Returns a program as it is compiled, with nothing left open."""
    planned = judge(program)
    return apply_choices(planned.verified, planned.choices)
