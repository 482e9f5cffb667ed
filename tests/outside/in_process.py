"""Runs Python functions the way a call does, without a server: from tracing to lowering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from gradwire.trace.program import Static, bind, trace_program
from gradwire.trees import flatten
from gradwire_server.compiler.derivatives import OPERATORS
from gradwire_server.compiler.lowering import LOWERINGS, lower_function
from gradwire_server.compiler.rewriting import rewrite_program
from haste import UNOPTIMISED
from planned import settle


def run_all(calls: Sequence[tuple[Callable[..., Any], Sequence[Any]]]) -> list[list[Any]]:
    """Compiles functions as one program, which is faster, and runs each on its arguments.

    Returns:
        For each call the leaves of what the function returns.
    """
    traced = [trace_program(function, tuple(arguments), {}) for function, arguments in calls]
    checked = [rewrite_program(settle(t.program)) for t in traced]
    functions = [
        lower_function(typed, typed.program.entry, {**LOWERINGS, **OPERATORS}) for typed in checked
    ]
    inputs = [
        bind(t, flatten((tuple(arguments), {}))[0])
        for t, (_, arguments) in zip(traced, calls, strict=True)
    ]

    def run(inputs: list[list[Any]]) -> list[list[Any]]:
        return [f(*operands) for f, operands in zip(functions, inputs, strict=True)]

    outputs = jax.jit(run, compiler_options=UNOPTIMISED)(inputs)
    return [
        [
            result.value if isinstance(result, Static) else np.asarray(values[result])
            for result in t.results
        ]
        for t, values in zip(traced, outputs, strict=True)
    ]
