"""Replaces even powers of a root, such as norm(x)**2, by the sum of squares below it.

The modulus of a complex number, a norm, `hypot` and a standard deviation are roots of
sums of squares. They have no derivative where they are 0, but their even powers are
smooth there: norm(x)**2 has the Hessian 2 I at 0, which the chain rule can't find.

Each root is followed through what keeps it one: scaling, products of roots, and ops that
only move elements. So (norm(x - y) / width)**2 is found as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from gradwire.ir import Function, Node
from gradwire.opset.core import AttrValue
from gradwire.tensors import TensorType, is_complex, is_inexact
from gradwire_server.compiler.rewriting.function import NewFunction


@dataclass(frozen=True, slots=True)
class Root:
    """A value that is the root of a sum of squares, up to its sign.

    Attributes:
        parts: Ids of arrays of its shape and dtype, the sum of whose squares is its square.
        square: The id of its square instead, if there are no such parts.
    """

    parts: tuple[int, ...] = ()
    square: int | None = None


_MOVES = {
    "broadcast_to", "dynamic_slice", "expand_dims", "flip", "getitem", "matrix_transpose",
    "permute_dims", "repeat", "reshape", "roll", "squeeze", "take", "take_along_axis", "tile",
}  # fmt: skip
"""Ops that move elements of their first operand, and read positions from the others."""

_LARGEST_POWER = 1 << 10


def rewrite_squares(function: Function, types: Mapping[int, TensorType]) -> Function:
    """Returns a function of the same values; the same object if it squares no root."""
    finder = _Finder(NewFunction(function, types))
    for node in function.nodes:
        finder.visit(node)
    return finder.new.finish()


class _Finder:
    """Follows the roots of one function, from its first node to its last."""

    def __init__(self, new: NewFunction) -> None:
        self.new = new
        self._roots: dict[int, Root] = {}

    def visit(self, node: Node) -> None:
        """Copies a node, or replaces it."""
        power = self._even_power(node)
        if power is not None:
            self.new.replace(node, power)
            return
        self.new.keep(node)
        root = self._root(node)
        if root is not None:
            self._roots[node.outputs[0]] = root

    def _square(self, root: Root) -> int:
        if root.square is not None:
            return root.square
        return reduce(
            lambda a, b: self.new.add("add", a, b),
            [self.new.add("square", part) for part in root.parts],
        )

    def _square_of(self, name: int) -> int:
        """Returns |x|² of any value."""
        root = self._roots.get(name)
        if root is not None:
            return self._square(root)
        return self._square(Root(self._parts(*self.new.current((name,)))))

    def _parts(self, name: int) -> tuple[int, ...]:
        if not is_complex(self.new.types[name].dtype):
            return (name,)
        return self.new.add("real", name), self.new.add("imag", name)

    # Even powers.

    def _even_power(self, node: Node) -> int | None:
        """Returns what the node computes, if it is an even power of a root, without the root."""
        if node.op in ("multiply", "matmul", "vecdot"):
            return self._product_with_itself(node)
        root = self._roots.get(node.inputs[0]) if node.inputs else None
        exponent = self._exponent(node)
        if root is None or exponent is None:
            return None
        square = self._square(root)
        half = exponent // 2
        return square if half == 1 else self.new.add("integer_pow", square, exponent=half)

    def _exponent(self, node: Node) -> int | None:
        exponent: Any = None
        if node.op == "square":
            exponent = 2
        elif node.op == "integer_pow":
            exponent = node.attrs["exponent"]
        elif node.op == "pow" and node.inputs[1] in self.new.constants:
            value = self.new.constants[node.inputs[1]]
            exponent = float(value) if value.ndim == 0 else None
        if exponent in range(2, _LARGEST_POWER, 2):
            return int(exponent)
        return None

    def _product_with_itself(self, node: Node) -> int | None:
        first, second = (self._roots.get(name) for name in node.inputs)
        if first is None or first != second:
            return None
        if node.op == "multiply":
            return self._square(first)
        axes = len(self.new.types[node.inputs[0]].shape)
        if node.op == "matmul" and axes != 1:
            return None
        axis = node.attrs.get("axis", -1)
        return self.new.add("sum", self._square(first), axis=(axis,))

    # Roots.

    def _root(self, node: Node) -> Root | None:
        """Returns what the node's output is the root of, if it is one."""
        types = self.new.types
        if not node.inputs or len(node.outputs) != 1:
            return None
        dtype = types[node.outputs[0]].dtype
        if not is_inexact(dtype) or is_complex(dtype):
            return None
        first = self._roots.get(node.inputs[0])
        if node.op in _MOVES or node.op == "astype":
            return self._moved(node, first)
        if node.op in ("abs", "negative") and first is not None:
            return first
        if node.op in ("multiply", "divide"):
            return self._scaled(node, first)
        if node.op in ("concat", "stack", "where"):
            return self._joined(node)
        return self._new_root(node)

    def _new_root(self, node: Node) -> Root | None:
        operands = self.new.current(node.inputs)
        if node.op == "abs":
            return Root(self._parts(operands[0]))
        if node.op == "hypot":
            shape = self.new.types[node.outputs[0]].shape
            return Root(tuple(self._broadcast(name, shape) for name in operands))
        if node.op == "std":
            return Root(square=self.new.add("var", operands[0], **node.attrs))
        if node.op == "linalg.vector_norm" and node.attrs.get("ord", 2.0) == 2:
            return self._sum_of_squares(node, node.attrs["axis"])
        if node.op == "linalg.matrix_norm" and node.attrs.get("ord", "fro") == "fro":
            return self._sum_of_squares(node, (-2, -1))
        return None

    def _sum_of_squares(self, node: Node, axis: AttrValue) -> Root:
        keepdims = node.attrs.get("keepdims", False)
        square = self._square_of(node.inputs[0])
        dtype = self.new.types[square].dtype
        if dtype.itemsize < 4:  # half precision is added up in float32, as the norm is
            square = self.new.add("astype", square, dtype=np.dtype(np.float32))
        total = self.new.add("sum", square, axis=axis, keepdims=keepdims)
        if dtype.itemsize < 4:
            total = self.new.add("astype", total, dtype=dtype)
        return Root(square=total)

    def _broadcast(self, name: int, shape: tuple[int, ...]) -> int:
        if self.new.types[name].shape == shape:
            return name
        return self.new.add("broadcast_to", name, shape=shape)

    def _moved(self, node: Node, root: Root | None) -> Root | None:
        if root is None:
            return None
        rest = self.new.current(node.inputs[1:])

        def moved(name: int) -> int:
            return self.new.add(node.op, name, *rest, **node.attrs)

        if root.square is not None:
            return Root(square=moved(root.square))
        return Root(tuple(map(moved, root.parts)))

    def _scaled(self, node: Node, first: Root | None) -> Root | None:
        """A root times or over a value; a product of two roots is one as well."""
        second = self._roots.get(node.inputs[1])
        left, right = self.new.current(node.inputs)
        if first is None:
            if second is None or node.op == "divide":
                return None
            first, second, right = second, None, left

        def scaled(name: int, by: int) -> int:
            return self.new.add(node.op, name, by)

        if node.op == "multiply" and second is not None:
            if first.square is None and second.square is None:
                pairs = itertools.product(first.parts, second.parts)
                return Root(tuple(itertools.starmap(scaled, pairs)))
            return Root(square=scaled(self._square(first), self._square(second)))
        if first.square is not None:  # one after the other: the square of ``right`` may overflow
            return Root(square=scaled(scaled(first.square, right), right))
        return Root(tuple(scaled(part, right) for part in first.parts))

    def _joined(self, node: Node) -> Root | None:
        """Several values in one array, or a choice of two, of which one is a root."""
        chooser, values = node.inputs[:1], node.inputs[1:]
        if node.op != "where":
            chooser, values = (), node.inputs
        if self._roots.keys().isdisjoint(values):
            return None
        squares = tuple(map(self._square_of, values))
        return Root(
            square=self.new.add(node.op, *self.new.current(chooser), *squares, **node.attrs)
        )
