"""Proves that a function of a whole batch keeps its samples apart.

What is proved: with x the leaves that are differentiated and carry the batch,
∂value[b]/∂x[c] = 0 for all samples b ≠ c. So the walk starts with batch axes on
these leaves alone. Everything else a function reads, other arguments with a
batch axis included, is a constant to these derivatives, and may mix samples:
subtracting the batch mean of *another* argument is no coupling in x.

Row b of a value stands for what is computed from row b of x and from anything
that doesn't depend on x. The rules of the table (``OpDef.batch``) say, for one
op, that row b of an output reads row b of each input with a batch axis, and
any part of inputs without one. Chained from x to the results they give that
value[b] reads x[b] alone. Values with no derivative count as constants: those
of discrete dtypes and those of ops whose derivative is zero at every order, a
stopped gradient included. By the chain rule nothing flows through them, so a
choice made from the whole batch (its argmax, say) couples values, but not one
derivative. An op without a rule counts as mixing: the proof may fail for a
function that is in fact independent, never succeed for one that is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.errors import InvalidProgramError
from gradwire.ir.infer import FunctionInfo
from gradwire.ir.program import Function, Node
from gradwire.opset import OPS
from gradwire.opset.core import MIXED, Axes, Call, Derivatives
from gradwire.opset.differentiation import divide
from gradwire.opset.samples import divide_batch
from gradwire.tensors import TensorType, is_inexact

MAX_VISITS = 100_000
"""Nodes that one walker visits: about a second; the default bound on programs is a fifth."""


@dataclass(frozen=True, slots=True)
class Coupling:
    """Where samples may depend on each other.

    Attributes:
        function: The index of the function.
        node: The index of its first such node, or None if no node is the cause:
            a custom rule, or a result that carries the batch on another axis than 0.
        op: The op of that node, or an empty string.
        result: The index of the result that is not proved independent.
        by_rule: Whether it is because of the function's custom rule.
    """

    function: int
    node: int | None
    op: str
    result: int
    by_rule: bool = False

    def __str__(self) -> str:
        if self.by_rule:
            return f"samples may mix in the custom rule of `functions[{self.function}]`"
        if self.node is None:
            return f"result {self.result} of functions[{self.function}] has no batch on axis 0"
        return f"samples may mix in `functions[{self.function}].nodes[{self.node}]` ({self.op})"


Origin = tuple[int, int | None, str]
"""Function, node and op where a value became ``MIXED``; no node for custom rules."""


@dataclass(frozen=True, slots=True)
class _Results:
    axes: tuple[int | None, ...]
    origins: tuple[Origin | None, ...]


class Independence:
    """Walks the functions of one program; memoises the answers."""

    def __init__(self, functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
        """Reads ``functions``; entries may be added to ``infos`` after those walked."""
        self._functions = functions
        self._infos = infos
        self._seen: dict[tuple[int, tuple[int | None, ...]], _Results] = {}
        self._visits = 0

    def prove(self, function: int, axes: Axes, num_values: int | None = None) -> Coupling | None:
        """Tries to prove that a function keeps samples apart.

        Args:
            function: Its index.
            axes: For each parameter the axis of the batch, or None.
            num_values: How many leading results the proof is for; all if None.

        Returns:
            None if the first ``num_values`` results have their batch on axis 0,
            or don't depend on it, and row b depends on row b alone; else where
            the proof ends.
        """
        results = self._walk(function, tuple(axes))
        for position, axis in enumerate(results.axes[:num_values]):
            if axis in (None, 0):
                continue
            origin = results.origins[position] if axis == MIXED else None
            if origin is None:
                return Coupling(function, None, "", position)
            return Coupling(*origin, position, by_rule=origin[1] is None)
        return None

    def _walk(self, index: int, axes: tuple[int | None, ...]) -> _Results:
        key = index, axes
        if key not in self._seen:
            if self._functions[index].rules and any(axis is not None for axis in axes):
                # The rules define the derivatives, whatever the nodes compute.
                types = self._infos[index].signature.results
                self._seen[key] = _Results(
                    tuple(MIXED if is_inexact(t.dtype) else None for t in types),
                    ((index, None, ""),) * len(types),
                )
            else:
                self._seen[key] = self._walk_nodes(index, axes)
        return self._seen[key]

    def _walk_nodes(self, index: int, axes: tuple[int | None, ...]) -> _Results:
        function, info = self._functions[index], self._infos[index]
        known: dict[int, int | None] = {constant.id: None for constant in function.constants}
        origins: dict[int, Origin] = {}
        for param, axis in zip(function.params, axes, strict=True):
            known[param.id] = axis if is_inexact(param.type.dtype) else None
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            inputs = [known[name] for name in node.inputs]
            outputs = [info.types[name] for name in node.outputs]
            blamed: list[Origin] = []
            for name, axis in zip(
                node.outputs, self._apply(node, call, inputs, outputs, blamed), strict=True
            ):
                known[name] = axis
                if axis == MIXED:
                    inherited = [origins[n] for n in node.inputs if n in origins]
                    origins[name] = (blamed + inherited + [(index, position, node.op)])[0]
        return _Results(
            tuple(known[name] for name in function.results),
            tuple(origins.get(name) for name in function.results),
        )

    def _apply(
        self,
        node: Node,
        call: Call,
        inputs: list[int | None],
        outputs: list[TensorType],
        blamed: list[Origin],
    ) -> list[int | None]:
        """Returns the axes of a node's outputs; adds to ``blamed`` what callees report."""
        op = OPS[node.op]
        self._visits += 1
        if all(axis is None for axis in inputs) or op.derivatives is Derivatives.ZERO:
            return [None] * len(outputs)
        if self._visits > MAX_VISITS:
            answer: Axes = [MIXED] * len(outputs)
        elif op.operator_batch is not None:
            answer = op.operator_batch(
                call, inputs, [self._callee(f, blamed) for f in node.functions]
            )
        elif op.batch is None or MIXED in inputs:
            answer = [MIXED] * len(outputs)
        else:
            answer = op.batch(call, inputs)
        return [
            axis if is_inexact(out.dtype) else None
            for axis, out in zip(answer, outputs, strict=True)
        ]

    def _callee(self, function: int, blamed: list[Origin]) -> _Callee:
        return _Callee(self, function, blamed)


