"""Which parameters of a function can't be differentiated forward, or in reverse.

Functions are read from the last node to the first, so a direction is closed to every
parameter on which the input of a node depends that this direction can't pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.ir import Function, FunctionInfo, Node, TypedProgram
from gradwire.opset import OPS
from gradwire.opset.core import Call, Derivatives
from gradwire.opset.differentiation import FORWARD, REVERSE
from gradwire.tensors import is_inexact
from gradwire_server.program.differentiability import PLAIN_CALLS

Positions = frozenset[int]


@dataclass(frozen=True, slots=True)
class ClosedParams:
    """The parameters of one function through which sweeps can't pass.

    Attributes:
        forward: Those through which no forward sweep can pass.
        reverse: Those that no reverse sweep can reach.
    """

    forward: Positions = frozenset()
    reverse: Positions = frozenset()

    def of(self, direction: str) -> Positions:
        """Returns the parameters that are closed to one direction."""
        return self.forward if direction == FORWARD else self.reverse

    def directions(self, positions: Sequence[int]) -> frozenset[str]:
        """Returns the directions that are closed to any of some parameters."""
        return frozenset(d for d in (FORWARD, REVERSE) if not self.of(d).isdisjoint(positions))


def find_closed_params(typed: TypedProgram) -> tuple[ClosedParams, ...]:
    """Returns the closed parameters of each function of a program."""
    found: list[ClosedParams] = []
    for function, info in zip(typed.program.functions, typed.infos, strict=True):
        found.append(_closed_params(function, info, found))
    return tuple(found)


def _closed_params(
    function: Function, info: FunctionInfo, callees: Sequence[ClosedParams]
) -> ClosedParams:
    if function.custom_vjp is not None:
        moving = (p for p, param in enumerate(function.params) if is_inexact(param.type.dtype))
        return ClosedParams(forward=frozenset(moving))
    if function.custom_jvp is not None:
        return ClosedParams()
    return ClosedParams(
        _closed(function, info, callees, FORWARD), _closed(function, info, callees, REVERSE)
    )


def _closed(
    function: Function, info: FunctionInfo, callees: Sequence[ClosedParams], direction: str
) -> Positions:
    closed: set[int] = set()
    for node, call in zip(reversed(function.nodes), reversed(info.calls), strict=True):
        if OPS[node.op].derivatives is Derivatives.ZERO:
            continue
        if closed.isdisjoint(node.outputs):
            blocked = _blocked(node, call, callees, direction)
        else:
            blocked = node.inputs
        closed.update(name for name in blocked if is_inexact(info.types[name].dtype))
    return frozenset(place for place, param in enumerate(function.params) if param.id in closed)


def _blocked(
    node: Node, call: Call, callees: Sequence[ClosedParams], direction: str
) -> Sequence[int]:
    """Returns the inputs of a node from which its own functions can't be differentiated."""
    op = OPS[node.op]
    if direction == REVERSE and op.irreversible and op.irreversible(call):
        return node.inputs
    # Of a linear solve the equation is differentiated, never a solver.
    used = node.functions[:1] if node.op == "linear_solve" else node.functions
    if node.op in PLAIN_CALLS:
        return [node.inputs[place] for place in callees[used[0]].of(direction)]
    return node.inputs if any(callees[place].of(direction) for place in used) else ()
