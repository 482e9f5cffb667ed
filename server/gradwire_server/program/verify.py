"""Checks that a program keeps the rules of the language and the server's bounds."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

from gradwire.ir import Program, TypedProgram, infer_types
from gradwire.ir.independence import check_batched_jacobians
from gradwire_server.program.bounds import FunctionSize, measure_functions
from gradwire_server.program.custom_rules import RuleBounds, check_custom_rules
from gradwire_server.program.decode import decode_program
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.limits import ProgramLimits

_BOUNDLESS = ProgramLimits(**{field.name: sys.maxsize for field in fields(ProgramLimits)})


@dataclass(frozen=True, slots=True)
class VerifiedProgram(TypedProgram):
    """A program that keeps the rules of the language and the bounds of the server.

    Attributes:
        sizes: The size of each of its functions, with the least costly choice wherever
            it leaves one open.
    """

    sizes: tuple[FunctionSize, ...]


def verify_program(program: Program, limits: ProgramLimits | None = None) -> VerifiedProgram:
    """Types a program and checks it, except for what depends on the planner's choices.

    Raises:
        InvalidProgramError: a rule of the language is broken.
        LimitExceededError: a bound is passed, whatever is chosen.
        UnsupportedError: unknown op or opset.
    """
    limits = limits or ProgramLimits()
    constants = sum(c.value.nbytes for f in program.functions for c in f.constants)
    if constants > limits.max_constant_bytes:
        raise exceeded("max_constant_bytes", limits.max_constant_bytes, constants)
    typed = infer_types(program)
    functions, infos = program.functions, typed.infos
    sizes = measure_functions(typed, limits)
    check_custom_rules(functions, infos)
    RuleBounds(functions, infos, sizes, limits).check(program.entry)
    check_batched_jacobians(functions, infos)
    return VerifiedProgram(program, infos, sizes)


def read_program(data: bytes, limits: ProgramLimits) -> VerifiedProgram:
    """Reads and checks a program.

    Raises:
        InvalidProgramError: it is malformed or breaks a rule.
        LimitExceededError: it passes a bound.
        UnsupportedError: it asks for something that isn't offered.
    """
    return verify_program(decode_program(data, limits), limits)


def read_verified_program(data: bytes) -> TypedProgram:
    """Reads a program that ``read_program`` has accepted, under any bounds."""
    return infer_types(decode_program(data, _BOUNDLESS))
