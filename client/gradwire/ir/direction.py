"""Which parameters of a function can't be differentiated forward, or in reverse.

This is what ``auto`` modes go by. It looks at a function from its last node
back, so a direction is closed to every parameter that something comes from
which it can't pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.core import Call, Derivatives
from gradwire.opset.differentiation import FORWARD, REVERSE
from gradwire.tensors import TensorType, is_inexact

Positions = frozenset[int]

PLAIN_CALLS = ("call", "checkpoint", "vmap")
"""The ops whose operands are the parameters of their one function."""


def closed_params(
    function: Function, types: Mapping[int, TensorType], calls: Sequence[Call]
) -> tuple[Positions, Positions]:
    """Returns the parameters closed to forward sweeps, and those closed to reverse sweeps."""
    if function.custom_vjp is not None:
        moving = (p for p, param in enumerate(function.params) if is_inexact(param.type.dtype))
        return frozenset(moving), frozenset()
    if function.custom_jvp is not None:
        return frozenset(), frozenset()
    return (
        _closed(function, types, calls, FORWARD),
        _closed(function, types, calls, REVERSE),
    )


def _closed(
    function: Function, types: Mapping[int, TensorType], calls: Sequence[Call], direction: str
) -> Positions:
    closed: set[int] = set()
    for node, call in zip(reversed(function.nodes), reversed(calls), strict=True):
        if OPS[node.op].derivatives is Derivatives.ZERO:
            continue
        if closed.isdisjoint(node.outputs):
            blocked = _blocked(node, call, direction)
        else:
            blocked = node.inputs
        closed.update(name for name in blocked if is_inexact(types[name].dtype))
    return frozenset(place for place, param in enumerate(function.params) if param.id in closed)


def _blocked(node: Node, call: Call, direction: str) -> Sequence[int]:
    """Returns the inputs of a node from which its own functions can't be differentiated."""
    op = OPS[node.op]
    if direction == REVERSE and op.irreversible and op.irreversible(call):
        return node.inputs
    # Of a linear solve the equation is differentiated, never a solver.
    signatures = call.functions[:1] if node.op == "linear_solve" else call.functions
    closed = [s.no_forward if direction == FORWARD else s.no_reverse for s in signatures]
    if node.op in PLAIN_CALLS:
        return [node.inputs[place] for place in closed[0]]
    return node.inputs if any(closed) else ()
