"""Which parameters of a function can't be differentiated forward, or in reverse.

This is what ``auto`` modes go by. It looks at a function from its last node
back, so a direction is closed to every parameter that something comes from
which it can't pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.core import Call, Derivatives, Signature
from gradwire.opset.differentiation import REVERSE
from gradwire.tensors import TensorType, is_inexact

Positions = frozenset[int]
NONE: Positions = frozenset()


def closed_params(
    function: Function, types: Mapping[int, TensorType], calls: Sequence[Call]
) -> tuple[Positions, Positions]:
    """Returns the parameters closed to forward sweeps, and those closed to reverse sweeps."""
    forward: set[int] = set()
    reverse: set[int] = set()
    for node, call in zip(reversed(function.nodes), reversed(calls), strict=True):
        op = OPS[node.op]
        if op.derivatives is Derivatives.ZERO:
            continue
        inputs = [name for name in node.inputs if is_inexact(types[name].dtype)]
        for closed, blocked in (
            (forward, _blocked_forward(call)),
            (reverse, _blocked_reverse(call)),
        ):
            if not closed.isdisjoint(node.outputs):
                closed.update(inputs)
            elif blocked:
                closed.update(_blamed(node, call, blocked, types))
    return _positions(function, forward), _positions(function, reverse)


def _positions(function: Function, closed: set[int]) -> Positions:
    if not closed:
        return NONE
    return frozenset(place for place, param in enumerate(function.params) if param.id in closed)
