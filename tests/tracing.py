"""Traces functions of the arrays below, without a server, and reads the programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.ir import Node
from gradwire.trace.program import TracedProgram, trace_program
from gradwire_server.program.verify import verify_program

X = np.linspace(0.5, 2.0, 4)
M = np.arange(12.0).reshape(3, 4)


def trace(function: Callable[..., Any], *args: Any, **options: Any) -> TracedProgram:
    """Traces a function and checks the program."""
    traced = trace_program(function, args or (X,), {}, **options)
    verify_program(traced.program)
    return traced


def nodes_of(traced: TracedProgram) -> list[Node]:
    """The entry's nodes in order."""
    return list(traced.program.functions[traced.program.entry].nodes)


def ops_of(traced: TracedProgram) -> list[str]:
    """The entry's ops in order."""
    return [node.op for node in nodes_of(traced)]


def results_of(traced: TracedProgram) -> list[int]:
    """The ids of the entry's results, in the order of the leaves."""
    entry = traced.program.functions[traced.program.entry]
    return [entry.results[result] for result in traced.results]  # type: ignore[index]


def types_of(traced: TracedProgram) -> list[str]:
    """The types of the results, in the order of the leaves."""
    signature = verify_program(traced.program).entry.signature
    return [str(signature.results[result]) for result in traced.results]  # type: ignore[index]
