"""Traces one Python function of trees of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.errors import TraceError
from gradwire.tensors import TensorType
from gradwire.trace.builder import FunctionBuilder, Ref, building
from gradwire.trace.interception import intercepting
from gradwire.trace.traced import Traced
from gradwire.trace.values import as_traced, is_array_like
from gradwire.trees import Tree, flatten, unflatten


@dataclass(frozen=True, slots=True)
class TracedFunction:
    """A function of the program, and how to call it.

    Attributes:
        index: Its index in the program.
        captures: The outer values that its leading parameters take.
        tree: The shape of what it returns.
        results: The types of what it returns.
    """

    index: int
    captures: tuple[Ref, ...]
    tree: Tree
    results: tuple[TensorType, ...]


def trace_function(
    builder: FunctionBuilder,
    function: Callable[..., Any],
    operands: Sequence[Traced | None],
    types: Sequence[TensorType],
    tree: Tree,
    *,
    varying: Sequence[bool] | None = None,
) -> TracedFunction:
    """Traces a function as one that ``builder`` will use.

    Args:
        builder: The function being traced at present.
        function: Called as ``function(*args, **kwargs)``.
        operands: The outer value for each leaf of its arguments; None for what
            the op itself makes.
        types: The type of each leaf inside.
        tree: The shape of ``(args, kwargs)``.
        varying: Which leaves differ between the samples of a vmap.
    """
    inner = FunctionBuilder(builder.trace, builder, getattr(function, "__name__", "function"))
    leaves = []
    for position, (operand, tensor_type) in enumerate(zip(operands, types, strict=True)):
        ref = inner.add_param(tensor_type)
        if operand is not None:
            inner.arguments[ref.id] = operand.ref
        inner.varying[ref.id] = varying is not None and varying[position]
        weak = operand is not None and operand.weak
        # A value without axes is treated as a scalar, which `+=` rebinds.
        leaves.append(Traced(ref, weak=weak, is_param=bool(tensor_type.shape)))
    args, kwargs = unflatten(tree, leaves)
    with building(inner):
        out_leaves, out_tree = flatten(run_on_stand_ins(function, args, kwargs))
        check_leaves(out_leaves, "result")
        refs = [as_traced(leaf).ref for leaf in out_leaves]
        for ref in refs:
            inner.read(ref)
    index = inner.add_to_program(refs)
    results = builder.trace.infos[index].signature.results
    return TracedFunction(index, tuple(inner.captures), out_tree, results)


def run_on_stand_ins(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Calls the caller's function with traced arguments.

    Raises:
        TraceError: it can't be traced.
    """
    try:
        with intercepting():
            return function(*args, **kwargs)
    except ValueError as error:
        # `array[0] = x`: NumPy replaces the error of `float(x)` by its own.
        if not isinstance(error.__cause__, TraceError):
            raise
        line = error.__cause__.message.rpartition(" (at ")[2]
        raise TraceError(
            "an element of a NumPy array can't be set to a traced value; write np.stack([...]), "
            f"or y = gw.ops.index_set(y, np.s_[...], x) (at {line}"
        ) from None


def check_leaves(leaves: Sequence[Any], what: str) -> None:
    """Checks that leaves are arrays or numbers.

    Raises:
        TypeError: one is not.
    """
    for leaf in leaves:
        if not is_array_like(leaf):
            raise TypeError(
                f"every {what} must be made of arrays and numbers; got "
                f"{type(leaf).__name__} ({str(leaf)[:40]!r}). Close over what isn't"
            )
