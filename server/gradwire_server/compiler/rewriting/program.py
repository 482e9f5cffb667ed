"""Applies the rewriting to each function of a program, and types the result."""

from __future__ import annotations

from dataclasses import replace

from gradwire.ir import TypedProgram, infer_types
from gradwire_server.compiler.rewriting.squares import rewrite_squares


def rewrite_program(typed: TypedProgram) -> TypedProgram:
    """Returns a program of the same values; the same object if nothing is to be rewritten."""
    functions = tuple(
        rewrite_squares(function, info.types)
        for function, info in zip(typed.program.functions, typed.infos, strict=True)
    )
    if all(new is old for new, old in zip(functions, typed.program.functions, strict=True)):
        return typed
    return infer_types(replace(typed.program, functions=functions))