@dataclass(frozen=True, slots=True)
class _Callee:
    """Called by an operator's rule: returns the axes of one function's results."""

    walker: Independence
    function: int
    blamed: list[Origin]

    def __call__(self, axes: Axes) -> Axes:
        results = self.walker._walk(self.function, tuple(axes))
        self.blamed.extend(origin for origin in results.origins if origin is not None)
        return results.axes


def batch_axes(call: Call) -> tuple[int | None, ...]:
    """Returns where the proof for a ``batched_jacobian`` starts: axis 0 of mapped leaves."""
    layout = divide(call.functions[0], call.attrs)
    batched = divide_batch(layout, call.attrs)
    axes: list[int | None] = [None] * len(layout.params)
    for position, flag in zip(layout.positions, batched.mapped, strict=True):
        axes[position] = 0 if flag else None
    return tuple(axes)


def prove_independent(
    functions: Sequence[Function],
    infos: Sequence[FunctionInfo],
    function: int,
    axes: Axes,
    num_values: int | None = None,
) -> Coupling | None:
    """Tries to prove once that a function keeps samples apart.

    See ``Independence.prove``. ``axes`` is the answer of ``batch_axes``, or for
    each parameter 0 if it is differentiated and carries the batch, else None.
    """
    return Independence(functions, infos).prove(function, axes, num_values)


def check_batched_jacobians(functions: Sequence[Function], infos: Sequence[FunctionInfo]) -> None:
    """Checks that every ``batched_jacobian`` is of a function that keeps samples apart.

    Raises:
        InvalidProgramError: that can't be proved, and ``independent`` isn't set.
    """
    walker = Independence(functions, infos)
    for index, function in enumerate(functions):
        for position, (node, call) in enumerate(
            zip(function.nodes, infos[index].calls, strict=True)
        ):
            if node.op != "batched_jacobian" or call.attrs["independent"]:
                continue
            axes = batch_axes(call)
            if all(axis is None for axis in axes):
                continue  # with respect to parameters alone samples may mix
            num_values = len(divide(call.functions[0], call.attrs).values)
            coupling = walker.prove(node.functions[0], axes, num_values)
            if coupling is not None:
                where = f"functions[{index}].nodes[{position}]"
                raise InvalidProgramError(
                    f"`{where}` (batched_jacobian): the function must keep samples apart; "
                    f"{coupling}. If they don't mix, write `independent=True`",
                    field=where,
                    function=index,
                    node=position,
                    metadata={"function": str(coupling.function), "node": str(coupling.node)},
                )
