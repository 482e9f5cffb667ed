"""Tiny programs for tests, written by the ids of their values. `sketch` writes larger ones.

Parameters have the ids 0, 1, ..., constants the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.ir import Constant, Function, Node, Param, Program, encode_program
from gradwire.opset.core import AttrValue
from gradwire.tensors import Array, TensorType


def vector(*shape: int, dtype: Any = "float64") -> TensorType:
    """A type; a scalar without arguments."""
    return TensorType(np.dtype(dtype), shape)


def integers(*shape: int) -> TensorType:
    """The same of int64."""
    return vector(*shape, dtype="int64")


SCALAR, VECTOR, COUNT = vector(), vector(3), integers()


def node(
    op: str,
    inputs: Sequence[int],
    *outputs: int,
    functions: Sequence[int] = (),
    **attrs: AttrValue,
) -> Node:
    """A node."""
    return Node(op, tuple(inputs), outputs, attrs, tuple(functions))


def function(
    params: Sequence[TensorType],
    *nodes: Node,
    results: Sequence[int],
    constants: Sequence[Array] = (),
    name: str = "f",
) -> Function:
    """A function."""
    return Function(
        name,
        tuple(Param(number, type_) for number, type_ in enumerate(params)),
        tuple(Constant(number, value) for number, value in enumerate(constants, len(params))),
        nodes,
        tuple(results),
    )


def program(*functions: Function, mapped: Sequence[bool] | None = None) -> Program:
    """A program whose entry is the last function."""
    if mapped is None:
        mapped = [False] * len(functions[-1].params)
    return Program(functions, len(functions) - 1, tuple(mapped))


def chain(op: str, length: int, type_: TensorType) -> Function:
    """A function of one op after the other."""
    nodes = [node(op, [i], i + 1) for i in range(length)]
    return function([type_], *nodes, results=[length])


def unary(op: str, times: int = 1, *, type_: TensorType = VECTOR, mapped: bool = False) -> Program:
    """A program of one op after the other, of three numbers if no type is given."""
    return program(chain(op, times, type_), mapped=[mapped])


SIN = unary("sin")
SIN_BYTES = encode_program(SIN)
X = np.array([0.5, -1.0, 2.0])
"""A program for tests to which any will do, as it travels, and a point for it."""


def sines_of(x: Array, times: int) -> Array:
    """What ``unary("sin", times)`` gives at a point."""
    for _ in range(times):
        x = np.sin(x)
    return x


def nested(op: str, depth: int, outputs: int = 1, *, base: int = 1, **attrs: AttrValue) -> Program:
    """A scalar function of ``base`` nodes under ``depth`` uses of an op on a function.

    Each level has one node, and its last output is the level's result.
    """
    functions = [chain("sin", base, vector())]
    for level in range(depth):
        used = node(op, [0], *range(1, outputs + 1), functions=[level], **attrs)
        functions.append(function([vector()], used, results=[outputs]))
    return program(*functions)


def doubling(levels: int) -> Program:
    """Functions that each call the one before twice: 3 * 2**levels - 2 nodes in all."""
    functions = [chain("sin", 1, vector())]
    for level in range(levels):
        calls = [node("call", [i], i + 1, functions=[level]) for i in range(2)]
        functions.append(function([vector()], *calls, results=[2]))
    return program(*functions)
