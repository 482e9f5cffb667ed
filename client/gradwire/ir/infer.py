"""Checks a program against the opset's rules and infers every type in it.

All with Python integers, before anything of it reaches a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.errors import (
    GradwireError,
    InvalidInputError,
    InvalidProgramError,
    Reason,
    UnsupportedError,
)
from gradwire.ir.binding import bind_attrs
from gradwire.ir.capability import check_derivatives
from gradwire.ir.custom_rules import RuleBounds, check_custom_rules
from gradwire.ir.direction import closed_params
from gradwire.ir.independence import check_batched_jacobians
from gradwire.ir.limits import ProgramLimits, exceeded
from gradwire.ir.program import Function, Node, Program
from gradwire.opset import OPS, OPSET_VERSION
from gradwire.opset.core import Call, OpDef, Signature
from gradwire.opset.differentiation import REVERSE
from gradwire.tensors import TensorType, check_shape, type_of


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """What is known of one function.

    Attributes:
        signature: The types of its parameters and results.
        types: The type of every id in it.
        calls: For each node: operand types, attributes with defaults, callees.
        order: The orders of differentiation that it applies to one value.
        nesting: The depth of functions that it uses; 0 if none.
        num_nodes: Its nodes with every call written out.
        widest: The elements of the largest tensor it makes, derivatives included.
        kept: Those of the largest tensor that a reverse sweep keeps of it.
        swept: Those of the largest tensor while a reverse sweep goes through it.
        window_elements: Those that the windows of one of its ops read, derivatives included.
    """

    signature: Signature
    types: Mapping[int, TensorType]
    calls: tuple[Call, ...]
    order: int
    nesting: int
    num_nodes: int
    widest: int
    kept: int
    swept: int
    window_elements: int


@dataclass(frozen=True, slots=True)
class TypedProgram:
    """A program that keeps the rules, with what was inferred."""

    program: Program
    infos: tuple[FunctionInfo, ...]

    @property
    def entry(self) -> FunctionInfo:
        """What is known of the entry."""
        return self.infos[self.program.entry]


def infer_program(program: Program, limits: ProgramLimits | None = None) -> TypedProgram:
    """Checks a program and infers its types.

    Raises:
        InvalidProgramError: a rule of the language is broken.
        LimitExceededError: a bound is passed.
        UnsupportedError: unknown op or opset, or an op is differentiated that
            has no derivative.
    """
    limits = limits or ProgramLimits()
    if program.opset != OPSET_VERSION:
        raise UnsupportedError(
            f"`opset` must be {OPSET_VERSION}; got {program.opset}",
            reason=Reason.ERROR_REASON_UNKNOWN_OPSET,
            field="opset",
        )
    if not 0 <= program.entry < len(program.functions):
        raise InvalidProgramError(
            f"`entry` must be one of the {len(program.functions)} functions; got {program.entry}",
            field="entry",
        )
    constants = sum(c.value.nbytes for f in program.functions for c in f.constants)
    if constants > limits.max_constant_bytes:
        raise exceeded("max_constant_bytes", limits.max_constant_bytes, constants)
    infos: list[FunctionInfo] = []
    for index, function in enumerate(program.functions):
        infos.append(_infer_function(index, function, infos, limits))
    entry = infos[program.entry]
    if len(program.mapped) != len(entry.signature.params):
        raise InvalidProgramError(
            f"`mapped` must hold one flag for each of the entry's "
            f"{len(entry.signature.params)} parameters; got {len(program.mapped)}",
            field="mapped",
        )
    check_custom_rules(program.functions, infos)
    RuleBounds(program.functions, infos, limits).check(program.entry)
    check_derivatives(program.functions, infos, program.entry)
    check_batched_jacobians(program.functions, infos)
    return TypedProgram(program, tuple(infos))


class FunctionChecker:
    """Checks one function while it is read or built, node by node.

    Args:
        index: Its index in the program; only for messages.
        infos: What is known of the functions before it.
        limits: The bounds.
    """

    def __init__(self, index: int, infos: Sequence[FunctionInfo], limits: ProgramLimits) -> None:
        self.types: dict[int, TensorType] = {}
        self.calls: list[Call] = []
        self._index = index
        self._infos = infos
        self._limits = limits
        self._order = self._nesting = self._num_nodes = 0
        self._widest = self._kept = self._swept = self._window_elements = 0

    def define(self, name: int, tensor_type: TensorType, field: str) -> None:
        """Gives an id its type.

        Raises:
            InvalidProgramError: the id is taken or the shape impossible.
            LimitExceededError: the tensor is too large.
        """
        where = f"functions[{self._index}].{field}"
        located: dict[str, Any] = {"field": where, "function": self._index}
        if name in self.types:
            raise InvalidProgramError(f"`{where}` must be a new id; got {name} again", **located)
        try:
            check_shape(tensor_type.shape, where)
        except InvalidInputError as error:
            raise InvalidProgramError(error.message, **located) from None
        for limit, allowed, got in (
            ("max_tensor_elements", self._limits.max_tensor_elements, tensor_type.size),
            ("max_tensor_bytes", self._limits.max_tensor_bytes, tensor_type.nbytes),
        ):
            if got > allowed:
                raise exceeded(limit, allowed, got, function=self._index)
        self.types[name] = tensor_type
        self._grow(tensor_type.size, tensor_type.size, tensor_type.size)

    def infer(self, node: Node) -> tuple[Call, tuple[TensorType, ...]]:
        """Binds a node and infers the types of its outputs.

        Raises:
            GradwireError: the op or its rule refuses; the error says where.
        """
        try:
            call = _bind(node, self.types, self._index, self._infos)
            return call, tuple(OPS[node.op].infer(call))
        except GradwireError as error:
            self._locate(error, node)
            raise

    def add(self, node: Node, call: Call, outputs: Sequence[TensorType]) -> None:
        """Adds a node that was inferred, and counts it against the bounds."""
        position = len(self.calls)
        try:
            if len(node.outputs) != len(outputs):
                raise InvalidProgramError(
                    f"`outputs` must hold {len(outputs)} ids; got {len(node.outputs)}",
                    field="outputs",
                )
        except GradwireError as error:
            self._locate(error, node)
            raise
        self.calls.append(call)
        for place, (name, tensor_type) in enumerate(zip(node.outputs, outputs, strict=True)):
            try:
                self.define(name, tensor_type, f"nodes[{position}].outputs[{place}]")
            except GradwireError as error:
                error.node = position
                raise
        op, runs = OPS[node.op], OPS[node.op].runs_of(call)
        self._num_nodes += 1
        for callee in (self._infos[f] for f in node.functions):
            self._num_nodes += runs.unrolled * callee.num_nodes
            self._nesting = max(self._nesting, callee.nesting + 1)
            self._order = max(self._order, callee.order + op.orders_of(call))
            self._grow(*_sizes(op, call, callee))
            copies = op.copies(call) if op.copies else 1
            self._window_elements = max(self._window_elements, copies * callee.window_elements)
        if op.window_elements:
            read = op.window_elements(call, outputs)
            self._window_elements = max(self._window_elements, read)
        for limit, allowed, got in (
            ("max_nodes", self._limits.max_nodes, self._num_nodes),
            ("max_nesting", self._limits.max_nesting, self._nesting),
            ("max_derivative_order", self._limits.max_derivative_order, self._order),
            ("max_trip_count", self._limits.max_trip_count, runs.trips),
            ("max_tensor_elements", self._limits.max_tensor_elements, self._widest),
            ("max_matrix_rows", self._limits.max_matrix_rows, _matrix_rows(op, call)),
            ("max_window_elements", self._limits.max_window_elements, self._window_elements),
        ):
            if got > allowed:
                raise exceeded(limit, allowed, got, function=self._index, node=position)

    def finish(self, function: Function) -> FunctionInfo:
        """Checks the results and returns what is known of the function.

        Raises:
            InvalidProgramError: a result is no id of the function.
        """
        for position, name in enumerate(function.results):
            if name not in self.types:
                where = f"functions[{self._index}].results[{position}]"
                raise InvalidProgramError(
                    f"`{where}` must be an id that the function defines; got {name}",
                    field=where,
                    function=self._index,
                )
        signature = Signature(
            tuple(param.type for param in function.params),
            tuple(self.types[name] for name in function.results),
            *closed_params(function, self.types, self.calls),
        )
        return FunctionInfo(
            signature,
            self.types,
            tuple(self.calls),
            self._order,
            self._nesting,
            self._num_nodes,
            self._widest,
            self._kept,
            self._swept,
            self._window_elements,
        )

    def _grow(self, widest: int, kept: int, swept: int) -> None:
        self._widest = max(self._widest, widest)
        self._kept = max(self._kept, kept)
        self._swept = max(self._swept, swept)

    def _locate(self, error: GradwireError, node: Node) -> None:
        where = f"functions[{self._index}].nodes[{len(self.calls)}]"
        error.field = f"{where}.{error.field}" if error.field else where
        error.function, error.node = self._index, len(self.calls)
        error.message = f"`{where}` ({node.op[:80]}): {error.message}"
        error.args = (error.message,)


def _matrix_rows(op: OpDef, call: Call) -> int:
    return op.matrix_rows(call) if op.matrix_rows else 0


def _sizes(op: OpDef, call: Call, callee: FunctionInfo) -> tuple[int, int, int]:
    """Returns ``widest``, ``kept`` and ``swept`` of an op that runs a function.

    A loop that a reverse sweep goes through keeps what each run made, stacked,
    or each run's operands alone if the runs are computed again.
    """
    copies, runs = op.copies(call) if op.copies else 1, op.runs_of(call)
    if REVERSE in op.sweeps_of(call):
        return (copies * callee.swept,) * 3
    if runs.recomputed:
        operands = max((t.size for t in callee.signature.params), default=0)
        kept = runs.kept * operands
    else:
        kept = copies * runs.kept * callee.kept
    return copies * callee.widest, kept, max(copies * callee.swept, kept)


def _infer_function(
    index: int, function: Function, infos: Sequence[FunctionInfo], limits: ProgramLimits
) -> FunctionInfo:
    checker = FunctionChecker(index, infos, limits)
    for position, param in enumerate(function.params):
        checker.define(param.id, param.type, f"params[{position}].id")
    for position, constant in enumerate(function.constants):
        checker.define(constant.id, type_of(constant.value), f"constants[{position}].id")
    for node in function.nodes:
        checker.add(node, *checker.infer(node))
    return checker.finish(function)


def _bind(
    node: Node, types: Mapping[int, TensorType], index: int, infos: Sequence[FunctionInfo]
) -> Call:
    op = OPS.get(node.op)
    if op is None:
        raise UnsupportedError(
            f"`op` must be in opset {OPSET_VERSION}; got {node.op[:80]!r}",
            reason=Reason.ERROR_REASON_UNKNOWN_OP,
            field="op",
        )
    least, greatest = op.arity
    if not least <= len(node.inputs) <= greatest:
        wanted = str(least) if least == greatest else f"{least} to {greatest}"
        raise InvalidProgramError(
            f"`inputs` must hold {wanted} ids; got {len(node.inputs)}", field="inputs"
        )
    for place, name in enumerate(node.inputs):
        if name not in types:
            raise InvalidProgramError(
                f"`inputs[{place}]` must be an id that is defined before; got {name}",
                field=f"inputs[{place}]",
            )
    least, greatest = op.function_range
    if not least <= len(node.functions) <= greatest:
        wanted = str(least) if least == greatest else f"{least} to {greatest}"
        raise InvalidProgramError(
            f"`functions` must hold {wanted} indices; got {len(node.functions)}", field="functions"
        )
    for place, callee in enumerate(node.functions):
        if not 0 <= callee < index:
            raise InvalidProgramError(
                f"`functions[{place}]` must stand before function {index}, "
                f"so that the call graph has no cycle; got {callee}",
                field=f"functions[{place}]",
            )
    return Call(
        tuple(types[name] for name in node.inputs),
        bind_attrs(op, node.attrs),
        tuple(infos[callee].signature for callee in node.functions),
    )
