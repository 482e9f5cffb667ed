"""Refuses derivatives that an op doesn't have.

From each derivative operator inwards, it is tracked for every value which of
the differentiations around it reach it: those with respect to something that
it was computed from. An op is then differentiated as often as differentiations
reach its inputs, and in their directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import or_

from gradwire.ir.infer import FunctionInfo
from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.control_flow import divide_operands
from gradwire.opset.core import Call, Derivatives, Lattice
from gradwire.opset.differentiation import FORWARD, REVERSE, divide
from gradwire.tensors import is_inexact
from gradwire_server.program.sweeps import (
    Reach,
    Sweeps,
    innermost_of,
    is_lost,
    lost_rule,
    no_forward,
    order_of,
    refusal,
    reverse_of,
    union_of,
)

REACHES = Lattice(0, or_)

PLAIN_CALLS = ("call", "checkpoint", "vmap")
"""The ops whose operands are the parameters of their one function."""

LOOPS = ("fori_loop", "map", "scan", "while_loop")


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
    """Walks the functions of one program; memoises the answers."""

    def __init__(self, functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
        self._functions = functions
        self._infos = infos
        self._seen: dict[tuple[int, tuple[Reach, ...], Sweeps, int], tuple[Reach, ...]] = {}

    def walk(
        self, index: int, params: Sequence[Reach], sweeps: Sweeps, looped: int = 0
    ) -> tuple[Reach, ...]:
        """Returns what reaches each result of a function.

        Args:
            index: The function.
            params: What reaches each of its parameters.
            sweeps: All sweeps around it.
            looped: How many of them are around the innermost loop around it.
        """
        key = index, tuple(params), sweeps, looped
        if key not in self._seen:
            function = self._functions[index]
            params = tuple(
                r if is_inexact(p.type.dtype) else 0
                for p, r in zip(function.params, params, strict=True)
            )
            innermost = innermost_of(union_of(params), sweeps)
            if function.custom_vjp is not None and innermost is None and any(params):
                raise no_forward(function, index)  # a tangent, within another rule
            if function.rules and innermost is not None:
                self._seen[key] = self._walk_rules(index, params, sweeps, looped, innermost)
            else:
                self._seen[key] = self._walk_nodes(index, params, sweeps, looped)
        return self._seen[key]

    def _walk_rules(
        self,
        index: int,
        params: tuple[Reach, ...],
        sweeps: Sweeps,
        looped: int,
        innermost: int,
    ) -> tuple[Reach, ...]:
        """Walks the rules instead, with all sweeps but the innermost.

        They take the place of that sweep. Tangents and cotangents may depend on
        everything around; a reverse sweep transposes the path of the tangents.
        """
        function, info = self._functions[index], self._infos[index]
        own, outer = 1 << innermost, (1 << innermost) - 1
        self._walk_nodes(index, (0,) * len(params), sweeps, looped)
        primals = [r & ~own for r in params]
        results = info.signature.results
        moving = [is_inexact(p.type.dtype) for p in function.params]
        if function.custom_jvp is not None:
            if is_lost(union_of(params), sweeps[:looped]):
                raise lost_rule(f"functions[{index}].custom_jvp", "a custom rule", index, None)
            tangents = outer
            inside = 0
            if sweeps[innermost] == REVERSE:
                inside = 1 << len(sweeps)
                tangents, sweeps = tangents | inside, (*sweeps, innermost)
            given = [*primals, *[tangents] * sum(moving)]
            found = self.walk(function.custom_jvp, given, sweeps, looped)
            union = union_of(found) & ~inside | own
        else:
            if sweeps[innermost] == FORWARD:
                raise no_forward(function, index)
            assert function.custom_vjp is not None
            forward, backward = function.custom_vjp
            found = self.walk(forward, primals, sweeps, looped)
            num_cotangents = sum(is_inexact(t.dtype) for t in results)
            given = [*found[len(results) :], *[outer] * num_cotangents]
            self.walk(backward, given, sweeps, looped)
            union = union_of(found) | own
        return tuple(union if is_inexact(t.dtype) else 0 for t in results)

    def _walk_nodes(
        self, index: int, params: tuple[Reach, ...], sweeps: Sweeps, looped: int
    ) -> tuple[Reach, ...]:
        function, info = self._functions[index], self._infos[index]
        reach: dict[int, Reach] = {constant.id: 0 for constant in function.constants}
        reach |= {param.id: r for param, r in zip(function.params, params, strict=True)}
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            inputs = tuple(
                reach[name] if is_inexact(info.types[name].dtype) else 0 for name in node.inputs
            )
            if node.functions:
                outputs = self._operator(node, call, inputs, sweeps, looped)
            else:
                outputs = (_apply(node, inputs, sweeps, index, position),) * len(node.outputs)
            for name, r in zip(node.outputs, outputs, strict=True):
                reach[name] = r if is_inexact(info.types[name].dtype) else 0
            if OPS[node.op].has_own_rule(call) and is_lost(union_of(outputs), sweeps[:looped]):
                where = f"functions[{index}].nodes[{position}]"
                raise lost_rule(where, node.op, index, position)
            _check_direction(
                node, call, [reach[name] for name in node.outputs], sweeps, index, position
            )
        return tuple(reach[name] for name in function.results)

    def _operator(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, looped: int
    ) -> Sequence[Reach]:
        op = OPS[node.op]
        if node.op in LOOPS or call.attrs.get("chunk"):
            looped = len(sweeps)
        if op.flow is not None:
            callees = [partial(self.walk, f, sweeps=sweeps, looped=looped) for f in node.functions]
            return op.flow(call, inputs, callees, REACHES)
        if node.op in PLAIN_CALLS:
            return self.walk(node.functions[0], inputs, sweeps, looped)
        if node.op == "linear_solve":
            return self._linear_solve(node, call, inputs, sweeps, looped)
        if "wrt" in call.attrs:
            return self._differentiate(node, call, inputs, sweeps, looped)
        return self._implicit(node, call, inputs, sweeps, looped)

    def _differentiate(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, looped: int
    ) -> Sequence[Reach]:
        """Adds its sweeps for the function, and removes them from the results.

        What reaches a derivative reaches the value too, or else a tangent,
        cotangent or probe, in which a derivative is linear or quadratic
        whatever the function is: these enter the function only to transpose.
        """
        own: Sweeps = OPS[node.op].sweeps_of(call)
        layout = divide(call.functions[0], call.attrs)
        split = len(layout.params)
        backwards = reverse_of(union_of(inputs[split:]), sweeps)
        if FORWARD in own and backwards is not None:
            own = (*own, backwards)
        inside = (1 << len(own)) - 1 << len(sweeps)
        params = list(inputs[:split])
        for place in layout.positions:
            params[place] |= inside
        results = self.walk(node.functions[0], params, (*sweeps, *own), looped)
        values = [r & ~inside for r in results[: len(layout.values)]]
        aux = [r & ~inside for r in results[len(layout.values) :]]
        num_derivatives = len(node.outputs) - len(results)
        derivatives = [union_of([*values, *inputs[split:]])] * num_derivatives
        return (*values, *derivatives, *aux)

    def _implicit(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, looped: int
    ) -> Sequence[Reach]:
        """The solution depends on what is captured, not on the first guess.

        Its derivative linearizes the function at the solution, whatever the
        direction: one forward sweep, within those that reach the solution.
        """
        (captured,), guess = divide_operands(inputs, call.attrs, 1)
        solution = union_of(captured)
        own: Sweeps = (FORWARD,) if solution or node.op == "root" else ()
        inside = solution | ((1 << len(own)) - 1 << len(sweeps))
        given = [*captured, *(inside for _ in guess)]
        self.walk(node.functions[0], given, (*sweeps, *own), looped)
        return [solution for _ in guess]

    def _linear_solve(
        self, node: Node, call: Call, inputs: tuple[Reach, ...], sweeps: Sweeps, looped: int
    ) -> Sequence[Reach]:
        """Only the matrix is differentiated; with respect to x it is linear."""
        captured, side = divide_operands(inputs, call.attrs, len(call.functions))
        solution = union_of([*captured[0], *side])
        inside = solution
        backwards = reverse_of(solution, sweeps)
        if backwards is not None:
            inside |= 1 << len(sweeps)
            sweeps = (*sweeps, backwards)
        self.walk(node.functions[0], [*captured[0], *(inside for _ in side)], sweeps, looped)
        for solver, mine in zip(node.functions[1:], captured[1:], strict=True):
            self.walk(solver, [0] * (len(mine) + len(side)), sweeps, looped)
        return [solution for _ in side]


def _apply(
    node: Node, inputs: tuple[Reach, ...], sweeps: Sweeps, function: int, position: int
) -> Reach:
    derivatives = OPS[node.op].derivatives
    reach = union_of(inputs)
    if not reach or derivatives is Derivatives.ZERO:
        return 0
    order = order_of(reach, sweeps)
    if derivatives is Derivatives.NONE or (derivatives is Derivatives.FIRST and order > 1):
        offered = "no derivative" if derivatives is Derivatives.NONE else "a first derivative only"
        raise refusal(
            node,
            f"the op has {offered}; got one of order {max(order, 1)}. "
            f"If its inputs are constants to the derivative, put stop_gradient on them",
            function,
            position,
        )
    return reach


def _check_direction(
    node: Node,
    call: Call,
    outputs: Sequence[Reach],
    sweeps: Sweeps,
    function: int,
    position: int,
) -> None:
    irreversible = OPS[node.op].irreversible
    if irreversible is None or reverse_of(union_of(outputs), sweeps) is None:
        return
    reason = irreversible(call)
    if reason is not None:
        raise refusal(node, reason, function, position)
