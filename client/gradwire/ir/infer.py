"""Infers the type of every value in a program, by the opset's rules.

All with Python integers. The server checks what a program may hold and how large
it may be.
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
from gradwire.ir.program import Function, Node, Program
from gradwire.opset import OPS, OPSET_VERSION
from gradwire.opset.core import Call, Signature
from gradwire.tensors import TensorType, check_shape, type_of


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """The types in one function.

    Attributes:
        signature: Those of its parameters and results.
        types: That of every id in it.
        calls: For each node: operand types, attributes with defaults, callees.
    """

    signature: Signature
    types: Mapping[int, TensorType]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class TypedProgram:
    """A program with the types in it.

    Attributes:
        program: The program.
        infos: The types in each of its functions.
    """

    program: Program
    infos: tuple[FunctionInfo, ...]

    @property
    def entry(self) -> FunctionInfo:
        """The types in the entry."""
        return self.infos[self.program.entry]


def infer_types(program: Program) -> TypedProgram:
    """Infers the types in a program.

    Raises:
        InvalidProgramError: it is inconsistent, or an op's rule is broken.
        UnsupportedError: unknown op or opset.
    """
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
    infos: list[FunctionInfo] = []
    for index, function in enumerate(program.functions):
        infos.append(_infer_function(index, function, infos))
    entry = infos[program.entry]
    if len(program.mapped) != len(entry.signature.params):
        raise InvalidProgramError(
            f"`mapped` must hold one flag for each of the entry's "
            f"{len(entry.signature.params)} parameters; got {len(program.mapped)}",
            field="mapped",
        )
    return TypedProgram(program, tuple(infos))


class FunctionTyper:
    """Types one function while it is read or built, node by node.

    Args:
        index: Its index in the program; callees come before it.
        infos: The types in the functions before it.
    """

    def __init__(self, index: int, infos: Sequence[FunctionInfo]) -> None:
        self.types: dict[int, TensorType] = {}
        self.calls: list[Call] = []
        self._index = index
        self._infos = infos

    def define(self, name: int, tensor_type: TensorType, field: str) -> None:
        """Gives an id its type.

        Raises:
            InvalidProgramError: the id is in use or the shape impossible.
        """
        where = f"functions[{self._index}].{field}"
        located: dict[str, Any] = {"field": where, "function": self._index}
        if name in self.types:
            raise InvalidProgramError(f"`{where}` must be a new id; got {name} again", **located)
        try:
            check_shape(tensor_type.shape, where)
        except InvalidInputError as error:
            raise InvalidProgramError(error.message, **located) from None
        self.types[name] = tensor_type

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
        """Adds a node that was inferred.

        Raises:
            InvalidProgramError: its outputs are too few or too many, or no new ids.
        """
        position = len(self.calls)
        if len(node.outputs) != len(outputs):
            error = InvalidProgramError(
                f"`outputs` must hold {len(outputs)} ids; got {len(node.outputs)}",
                field="outputs",
            )
            self._locate(error, node)
            raise error
        self.calls.append(call)
        for place, (name, tensor_type) in enumerate(zip(node.outputs, outputs, strict=True)):
            try:
                self.define(name, tensor_type, f"nodes[{position}].outputs[{place}]")
            except GradwireError as error:
                error.node = position
                raise

    def finish(self, function: Function) -> FunctionInfo:
        """Checks the results and returns the types in the function.

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
        )
        return FunctionInfo(signature, self.types, tuple(self.calls))

    def _locate(self, error: GradwireError, node: Node) -> None:
        where = f"functions[{self._index}].nodes[{len(self.calls)}]"
        error.field = f"{where}.{error.field}" if error.field else where
        error.function, error.node = self._index, len(self.calls)
        error.message = f"`{where}` ({node.op[:80]}): {error.message}"
        error.args = (error.message,)


def _infer_function(index: int, function: Function, infos: Sequence[FunctionInfo]) -> FunctionInfo:
    typer = FunctionTyper(index, infos)
    for position, param in enumerate(function.params):
        typer.define(param.id, param.type, f"params[{position}].id")
    for position, constant in enumerate(function.constants):
        typer.define(constant.id, type_of(constant.value), f"constants[{position}].id")
    for node in function.nodes:
        typer.add(node, *typer.infer(node))
    return typer.finish(function)


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
