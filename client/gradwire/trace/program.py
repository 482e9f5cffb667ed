"""From a Python function and its arguments to a program, a call and its answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradwire.errors import GradwireError, NonFiniteWarning
from gradwire.ir import Program
from gradwire.ir.encoding import encode_program
from gradwire.opset import OPS
from gradwire.tensors import Array, Dtype, TensorType, supported_dtype
from gradwire.trace.builder import (
    ArgumentSource,
    CapturedSource,
    FreshSource,
    Ref,
    Source,
    Trace,
    building,
)
from gradwire.trace.function import check_leaves, run_on_stand_ins
from gradwire.trace.lines import Line, caller_line
from gradwire.trace.traced import Traced
from gradwire.trace.values import as_traced
from gradwire.trees import Tree, flatten, paths, unflatten

MAX_SUSPECTS = 3
"""The most lines that a warning about non-finite outputs names."""


@dataclass(frozen=True, slots=True)
class Static:
    """A result that tracing already knew."""

    value: Any


@dataclass(frozen=True)
class TracedProgram:
    """A program with what it takes to call it.

    Attributes:
        program: The program.
        data: The program's bytes.
        sources: Where the value of each parameter of the entry comes from.
        arguments: The shape of ``(args, kwargs)``.
        types: The type of each argument leaf; of one sample where it is mapped.
        axes: For each argument leaf the axis that is mapped, or None.
        tree: The shape of what the function returns.
        results: For each of its leaves the entry's result, or what it is.
        out_axes: For each of its leaves the axis that the batch gets.
        checks: For each hidden check the entry's results it takes, and itself.
        lines: The caller's line of each node, by function.
        scalars: The scalar constants that were met.
        infinite: The entry's results that are infinite by design.
    """

    program: Program
    data: bytes
    sources: tuple[Source, ...]
    arguments: Tree
    types: tuple[TensorType, ...]
    axes: tuple[int | None, ...]
    tree: Tree
    results: tuple[int | Static, ...]
    out_axes: tuple[int, ...]
    checks: tuple[tuple[tuple[int, ...], Callable[..., None]], ...]
    lines: tuple[tuple[Line, ...], ...]
    scalars: tuple[Array, ...]
    infinite: frozenset[int]

    @property
    def is_mapped(self) -> bool:
        """Whether the entry is the function of one sample of a batch."""
        return any(self.program.mapped)


def leaf_array(leaf: Any) -> Array:
    """Returns an argument leaf as an array the wire can carry."""
    array = np.asarray(leaf)
    return array.astype(supported_dtype(array.dtype), copy=False)


def trace_program(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    float_dtype: Dtype | None = None,
    lifted: frozenset[int] = frozenset(),
    axes: Sequence[int | None] | None = None,
    out_axes: Callable[[Tree], Sequence[int]] | None = None,
) -> TracedProgram:
    """Runs the Python function once on stand-ins and returns the program.

    Args:
        function: The function.
        args: Its arguments; only their types matter.
        kwargs: Its keyword arguments.
        float_dtype: The dtype that all floating values are given.
        lifted: Which scalar constants, in the order they are met, are inputs.
        axes: For each argument leaf the axis that is mapped, or None.
        out_axes: Says for each result leaf where its batch axis goes.

    Raises:
        TraceError: the function can't be traced.
    """
    trace = Trace(float_dtype=float_dtype, lifted=lifted)
    leaves, arguments = flatten((args, kwargs))
    check_leaves(leaves, "argument")
    axes = tuple(axes) if axes is not None else (None,) * len(leaves)
    types: list[TensorType] = []
    stand_ins: list[Traced] = []
    for position, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
        array = leaf_array(leaf)
        shape = array.shape if axis is None else np.delete(array.shape, axis).tolist()
        tensor_type = TensorType(trace.pin(array.dtype), tuple(shape))
        ref = trace.runtime_input(tensor_type, ArgumentSource(position))
        trace.root.varying[ref.id] = axis is not None
        types.append(tensor_type)
        weak = type(leaf) in (int, float, complex)
        # A row of a batch of numbers is a scalar, which `+=` rebinds.
        is_array = isinstance(leaf, np.ndarray) and (axis is None or bool(shape))
        stand_ins.append(Traced(ref, weak=weak, is_param=is_array))
    inner_args, inner_kwargs = unflatten(arguments, stand_ins)
    is_mapped = any(axis is not None for axis in axes)
    with building(trace.root):
        out_leaves, tree = flatten(run_on_stand_ins(function, inner_args, inner_kwargs))
        refs: dict[Ref, int] = {}
        results = [_result(leaf, refs, is_mapped) for leaf in out_leaves]
        checks = [(tuple(_add(refs, ref) for ref in hidden), run) for hidden, run in trace.checks]
        entry = trace.root.add_to_program(list(refs))
    program = Program(
        tuple(trace.functions), entry, tuple(_mapped(source, axes) for source in trace.sources)
    )
    return TracedProgram(
        program,
        encode_program(program),
        tuple(trace.sources),
        arguments,
        tuple(types),
        axes,
        tree,
        tuple(results),
        tuple(out_axes(tree)) if out_axes else (0,) * len(results),
        tuple(checks),
        tuple(trace.lines),
        tuple(trace.scalars),
        frozenset(place for place, ref in enumerate(refs) if ref in trace.infinite),
    )


def batch_length(traced: TracedProgram, leaves: Sequence[Any]) -> int | None:
    """Returns the length of the batch that argument leaves carry; None without one."""
    for leaf, axis in zip(leaves, traced.axes, strict=True):
        if axis is not None:
            return int(np.shape(leaf)[axis])
    return None


def bind(traced: TracedProgram, leaves: Sequence[Any]) -> list[Array]:
    """Returns the entry's inputs for argument leaves of the traced types."""
    inputs = []
    for source in traced.sources:
        match source:
            case ArgumentSource(position):
                array = np.asarray(leaves[position], dtype=traced.types[position].dtype)
                axis = traced.axes[position]
                inputs.append(array if axis is None else np.moveaxis(array, axis, 0))
            case CapturedSource(value):
                inputs.append(value)
            case FreshSource(make):
                inputs.append(make())
    return inputs


