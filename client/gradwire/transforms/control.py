"""What branches and loops share: tracing their functions, and the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.tensors import TensorType
from gradwire.trace.function import TracedFunction, check_leaves, trace_function
from gradwire.trace.lines import caller_line
from gradwire.trace.traced import Traced
from gradwire.trace.values import as_traced, convert, current_builder
from gradwire.trees import Tree, flatten, paths

BOOL = np.dtype(bool)
INT32 = np.dtype(np.int32)
INT64 = np.dtype(np.int64)


def emit_control(
    op: str, functions: Sequence[TracedFunction], operands: Sequence[Traced], attrs: dict[str, Any]
) -> list[Traced]:
    """Adds a node whose functions' captures lead its operands, function by function."""
    captures = [ref for f in functions for ref in f.captures]
    refs = current_builder().emit(
        op,
        [*captures, *(x.ref for x in operands)],
        {"captures": tuple(len(f.captures) for f in functions), **attrs},
        [f.index for f in functions],
    )
    return [Traced(ref) for ref in refs]


def trace_callee(
    f: Callable[..., Any],
    operands: Sequence[Traced | None],
    types: Sequence[TensorType],
    shape: Tree,
) -> TracedFunction:
    """Traces a function that the function being traced will use."""
    return trace_function(current_builder(), f, operands, types, shape)


def trace_steady(
    f: Callable[..., Any],
    state: list[Traced],
    shape: Tree,
    state_tree: Tree,
    count: int,
    *,
    first: tuple[TensorType, ...] = (),
    last: tuple[TensorType, ...] = (),
    pair: bool = False,
) -> tuple[list[Traced], TracedFunction]:
    """Traces a function that carries a state, and gives weak numbers its dtypes.

    A Python number as the first state takes the dtype that the function makes
    of it, so that ``scan(f, 0.0, xs)`` works for float32 rows.
    """
    trace = current_builder().trace
    for _ in range(2):
        mark = len(trace.functions)
        types = [*first, *(x.ref.type for x in state), *last]
        operands = [*[None] * len(first), *state, *[None] * len(last)]
        traced = trace_callee(f, operands, types, shape)
        tree = traced.tree.children[0] if pair and traced.tree.children else traced.tree
        if pair and (traced.tree.node is not tuple or len(traced.tree.children) != 2):
            raise TypeError("`f` must return a pair (carry, y)")
        results = traced.results[:count]
        weak = [
            place
            for place, (x, result) in enumerate(zip(state, results, strict=False))
            if x.weak and result.shape == () and result.dtype != x.dtype
        ]
        if not weak:
            break
        trace.rewind(mark)
        state = [
            convert(x, results[place].dtype) if place in weak else x
            for place, x in enumerate(state)
        ]
    check_same("the state", traced, state_tree, [x.ref.type for x in state], tree)
    return state, traced


def check_same(
    what: str,
    traced: TracedFunction,
    tree: Tree,
    types: Sequence[TensorType],
    got_tree: Tree | None = None,
) -> None:
    """Raises TypeError unless a function returns the tree and the types it must."""
    got_tree = traced.tree if got_tree is None else got_tree
    if got_tree != tree:
        raise TypeError(
            f"{what} must keep the tree ({', '.join(paths(tree))}); got "
            f"({', '.join(paths(got_tree))}) (at {caller_line()})"
        )
    for path, got, wanted in zip(paths(tree), traced.results, types, strict=False):
        if got != wanted:
            raise TypeError(f"{what}{path} must be {wanted}; got {got} (at {caller_line()})")


def traced_leaves(tree: Any) -> tuple[list[Traced], Tree]:
    """Returns the leaves of a tree as values of the program, and its shape."""
    leaves, shape = flatten(tree)
    check_leaves(leaves, "argument")
    return [as_traced(leaf) for leaf in leaves], shape


def one_argument(tree: Tree) -> Tree:
    """The shape of ``((value,), {})``."""
    return Tree(tuple, (0, 1), (Tree(tuple, (0,), (tree,)), flatten({})[1]))


def common_length(rows: Sequence[Traced], tree: Tree, length: int | None) -> int:
    """Returns the length of the leading axis; raises ValueError if there isn't one."""
    lengths = {
        path: x.shape[0] if x.shape else None for path, x in zip(paths(tree), rows, strict=True)
    }
    if length is not None:
        lengths["length"] = length
    if len(set(lengths.values())) != 1 or None in lengths.values():
        raise ValueError(
            f"`xs` must have one common leading axis, or `length` be given; got {lengths}"
        )
    (common,) = set(lengths.values())
    assert common is not None
    return common


def one_scalar(value: Any, dtype: np.dtype[Any], name: str) -> Traced:
    """Returns a value that must be one number, with the given dtype."""
    traced = as_traced(value)
    if traced.shape != ():
        raise TypeError(f"`{name}` must be one value; got shape {traced.shape}")
    if dtype == BOOL and traced.dtype.kind != "b":
        return convert(np.not_equal(traced, 0), BOOL)
    if dtype != BOOL and traced.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be an integer; got {traced.dtype.name}")
    return convert(traced, dtype)


def two_arguments(first: Tree, second: Tree) -> Tree:
    """Returns the shape of ``((first, second), {})``."""
    return Tree(tuple, (0, 1), (Tree(tuple, (0, 1), (first, second)), flatten({})[1]))
