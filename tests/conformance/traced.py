"""Makes JAX functions of NumPy functions, by way of a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradwire.trace.program import ArgumentSource, bind, trace_program
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from planned import settle


def in_jax(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Returns what the server computes for a function of arrays like these, with one result."""
    traced = trace_program(function, arguments, {})
    typed = settle(traced.program)
    lowered = lower_function(typed, traced.program.entry, {**LOWERINGS, **OPERATORS})
    captured = bind(traced, arguments)

    def run(*operands: Any) -> Any:
        inputs = [
            operands[source.position] if isinstance(source, ArgumentSource) else value
            for source, value in zip(traced.sources, captured, strict=True)
        ]
        return lowered(*inputs)[0]

    return run