def answer(traced: TracedProgram, outputs: Sequence[Array], non_finite: Sequence[int]) -> Any:
    """Runs the hidden checks and puts the outputs into the function's result.

    Raises:
        CoupledBatchError: a check of independence failed.
    """
    for places, run in traced.checks:
        run(*(outputs[place] for place in places))
    _warn_non_finite(traced, non_finite)
    leaves = []
    for result, axis in zip(traced.results, traced.out_axes, strict=True):
        if isinstance(result, Static):
            leaves.append(result.value)
        else:
            output = outputs[result]
            leaves.append(np.moveaxis(output, 0, axis) if traced.is_mapped and axis else output)
    return unflatten(traced.tree, leaves)


def name_line(traced: TracedProgram, error: GradwireError) -> GradwireError:
    """Adds the caller's own line to an error that names a node."""
    if error.function is not None and error.node is not None:
        line = traced.lines[error.function][error.node]
        error.message = f"{error.message} (at {line})"
        error.args = (error.message,)
    return error


def _mapped(source: Source, axes: Sequence[int | None]) -> bool:
    return isinstance(source, ArgumentSource) and axes[source.position] is not None


def _add(refs: dict[Ref, int], ref: Ref) -> int:
    return refs.setdefault(ref, len(refs))


def _result(leaf: Any, refs: dict[Ref, int], is_mapped: bool) -> int | Static:
    if isinstance(leaf, Traced):
        return _add(refs, leaf.ref)
    check_leaves([leaf], "result")
    if isinstance(leaf, np.ndarray) or (is_mapped and isinstance(leaf, np.generic)):
        return _add(refs, as_traced(leaf).ref)
    return Static(leaf)


def _warn_non_finite(traced: TracedProgram, non_finite: Sequence[int]) -> None:
    if not any(non_finite):
        return
    names = list(paths(traced.tree, "result"))
    bad = [
        f"`{name}` holds {non_finite[result]} NaN or infinite elements"
        for name, result in zip(names, traced.results, strict=True)
        if isinstance(result, int) and non_finite[result] and result not in traced.infinite
    ]
    if not bad:
        return
    suspects = {
        f"{node.op} at {line}": OPS[node.op].advice
        for function, lines in zip(traced.program.functions, traced.lines, strict=True)
        for node, line in zip(function.nodes, lines, strict=True)
        if OPS[node.op].may_be_non_finite
    }
    named = list(suspects)[:MAX_SUSPECTS]
    hint = f"; suspects: {', '.join(named)}" if suspects else ""
    hint += "".join(f" ({advice})" for advice in dict.fromkeys(map(suspects.get, named)) if advice)
    here = caller_line()
    warnings.warn_explicit("; ".join(bad) + hint, NonFiniteWarning, here.file, here.number)
