"""Refuses derivatives that an op doesn't have.

From each derivative operator inwards, every value knows which of the
differentiations around it reach it: those with respect to something that it
was computed from. An op is then differentiated as often as all differentiations
that reach its inputs say together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradwire.errors import UnsupportedError
from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.core import Call, Derivatives
from gradwire.opset.differentiation import divide
from gradwire.tensors import is_inexact

if TYPE_CHECKING:  # infer.py uses this module
    from gradwire.ir.infer import FunctionInfo

Reach = int
"""A set of differentiations, as bits: bit k stands for the k-th from outside."""


def check_derivatives(
    functions: Sequence[Function], infos: Sequence[FunctionInfo], entry: int
) -> None:
    """Checks every op that the entry uses, at the order it is differentiated to.

    Every node counts, whether or not a result reads it: JAX differentiates all.

    Raises:
        UnsupportedError: an op has no derivative, or none of that order. It
            names function and node.
    """
    nothing = tuple(0 for _ in infos[entry].signature.params)
    _Walker(functions, infos).walk(entry, nothing, ())


class _Walker:
    def __init__(self, functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
        self._functions = functions
        self._infos = infos
        self._seen: dict[tuple[int, tuple[Reach, ...], tuple[int, ...]], tuple[Reach, ...]] = {}

    def walk(
        self, index: int, params: tuple[Reach, ...], orders: tuple[int, ...]
    ) -> tuple[Reach, ...]:
        """Returns what reaches each result; ``orders`` is that of each differentiation."""
        key = index, params, orders
        if key not in self._seen:
            self._seen[key] = self._walk_nodes(index, params, orders)
        return self._seen[key]

    def _walk_nodes(
        self, index: int, params: tuple[Reach, ...], orders: tuple[int, ...]
    ) -> tuple[Reach, ...]:
        function, info = self._functions[index], self._infos[index]
        reach: dict[int, Reach] = {constant.id: 0 for constant in function.constants}
        reach |= {param.id: r for param, r in zip(function.params, params, strict=True)}
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            inputs = tuple(
                reach[name] if is_inexact(info.types[name].dtype) else 0 for name in node.inputs
            )
            if node.functions:
                outputs = self._operator(node, call, inputs, orders)
            else:
                outputs = (_apply(node, index, position, inputs, orders),) * len(node.outputs)
            for name, r in zip(node.outputs, outputs, strict=True):
                reach[name] = r if is_inexact(info.types[name].dtype) else 0
        return tuple(reach[name] for name in function.results)

    def _operator(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], orders: tuple[int, ...]
    ) -> tuple[Reach, ...]:
        order = OPS[node.op].orders_of(call)
        if order:
            return self._differentiate(node, call, inputs, orders, order)
        if node.op in ("call", "checkpoint", "vmap"):
            return self.walk(node.functions[0], inputs, orders)
        # Which operand meets which parameter is the op's affair: all meet all.
        everything = _union(inputs)
        outputs = everything
        for callee in node.functions:
            params = (everything,) * len(self._functions[callee].params)
            outputs |= _union(self.walk(callee, params, orders))
        return (outputs,) * len(node.outputs)

    def _differentiate(
        self,
        node: Node,
        call: Call,
        inputs: tuple[Reach, ...],
        orders: tuple[int, ...],
        order: int,
    ) -> tuple[Reach, ...]:
        """Adds one differentiation inside, and takes it off what comes out.

        What reaches a derivative reaches the value too, or else a tangent,
        cotangent or probe, in which a derivative is linear or quadratic
        whatever the function is: these don't go inside.
        """
        layout = divide(call.functions[0], call.attrs)
        split = len(layout.params)
        own = 1 << len(orders)
        params = list(inputs[:split])
        for place in layout.positions:
            params[place] |= own
        results = self.walk(node.functions[0], tuple(params), (*orders, order))
        values = [r & ~own for r in results[: len(layout.values)]]
        aux = [r & ~own for r in results[len(layout.values) :]]
        num_derivatives = len(node.outputs) - len(results)
        derivatives = [_union([*values, *inputs[split:]])] * num_derivatives
        return (*values, *derivatives, *aux)


def _union(reaches: Sequence[Reach]) -> Reach:
    union = 0
    for reach in reaches:
        union |= reach
    return union


def _apply(
    node: Node, function: int, position: int, inputs: tuple[Reach, ...], orders: tuple[int, ...]
) -> Reach:
    derivatives = OPS[node.op].derivatives
    reach = _union(inputs)
    if not reach or derivatives is Derivatives.ZERO:
        return 0
    order = sum(o for bit, o in enumerate(orders) if reach >> bit & 1)
    if derivatives is Derivatives.NONE or (derivatives is Derivatives.FIRST and order > 1):
        where = f"functions[{function}].nodes[{position}]"
        offered = "no derivative" if derivatives is Derivatives.NONE else "a first derivative only"
        raise UnsupportedError(
            f"`{where}` ({node.op}): the op has {offered}; got one of order {order}. "
            f"If its inputs are constants to the derivative, put stop_gradient on them",
            field=where,
            function=function,
            node=position,
        )
    return reach
