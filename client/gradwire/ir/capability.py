"""Refuses derivatives that an op doesn't have.

From each derivative operator inwards, every value knows which of the
differentiations around it reach it: those with respect to something that it
was computed from. An op is then differentiated as often as differentiations
reach its inputs, and in their directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import or_
from typing import TYPE_CHECKING, Final

from gradwire.errors import UnsupportedError
from gradwire.ir.direction import PLAIN_CALLS
from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.control_flow import divide_operands
from gradwire.opset.core import Call, Derivatives, Lattice
from gradwire.opset.differentiation import FORWARD, REVERSE, divide
from gradwire.tensors import is_inexact

if TYPE_CHECKING:  # infer.py uses this module
    from gradwire.ir.infer import FunctionInfo

Reach = int
"""A set of sweeps, as bits: bit k stands for the k-th from outside."""

Sweeps = tuple[str, ...]
"""The direction of each sweep around a value, the outermost first."""

TRANSPOSE: Final = "transpose"
"""What a reverse sweep does to a value that is linear in a tangent already: it is
no further order, but not every op can be read backwards."""

REACHES = Lattice(0, or_)


def check_derivatives(
    functions: Sequence[Function], infos: Sequence[FunctionInfo], entry: int
) -> None:
    """Checks every op that the entry uses, at the order it is differentiated to.

    Every node counts, whether or not a result reads it: JAX differentiates all.

    Raises:
        UnsupportedError: an op has no derivative, none of that order, or none
            in that direction. It names function and node.
    """
    nothing = tuple(0 for _ in infos[entry].signature.params)
    Walker(functions, infos).walk(entry, nothing, ())


class Walker:
    """Walks the functions of one program; remembers what it has seen."""

    def __init__(self, functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
        self._functions = functions
        self._infos = infos
        self._seen: dict[tuple[int, tuple[Reach, ...], Sweeps], tuple[Reach, ...]] = {}

    def walk(self, index: int, params: Sequence[Reach], sweeps: Sweeps) -> tuple[Reach, ...]:
        """Returns what reaches each result of a function."""
        key = index, tuple(params), sweeps
        if key not in self._seen:
            function = self._functions[index]
            params = tuple(
                r if is_inexact(p.type.dtype) else 0
                for p, r in zip(function.params, params, strict=True)
            )
            innermost = _innermost(_union(params), sweeps)
            if function.custom_vjp is not None and innermost is None and any(params):
                raise _no_forward(function, index)  # a tangent comes in, in another rule
            if function.rules and innermost is not None:
                self._seen[key] = self._walk_rules(index, params, sweeps, innermost)
            else:
                self._seen[key] = self._walk_nodes(index, params, sweeps)
        return self._seen[key]

    def _walk_rules(
        self, index: int, params: tuple[Reach, ...], sweeps: Sweeps, innermost: int
    ) -> tuple[Reach, ...]:
        """Goes through the rules instead, with the sweeps but the innermost.

        That one sweep is what they stand for. Tangents and cotangents may depend
        on whatever is around; a reverse sweep transposes what tangents go through.
        """
        function, info = self._functions[index], self._infos[index]
        own, outer = 1 << innermost, (1 << innermost) - 1
        self._walk_nodes(index, (0,) * len(params), sweeps)
        primals = [r & ~own for r in params]
        results = info.signature.results
        moving = [is_inexact(p.type.dtype) for p in function.params]
        if function.custom_jvp is not None:
            tangents = outer
            inside = 0
            if sweeps[innermost] == REVERSE:
                inside = 1 << len(sweeps)
                tangents, sweeps = tangents | inside, (*sweeps, TRANSPOSE)
            found = self.walk(function.custom_jvp, [*primals, *[tangents] * sum(moving)], sweeps)
            union = _union(found) & ~inside | own
        else:
            if sweeps[innermost] == FORWARD:
                raise _no_forward(function, index)
            assert function.custom_vjp is not None
            forward, backward = function.custom_vjp
            found = self.walk(forward, primals, sweeps)
            num_cotangents = sum(is_inexact(t.dtype) for t in results)
            self.walk(backward, [*found[len(results) :], *[outer] * num_cotangents], sweeps)
            union = _union(found) | own
        return tuple(union if is_inexact(t.dtype) else 0 for t in results)

    def _walk_nodes(
        self, index: int, params: tuple[Reach, ...], sweeps: Sweeps
    ) -> tuple[Reach, ...]:
        function, info = self._functions[index], self._infos[index]
        reach: dict[int, Reach] = {constant.id: 0 for constant in function.constants}
        reach |= {param.id: r for param, r in zip(function.params, params, strict=True)}
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            inputs = tuple(
                reach[name] if is_inexact(info.types[name].dtype) else 0 for name in node.inputs
            )
            if node.functions:
                outputs = self._operator(node, call, inputs, sweeps)
            else:
                outputs = (_apply(node, inputs, sweeps, index, position),) * len(node.outputs)
            for name, r in zip(node.outputs, outputs, strict=True):
                reach[name] = r if is_inexact(info.types[name].dtype) else 0
            _check_direction(
                node, call, [reach[name] for name in node.outputs], sweeps, index, position
            )
        return tuple(reach[name] for name in function.results)

    def _operator(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps
    ) -> Sequence[Reach]:
        op = OPS[node.op]
        if op.flow is not None:
            callees = [partial(self.walk, f, sweeps=sweeps) for f in node.functions]
            return op.flow(call, inputs, callees, REACHES)
        if node.op in PLAIN_CALLS:
            return self.walk(node.functions[0], inputs, sweeps)
        if node.op == "linear_solve":
            return self._linear_solve(node, call, inputs, sweeps)
        own = op.sweeps_of(call)
        if "wrt" in call.attrs:
            return self._differentiate(node, call, inputs, sweeps, own)
        return self._implicit(node, call, inputs, sweeps, own)

    def _differentiate(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, own: Sweeps
    ) -> Sequence[Reach]:
        """Adds its sweeps inside, and takes them off what comes out.

        What reaches a derivative reaches the value too, or else a tangent,
        cotangent or probe, in which a derivative is linear or quadratic
        whatever the function is: these don't go inside, but to transpose.
        """
        layout = divide(call.functions[0], call.attrs)
        split = len(layout.params)
        if FORWARD in own and _is_transposed(_union(inputs[split:]), sweeps):
            own = (*own, TRANSPOSE)
        inside = (1 << len(own)) - 1 << len(sweeps)
        params = list(inputs[:split])
        for place in layout.positions:
            params[place] |= inside
        results = self.walk(node.functions[0], params, (*sweeps, *own))
        values = [r & ~inside for r in results[: len(layout.values)]]
        aux = [r & ~inside for r in results[len(layout.values) :]]
        num_derivatives = len(node.outputs) - len(results)
        derivatives = [_union([*values, *inputs[split:]])] * num_derivatives
        return (*values, *derivatives, *aux)

    def _implicit(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, own: Sweeps
    ) -> Sequence[Reach]:
        """The solution depends on what is captured, not on the first guess.

        Its derivative linearizes the function at the solution, whatever the
        direction: one forward sweep, within those that reach the solution.
        """
        (captured,), guess = divide_operands(inputs, call.attrs, 1)
        solution = _union(captured)
        if not solution and node.op == "fixed_point":
            own = ()
        inside = solution | ((1 << len(own)) - 1 << len(sweeps))
        self.walk(node.functions[0], [*captured, *(inside for _ in guess)], (*sweeps, *own))
        return [solution for _ in guess]

    def _linear_solve(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps
    ) -> Sequence[Reach]:
        """Only the matrix is differentiated; with respect to x it is linear."""
        captured, side = divide_operands(inputs, call.attrs, len(call.functions))
        solution = _union([*captured[0], *side])
        inside = solution
        if _is_transposed(solution, sweeps):
            inside |= 1 << len(sweeps)
            sweeps = (*sweeps, TRANSPOSE)
        self.walk(node.functions[0], [*captured[0], *(inside for _ in side)], sweeps)
        for solver, mine in zip(node.functions[1:], captured[1:], strict=True):
            self.walk(solver, [0] * (len(mine) + len(side)), sweeps)
        return [solution for _ in side]


def _union(reaches: Sequence[Reach]) -> Reach:
    union = 0
    for reach in reaches:
        union |= reach
    return union


def _innermost(reach: Reach, sweeps: Sweeps) -> int | None:
    """Returns the innermost differentiation that reaches a value, if any does."""
    bits = [bit for bit, sweep in enumerate(sweeps) if sweep != TRANSPOSE and reach >> bit & 1]
    return bits[-1] if bits else None


def _is_transposed(reach: Reach, sweeps: Sweeps) -> bool:
    """Says whether a sweep that reaches a value goes through it backwards."""
    return any(reach >> bit & 1 and sweep != FORWARD for bit, sweep in enumerate(sweeps))


def _apply(
    node: Node, inputs: tuple[Reach, ...], sweeps: Sweeps, function: int, position: int
) -> Reach:
    derivatives = OPS[node.op].derivatives
    reach = _union(inputs)
    if not reach or derivatives is Derivatives.ZERO:
        return 0
    order = sum(sweep != TRANSPOSE for bit, sweep in enumerate(sweeps) if reach >> bit & 1)
    if derivatives is Derivatives.NONE or (derivatives is Derivatives.FIRST and order > 1):
        offered = "no derivative" if derivatives is Derivatives.NONE else "a first derivative only"
        raise _refusal(
            node,
            f"the op has {offered}; got one of order {max(order, 1)}. "
            f"If its inputs are constants to the derivative, put stop_gradient on them",
            function,
            position,
        )
    return reach


def _no_forward(function: Function, index: int) -> UnsupportedError:
    where = f"functions[{index}].custom_vjp"
    return UnsupportedError(
        f"`{where}` must not be differentiated in forward mode; got a forward sweep through "
        f"{function.name[:80] or 'the function'}: use custom_jvp, which serves both modes",
        field=where,
        function=index,
    )


def _check_direction(
    node: Node,
    call: Call,
    outputs: Sequence[Reach],
    sweeps: Sweeps,
    function: int,
    position: int,
) -> None:
    irreversible = OPS[node.op].irreversible
    if irreversible is None or not _is_transposed(_union(outputs), sweeps):
        return
    reason = irreversible(call)
    if reason is not None:
        raise _refusal(node, reason, function, position)


def _refusal(node: Node, reason: str, function: int, position: int) -> UnsupportedError:
    where = f"functions[{function}].nodes[{position}]"
    return UnsupportedError(
        f"`{where}` ({node.op}): {reason}", field=where, function=function, node=position
    )
