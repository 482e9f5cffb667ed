"""Measures a typed program, function by function, and checks the bounds.

All with Python integers, derivative intermediates included, before the program
reaches a compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.ir import Node, TypedProgram
from gradwire.opset import OPS
from gradwire.opset.core import Call, OpDef, Runs
from gradwire.opset.differentiation import REVERSE
from gradwire.tensors import TensorType, type_of
from gradwire_server.program.exceeded import exceeded
from gradwire_server.program.limits import ProgramLimits

_NODES_OF_ORDER = 3
"""A derivative computes what it differentiates and about twice as much beside it, in either
mode. Counted: 2 to 6 times the operations for grad of one op, 58 to 181 for its fourth order."""


@dataclass(frozen=True, slots=True)
class FunctionSize:
    """How large one function is.

    Attributes:
        order: The orders of differentiation that it applies to one value.
        nesting: The depth of the functions that it uses; 0 if none.
        num_nodes: Its nodes with every call inlined.
        differentiated: The same with every derivative taken, as estimated.
        steps: The runs of the bodies of its loops, all together.
        widest: The elements of the largest tensor it makes, derivatives included.
        kept: Those of the largest tensor that a reverse sweep keeps of it.
        swept: Those of the largest tensor while a reverse sweep goes through it.
        window_elements: Those that the windows of one of its ops read, derivatives included.
    """

    order: int
    nesting: int
    num_nodes: int
    differentiated: int
    steps: int
    widest: int
    kept: int
    swept: int
    window_elements: int


def measure_functions(typed: TypedProgram, limits: ProgramLimits) -> tuple[FunctionSize, ...]:
    """Returns the size of each function of a program.

    Raises:
        LimitExceededError: a bound is passed. It names function and node.
    """
    sizes: list[FunctionSize] = []
    for index, (function, info) in enumerate(
        zip(typed.program.functions, typed.infos, strict=True)
    ):
        meter = FunctionMeter(index, sizes, limits)
        for param in function.params:
            meter.define(param.type)
        for constant in function.constants:
            meter.define(type_of(constant.value))
        for node, call in zip(function.nodes, info.calls, strict=True):
            meter.add(node, call, [info.types[name] for name in node.outputs])
        sizes.append(meter.finish())
    return tuple(sizes)


class FunctionMeter:
    """Measures one function while it is read or built, node by node.

    Args:
        index: Its index in the program; only for messages.
        sizes: The sizes of the functions before it.
        limits: The bounds.
    """

    def __init__(self, index: int, sizes: Sequence[FunctionSize], limits: ProgramLimits) -> None:
        self._index = index
        self._sizes = sizes
        self._limits = limits
        self._position = 0
        self._order = self._nesting = self._num_nodes = self._differentiated = self._steps = 0
        self._widest = self._kept = self._swept = self._window_elements = 0

    def define(self, tensor_type: TensorType, node: int | None = None) -> None:
        """Counts a value.

        Raises:
            LimitExceededError: the tensor is too large.
        """
        for limit, allowed, got in (
            ("max_tensor_elements", self._limits.max_tensor_elements, tensor_type.size),
            ("max_tensor_bytes", self._limits.max_tensor_bytes, tensor_type.nbytes),
        ):
            if got > allowed:
                raise exceeded(limit, allowed, got, function=self._index, node=node)
        self._grow(tensor_type.size, tensor_type.size, tensor_type.size)

    def add(self, node: Node, call: Call, outputs: Sequence[TensorType]) -> None:
        """Counts a node.

        Raises:
            LimitExceededError: a bound is passed.
        """
        position = self._position
        self._position += 1
        for tensor_type in outputs:
            self.define(tensor_type, position)
        op, runs = OPS[node.op], OPS[node.op].runs_of(call)
        self._num_nodes += 1
        self._differentiated += 1
        self._add_callees(op, node, call, runs)
        if op.window_elements:
            read = op.window_elements(call, outputs)
            self._window_elements = max(self._window_elements, read)
        for limit, got in (
            ("max_nodes", self._num_nodes),
            ("max_differentiated_nodes", self._differentiated),
            ("max_nesting", self._nesting),
            ("max_derivative_order", self._order),
            ("max_trip_count", runs.trips),
            ("max_loop_steps", self._steps),
            ("max_tensor_elements", self._widest),
            ("max_matrix_rows", _matrix_rows(op, call)),
            ("max_window_elements", self._window_elements),
        ):
            allowed = getattr(self._limits, limit)
            if got > allowed:
                raise exceeded(limit, allowed, got, function=self._index, node=position)

    def _add_callees(self, op: OpDef, node: Node, call: Call, runs: Runs) -> None:
        """Counts what an op's functions take."""
        order, copies = op.orders_of(call), op.copies(call) if op.copies else 1
        growth, steps = runs.unrolled * _NODES_OF_ORDER**order, int(runs.trips > 1)
        for place, callee in zip(node.functions, call.functions, strict=True):
            size = self._sizes[place]
            self._num_nodes += runs.unrolled * size.num_nodes
            self._differentiated += growth * size.differentiated
            self._nesting = max(self._nesting, size.nesting + 1)
            self._order = max(self._order, size.order + order)
            operands = max((t.size for t in callee.params), default=0)
            self._grow(*_sizes(op, call, size, operands))
            self._window_elements = max(self._window_elements, copies * size.window_elements)
            steps = max(steps, size.steps)
        self._steps += runs.unrolled * runs.trips * steps

    def finish(self) -> FunctionSize:
        """Returns the size of the function."""
        return FunctionSize(
            self._order,
            self._nesting,
            self._num_nodes,
            self._differentiated,
            self._steps,
            self._widest,
            self._kept,
            self._swept,
            self._window_elements,
        )

    def _grow(self, widest: int, kept: int, swept: int) -> None:
        self._widest = max(self._widest, widest)
        self._kept = max(self._kept, kept)
        self._swept = max(self._swept, swept)


def _matrix_rows(op: OpDef, call: Call) -> int:
    return op.matrix_rows(call) if op.matrix_rows else 0


def _sizes(op: OpDef, call: Call, callee: FunctionSize, operands: int) -> tuple[int, int, int]:
    """Returns ``widest``, ``kept`` and ``swept`` of an op that runs a function.

    A loop that a reverse sweep goes through keeps what each run made, stacked,
    or each run's operands alone if the runs are computed again.
    """
    copies, runs = op.copies(call) if op.copies else 1, op.runs_of(call)
    if REVERSE in op.sweeps_of(call):
        return (copies * callee.swept,) * 3
    kept = runs.kept * operands if runs.recomputed else copies * runs.kept * callee.kept
    return copies * callee.widest, kept, max(copies * callee.swept, kept)
