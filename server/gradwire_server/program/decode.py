"""Turns the bytes of a program into a checked one, under this server's bounds."""

from __future__ import annotations

from gradwire.ir import ProgramLimits, TypedProgram, infer_program
from gradwire.ir.codec import decode_program


def validate_program(data: bytes, limits: ProgramLimits) -> TypedProgram:
    """Reads and checks a program.

    Raises:
        InvalidProgramError: it is malformed or breaks a rule.
        LimitExceededError: it passes a bound.
        UnsupportedError: it asks for something that isn't offered.
    """
    return infer_program(decode_program(data, limits), limits)
