"""Writes programs from expressions, for those that `programs` is too short of words for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradwire.ir import Constant, Function, Node, Param, Program, TypedProgram
from gradwire.tensors import TensorType
from gradwire_server.planner.plan import PlannedProgram
from planned import judge, settle
from programs import program


class Value:
    """A value of the function that is being written."""

    def __init__(self, body: Body, number: int) -> None:
        self.body = body
        self.number = number

    def __add__(self, other: Any) -> Value:
        return op("add", self, other)

    def __sub__(self, other: Any) -> Value:
        return op("subtract", self, other)

    def __mul__(self, other: Any) -> Value:
        return op("multiply", self, other)

    def __truediv__(self, other: Any) -> Value:
        return op("divide", self, other)

    def __neg__(self) -> Value:
        return op("negative", self)

    def __pow__(self, exponent: int) -> Value:
        return op("integer_pow", self, exponent=exponent)

    def __matmul__(self, other: Any) -> Value:
        return op("matmul", self, other)

    # NumPy's operators give way to these.
    __array_ufunc__ = None

    def __radd__(self, other: Any) -> Value:
        return op("add", other, self)

    def __rsub__(self, other: Any) -> Value:
        return op("subtract", other, self)

    def __rmul__(self, other: Any) -> Value:
        return op("multiply", other, self)

    def __rmatmul__(self, other: Any) -> Value:
        return op("matmul", other, self)


class Body:
    """The parts of a function that is being written."""

    def __init__(self, params: Sequence[TensorType]) -> None:
        self.params = tuple(Param(number, type_) for number, type_ in enumerate(params))
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.count = len(params)

    def new(self) -> int:
        self.count += 1
        return self.count - 1

    def number(self, operand: Any) -> int:
        if isinstance(operand, Value):
            assert operand.body is self, "a value of another function"
            return operand.number
        self.constants.append(Constant(self.new(), np.asarray(operand)))
        return self.constants[-1].id

    def finish(self, results: Sequence[int]) -> Function:
        return Function("f", self.params, tuple(self.constants), tuple(self.nodes), tuple(results))


def several(
    name: str, *operands: Any, outputs: int, functions: Sequence[int] = (), **attrs: Any
) -> list[Value]:
    """Adds a node; an operand that is no value becomes a constant."""
    body = next(operand.body for operand in operands if isinstance(operand, Value))
    inputs = tuple(body.number(operand) for operand in operands)
    numbers = tuple(body.new() for _ in range(outputs))
    body.nodes.append(Node(name, inputs, numbers, attrs, tuple(functions)))
    return [Value(body, number) for number in numbers]


def op(name: str, *operands: Any, functions: Sequence[int] = (), **attrs: Any) -> Value:
    """Adds a node with one output."""
    return several(name, *operands, outputs=1, functions=functions, **attrs)[0]


def total(x: Value, *axes: int) -> Value:
    """The sum over the given axes."""
    return op("sum", x, axis=axes)


class Sketch:
    """A program that is being written, function by function."""

    def __init__(self) -> None:
        self.functions: list[Function] = []

    def add(self, types: Sequence[TensorType], write: Callable[..., Any]) -> int:
        """Adds the function that ``write`` makes of its parameters; returns its index."""
        body = Body(types)
        results = write(*(Value(body, param.id) for param in body.params))
        results = results if isinstance(results, list | tuple) else [results]
        self.functions.append(body.finish([body.number(result) for result in results]))
        return len(self.functions) - 1

    def program(self) -> Program:
        """Returns the program; its entry is the function that was added last."""
        return program(*self.functions)

    def planned(self) -> PlannedProgram:
        """Verifies and plans the program."""
        return judge(self.program())

    def typed(self) -> TypedProgram:
        """Verifies and plans the program; nothing is left open in what it returns."""
        return settle(self.program())


def type_of(array: Any) -> TensorType:
    """The type of what NumPy makes of an argument."""
    array = np.asarray(array)
    return TensorType(array.dtype, array.shape)
