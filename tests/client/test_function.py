"""Functions inside functions: what they capture, and what can't leave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.trace.builder import FunctionBuilder, building
from gradwire.trace.function import trace_function
from gradwire.trace.traced import Traced
from gradwire.trace.values import current_builder
from gradwire.trees import flatten
from tracing import X, ops_of, trace


def test_a_row_of_a_batch_of_numbers_is_a_number() -> None:
    """Inside an inner function an argument without axes may be rebound."""

    def f(t: Any) -> Any:
        t += 1.0
        return t

    assert ops_of(trace(f, X, axes=(0,))) == ["add"]
    inner_ops = _inner_function(f, np.float64(1.0))
    assert inner_ops == ["add"]
    with pytest.raises(gw.TraceError, match="an argument"):
        _inner_function(f, X)
    with pytest.raises(gw.TraceError, match="an argument"):
        trace(f, np.array(1.0))


def _inner_function(function: Callable[..., Any], argument: Any) -> list[str]:
    """Traces a function as one that the entry uses, and returns its ops."""
    found: list[str] = []

    def entry(x: Any) -> Any:
        builder = current_builder()
        leaves, tree = flatten(((x,), {}))
        traced = trace_function(builder, function, leaves, [x.ref.type], tree)
        found.extend(node.op for node in builder.trace.functions[traced.index].nodes)
        return x

    trace(entry, argument)
    return found


def test_captured_values_become_leading_parameters_at_every_level() -> None:
    """A function three levels down that reads the outermost value: each one passes it on."""
    levels: list[int] = []

    def nest(outer: Any, depth: int) -> Any:
        builder = current_builder()
        leaves, tree = flatten(((outer,), {}))

        def inner(y: Any) -> Any:
            return nest(y, depth - 1) if depth else y * captured[0]

        traced = trace_function(builder, inner, leaves, [outer.ref.type], tree)
        levels.append(len(traced.captures))
        refs = builder.emit("call", [*traced.captures, outer.ref], {}, [traced.index])
        return Traced(refs[0])

    captured: list[Any] = []

    def entry(x: Any, w: Any) -> Any:
        captured.append(w)
        return nest(x, 2)

    traced = trace(entry, X, X)
    assert levels == [1, 1, 1]
    assert [len(f.params) for f in traced.program.functions] == [2, 2, 2, 2]


def test_a_value_that_leaves_its_function_is_refused() -> None:
    """What an inner function made can't be used outside of it."""
    leaked: list[Any] = []

    def entry(x: Any) -> Any:
        builder = current_builder()
        inner = FunctionBuilder(builder.trace, builder, "inner")
        with building(inner):
            leaked.append(x * 2.0)
        inner.add_to_program([leaked[0].ref])
        return leaked[0] + 1.0

    with pytest.raises(gw.TraceError, match=r"after the function that made it has.*test_function"):
        trace(entry)
    with pytest.raises(gw.TraceError, match="after its function has returned"):
        leaked[0] + 1.0


def test_an_array_of_an_outer_function_cant_be_changed() -> None:
    """The inner function would have to hand it back."""

    def entry(x: Any) -> Any:
        h = x * 1.0
        builder = current_builder()

        def inner(y: Any) -> Any:
            nonlocal h
            h += y
            return h

        leaves, tree = flatten(((x,), {}))
        trace_function(builder, inner, leaves, [x.ref.type], tree)

    with pytest.raises(gw.TraceError, match="outer function"):
        trace(entry)
