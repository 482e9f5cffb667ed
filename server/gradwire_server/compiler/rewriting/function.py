"""One function while it is rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gradwire.ir import Function, Node
from gradwire.ir.binding import bind_attrs
from gradwire.opset import OPS
from gradwire.opset.core import Call
from gradwire.tensors import Array, TensorType


class NewFunction:
    """Collects the nodes of the new function in order.

    Attributes:
        types: The type of every id, those of added nodes included.
        constants: The value of every constant, by id.
    """

    def __init__(self, function: Function, types: Mapping[int, TensorType]) -> None:
        self.types = dict(types)
        self.constants: Mapping[int, Array] = {c.id: c.value for c in function.constants}
        self._function = function
        self._nodes: list[Node] = []
        self._replaced: dict[int, int] = {}
        self._added: dict[tuple[Any, ...], int] = {}

    def keep(self, node: Node) -> None:
        """Copies a node."""
        self._nodes.append(replace(node, inputs=self.current(node.inputs)))

    def current(self, names: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the ids that replace these."""
        return tuple(self._replaced.get(name, name) for name in names)

    def add(self, op: str, *inputs: int, **attrs: Any) -> int:
        """Returns the output of a new node, or of an equal one that was added before."""
        key = (op, inputs, *sorted(attrs.items()))
        if key not in self._added:
            name = max(self.types) + 1
            call = Call(tuple(self.types[i] for i in inputs), bind_attrs(OPS[op], attrs))
            (self.types[name],) = OPS[op].infer(call)
            self._nodes.append(Node(op, inputs, (name,), attrs))
            self._added[key] = name
        return self._added[key]

    def replace(self, node: Node, by: int) -> None:
        """Replaces the one output of a node by a value."""
        (output,) = node.outputs
        if self.types[by] != self.types[output]:
            raise AssertionError(f"{node.op} of {self.types[output]} became {self.types[by]}")
        self._replaced[output] = by

    def finish(self) -> Function:
        """Returns the new function without unused added nodes, or the old one."""
        if not self._replaced:
            return self._function
        results = self.current(self._function.results)
        added, read = set(self._added.values()), set(results)
        nodes: list[Node] = []
        for node in reversed(self._nodes):
            if added.isdisjoint(node.outputs) or not read.isdisjoint(node.outputs):
                nodes.append(node)
                read.update(node.inputs)
        return replace(self._function, nodes=tuple(reversed(nodes)), results=results)
