"""Branches, and operators that change only how a derivative is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradwire.trace.function import check_leaves
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, as_traced, current_builder
from gradwire.transforms.control import (
    BOOL,
    INT32,
    check_same,
    emit_control,
    one_scalar,
    trace_callee,
)
from gradwire.transforms.derivation import Operator
from gradwire.trees import flatten, unflatten


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Runs one of two functions.

    Args:
        pred: One truth value.
        true_fun: Called as ``true_fun(*operands)`` where ``pred`` holds.
        false_fun: Called where it doesn't; it must return the same tree, shapes
            and dtypes.
        *operands: Their arguments.

    Returns:
        What the chosen function returns.

    Raises:
        TypeError: the results differ in tree, shape or dtype.
    """

    def emit(pred: Any, operands: tuple[Any, ...]) -> Any:
        chosen = one_scalar(pred, BOOL, "pred")
        return _branch("cond", chosen, (true_fun, false_fun), operands)

    return Operator("cond", true_fun, emit)(pred, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Runs one of several functions.

    Args:
        index: Which; clamped into their range.
        branches: The functions; all must return the same tree, shapes and dtypes.
        *operands: Their arguments.

    Returns:
        What the chosen function returns.

    Raises:
        TypeError: the results differ in tree, shape or dtype.
    """
    branches = tuple(branches)
    if not branches:
        raise ValueError("`branches` must hold at least one function; got none")

    def emit(index: Any, operands: tuple[Any, ...]) -> Any:
        return _branch("switch", one_scalar(index, INT32, "index"), branches, operands)

    return Operator("switch", branches[0], emit)(index, operands)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function whose intermediates are computed again in the reverse sweep.

    Args:
        f: The function.

    Returns:
        The same function, which needs less memory and more time under reverse mode.
    """

    def emit(*args: Any, **kwargs: Any) -> Any:
        leaves, shape = flatten((args, kwargs))
        check_leaves(leaves, "argument")
        operands = [as_traced(leaf) for leaf in leaves]
        traced = trace_callee(f, operands, [x.ref.type for x in operands], shape)
        refs = current_builder().emit(
            "checkpoint", [*traced.captures, *(x.ref for x in operands)], {}, [traced.index]
        )
        return unflatten(traced.tree, [Traced(ref) for ref in refs])

    return Operator("checkpoint", f, emit)


def stop_gradient(x: Any) -> Any:
    """Returns a tree unchanged, as a constant to every derivative.

    Args:
        x: Arrays.
    """

    def emit(x: Any) -> Any:
        leaves, tree = flatten(x)
        return unflatten(tree, [apply("stop_gradient", leaf) for leaf in leaves])

    return Operator("stop_gradient", stop_gradient, emit)(x)


def _branch(
    op: str, chosen: Traced, functions: Sequence[Callable[..., Any]], operands: tuple[Any, ...]
) -> Any:
    leaves, tree = flatten((operands, {}))
    check_leaves(leaves, "operand")
    inputs = [as_traced(leaf) for leaf in leaves]
    types = [x.ref.type for x in inputs]
    traced = [trace_callee(f, inputs, types, tree) for f in functions]
    for place, other in enumerate(traced[1:], 1):
        check_same(f"branch {place}", other, traced[0].tree, traced[0].results)
    return unflatten(traced[0].tree, emit_control(op, traced, [chosen, *inputs], {}))
