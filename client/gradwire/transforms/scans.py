"""Functions along an axis, in JAX's argument order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradwire.tensors import TensorType
from gradwire.trace.values import as_traced
from gradwire.transforms.control import (
    check_same,
    common_length,
    emit_control,
    one_argument,
    trace_callee,
    trace_steady,
    traced_leaves,
    two_arguments,
)
from gradwire.transforms.derivation import Operator
from gradwire.transforms.vmap import move_axis
from gradwire.trees import unflatten


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> Any:
    """Runs a function along the leading axis of arrays, carrying a value.

    Args:
        f: Called as ``f(carry, x)``; returns ``(carry, y)``, the carry with the
            same tree, shapes and dtypes.
        init: The first carry.
        xs: Arrays with a common leading axis; ``x`` is one row of each.
        length: The number of steps, where ``xs`` is None.
        reverse: Whether to begin with the last row.

    Returns:
        ``(carry, ys)``: the last carry, and every ``y`` along a leading axis.

    Raises:
        TypeError: the carry changes its tree, shape or dtype.
        ValueError: leading axes differ, or there is no length.
    """

    def emit(init: Any, xs: Any) -> Any:
        carry, carry_tree = traced_leaves(init)
        rows, rows_tree = traced_leaves(xs)
        steps = common_length(rows, rows_tree, length)
        shape = two_arguments(carry_tree, rows_tree)
        row_types = [TensorType(r.dtype, r.shape[1:]) for r in rows]
        carry, body = trace_steady(
            f, carry, shape, carry_tree, len(carry), last=tuple(row_types), pair=True
        )
        attrs = {"num_carry": len(carry), "length": steps, "reverse": reverse}
        outputs = emit_control("scan", (body,), [*carry, *rows], attrs)
        last = unflatten(carry_tree, outputs[: len(carry)])
        return last, unflatten(body.tree.children[1], outputs[len(carry) :])

    return Operator("scan", f, emit)(init, xs)


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Applies a function to each row of arrays, one after the other.

    It needs the memory of one row at a time; ``gw.vmap`` that of all, and is faster.

    Args:
        f: The function of one row.
        xs: Arrays with a common leading axis.
        batch_size: How many rows are done at once; one by default.

    Returns:
        The results along a leading axis.
    """

    def emit(xs: Any) -> Any:
        rows, tree = traced_leaves(xs)
        common_length(rows, tree, None)
        types = [TensorType(r.dtype, r.shape[1:]) for r in rows]
        traced = trace_callee(f, rows, types, one_argument(tree))
        return unflatten(
            traced.tree, emit_control("map", (traced,), rows, {"batch_size": batch_size or 0})
        )

    return Operator("map", f, emit)(xs)


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Returns all partial combinations of elements, in parallel.

    Args:
        fn: Combines two elements, each without the scanned axis; associative.
        elems: Arrays with a common length of ``axis``.
        reverse: Whether to begin with the last element.
        axis: The axis along which the elements stand.

    Returns:
        Arrays like ``elems``: element k is the combination of elements 0 to k.
    """

    def emit(elems: Any) -> Any:
        leaves, tree = traced_leaves(elems)
        moved = [as_traced(move_axis(leaf, axis, 0)) for leaf in leaves]
        common_length(moved, tree, None)
        types = [TensorType(m.dtype, m.shape[1:]) for m in moved]
        shape = two_arguments(tree, tree)
        traced = trace_callee(fn, [*moved, *moved], [*types, *types], shape)
        check_same("fn", traced, tree, types)
        outputs = emit_control("associative_scan", (traced,), moved, {"reverse": reverse})
        return unflatten(tree, [move_axis(x, 0, axis) for x in outputs])

    return Operator("associative_scan", fn, emit)(elems)
