"""Loops, in JAX's argument order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.tensors import TensorType
from gradwire.transforms.control import (
    BOOL,
    INT64,
    emit_control,
    one_argument,
    trace_callee,
    trace_steady,
    traced_leaves,
    two_arguments,
)
from gradwire.transforms.derivation import Operator
from gradwire.trees import flatten, unflatten


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    max_iterations: int | None = None,
) -> Any:
    """Repeats a function while a condition on its value holds.

    Args:
        cond_fun: Returns one truth value.
        body_fun: Returns a value of the same tree, shapes and dtypes.
        init_val: The first value.
        max_iterations: The loop ends after so many turns. It makes reverse mode
            possible, which needs memory for each of them.

    Returns:
        The first value for which the condition doesn't hold, or the last.

    Raises:
        TypeError: the value changes its tree, shape or dtype.
    """

    def emit(init_val: Any) -> Any:
        operands, tree = traced_leaves(init_val)
        operands, body = trace_steady(body_fun, operands, one_argument(tree), tree, len(operands))
        types = [x.ref.type for x in operands]
        test = trace_callee(cond_fun, operands, types, one_argument(tree))
        if [(t.dtype, t.shape) for t in test.results] != [(BOOL, ())]:
            raise TypeError(
                f"`cond_fun` must return one bool; got {', '.join(map(str, test.results))}"
            )
        attrs = {"max_iterations": max_iterations or 0}
        return unflatten(tree, emit_control("while_loop", (test, body), operands, attrs))

    return Operator("while_loop", body_fun, emit)(init_val)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Repeats a function with a counter from ``lower`` to ``upper - 1``.

    Args:
        lower: The first count. Reverse mode needs both bounds to be Python ints.
        upper: The end.
        body_fun: Called as ``body_fun(count, value)``; returns a value of the
            same tree, shapes and dtypes.
        init_val: The first value.

    Returns:
        The last value.

    Raises:
        TypeError: the value changes its tree, shape or dtype.
    """
    if not (isinstance(lower, int | np.integer) and isinstance(upper, int | np.integer)):
        return while_loop(
            lambda state: state[0] < state[1],
            lambda state: (state[0] + 1, state[1], body_fun(state[0], state[2])),
            (_as_count(lower), _as_count(upper), init_val),
        )[2]

    def emit(init_val: Any) -> Any:
        operands, tree = traced_leaves(init_val)
        shape = two_arguments(flatten(0)[1], tree)
        counter = TensorType(INT64, ())
        operands, body = trace_steady(
            body_fun, operands, shape, tree, len(operands), first=(counter,)
        )
        attrs = {"lower": int(lower), "upper": int(upper)}
        return unflatten(tree, emit_control("fori_loop", (body,), operands, attrs))

    return Operator("fori_loop", body_fun, emit)(init_val)


def _as_count(value: Any) -> Any:
    return np.int64(value) if isinstance(value, int | np.integer) else value
