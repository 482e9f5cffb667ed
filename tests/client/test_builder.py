"""Programs are built while Python runs: what is a constant, and what a parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.trace.builder import MAX_CONSTANT_BYTES, CapturedSource
from gradwire.trace.program import TracedProgram
from tracing import X, trace


def _captured(traced: TracedProgram) -> list[Any]:
    return [source.value for source in traced.sources if isinstance(source, CapturedSource)]


def _num_constants(traced: TracedProgram) -> int:
    return len(traced.program.functions[traced.program.entry].constants)


@pytest.mark.parametrize(("extra", "is_constant"), [(0, True), (1, False)])
def test_integers_are_constants_up_to_a_bound(extra: int, is_constant: bool) -> None:
    """At the bound of bytes they stand in the program, one over it they are an input."""
    table = np.zeros(MAX_CONSTANT_BYTES + extra, np.int8)
    traced = trace(lambda x: x[0].astype(np.int8) + table)
    assert len(_captured(traced)) == (not is_constant)
    assert _num_constants(traced) == is_constant


def test_a_floating_array_is_an_input() -> None:
    """So that another one needs no other program."""
    one = trace(lambda x: x * np.ones(4))
    two = trace(lambda x: x * np.zeros(4))
    assert one.data == two.data
    assert [value.tolist() for value in _captured(one)] == [[1.0] * 4]


def test_one_array_is_one_input_while_it_stays_as_it_was() -> None:
    """Read twice it is the same; changed between, another one."""
    table = np.ones(4)

    def twice(x: Any) -> Any:
        return x * table, x + table

    def changed(x: Any) -> Any:
        first = x * table
        table[0] += 1.0
        return first, x + table

    assert len(_captured(trace(twice))) == 1
    values = [value.copy() for value in _captured(trace(changed))]
    assert [value[0] for value in values] == [1.0, 2.0]


def test_what_the_owner_changes_later_does_not_show() -> None:
    """The program has a copy."""
    table = np.ones(4)
    traced = trace(lambda x: x * table)
    table[:] = 5.0
    assert _captured(traced)[0].tolist() == [1.0] * 4


def test_a_refusal_of_the_rules_names_the_callers_line() -> None:
    """And not the node's number, which the caller doesn't know."""
    with pytest.raises(gw.GradwireError, match=r"\(at .*test_builder\.py:\d+") as caught:
        trace(lambda x: gw.ops.linalg.cholesky(x), X)
    assert "functions[" not in str(caught.value)
