"""Turns the bytes of a program into a checked one, under this server's bounds."""

from __future__ import annotations

import sys
from dataclasses import fields

from gradwire.ir import ProgramLimits, TypedProgram, infer_program
from gradwire.ir.codec import decode_program

_BOUNDLESS = ProgramLimits(**{field.name: sys.maxsize for field in fields(ProgramLimits)})


def validate_program(data: bytes, limits: ProgramLimits) -> TypedProgram:
    """Reads and checks a program.

    Raises:
        InvalidProgramError: it is malformed or breaks a rule.
        LimitExceededError: it passes a bound.
        UnsupportedError: it asks for something that isn't offered.
    """
    return infer_program(decode_program(data, limits), limits)


def read_checked_program(data: bytes) -> TypedProgram:
    """Reads a program that ``validate_program`` has accepted, under whatever bounds."""
    return validate_program(data, _BOUNDLESS)
