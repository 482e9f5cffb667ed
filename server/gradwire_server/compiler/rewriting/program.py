"""Applies the rewriting to each function of a program, and types the result."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

from gradwire.ir import ProgramLimits, TypedProgram, infer_program
from gradwire_server.compiler.rewriting.squares import rewrite_squares

_UNLIMITED = ProgramLimits(**{field.name: sys.maxsize for field in fields(ProgramLimits)})
"""The caller's program kept the server's bounds; what is added here costs no more."""


def rewrite_program(typed: TypedProgram) -> TypedProgram:
    """Returns a program of the same values; the very same if nothing is to be mended."""
    functions = tuple(
        rewrite_squares(function, info.types)
        for function, info in zip(typed.program.functions, typed.infos, strict=True)
    )
    if all(new is old for new, old in zip(functions, typed.program.functions, strict=True)):
        return typed
    return infer_program(replace(typed.program, functions=functions), _UNLIMITED)
