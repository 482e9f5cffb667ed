"""Plans a verified program: settles what it leaves open, and checks what comes of that."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.ir import TypedProgram
from gradwire_server.planner.choices import Choice, apply_choices
from gradwire_server.planner.directions import ClosedParams, find_closed_params
from gradwire_server.planner.modes import CHOOSERS
from gradwire_server.program.bounds import FunctionSize, measure_functions
from gradwire_server.program.differentiability import check_derivatives
from gradwire_server.program.limits import ProgramLimits
from gradwire_server.program.verify import VerifiedProgram


@dataclass(frozen=True, slots=True)
class PlannedProgram:
    """A program that may be compiled.

    Attributes:
        verified: The program as the caller wrote it.
        choices: What it leaves open, by function and node.
        size: How large its entry is with these choices.
    """

    verified: VerifiedProgram
    choices: tuple[Choice, ...]
    size: FunctionSize


def plan_program(verified: VerifiedProgram, limits: ProgramLimits | None = None) -> PlannedProgram:
    """Chooses, and checks the bounds and the derivatives of what was chosen.

    Raises:
        LimitExceededError: a bound is passed.
        UnsupportedError: an op is differentiated that has no derivative.
    """
    choices = choose(verified)
    settled = apply_choices(verified, choices)
    sizes = measure_functions(settled, limits or ProgramLimits()) if choices else verified.sizes
    entry = settled.program.entry
    check_derivatives(settled.program.functions, settled.infos, entry)
    return PlannedProgram(verified, choices, sizes[entry])


def choose(typed: TypedProgram) -> tuple[Choice, ...]:
    """Returns what is decided at each node that leaves something open."""
    closed: tuple[ClosedParams, ...] | None = None
    found: list[Choice] = []
    for index, (function, info) in enumerate(
        zip(typed.program.functions, typed.infos, strict=True)
    ):
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            if node.op not in CHOOSERS:
                continue
            if closed is None:
                closed = find_closed_params(typed)
            leaves = [call.attrs["num_captures"] + place for place in call.attrs["wrt"]]
            directions = closed[node.functions[0]].directions(leaves)
            chosen = CHOOSERS[node.op](call, directions)
            found += [Choice(index, position, *item) for item in sorted(chosen.items())]
    return tuple(found)
