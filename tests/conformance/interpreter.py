"""Runs programs in NumPy and SciPy, derivative operators included: a second opinion.

Never imports JAX or the server, and reads of the client only what a program
looks like. Derivatives are those of ``dual_numbers``, taken in forward mode one
direction at a time; a reverse-mode operator is its own transpose, built column
by column. Double precision, real results.

An interpreter also records what was decided on the way (which side of a kink a
number is on, how a sort goes), so that a caller who takes finite differences
knows whether all points lie on one smooth piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.array_functions import APPLY
from conformance.control_operators import CONTROL
from conformance.derivative_operators import DERIVATIVES
from conformance.differentiator import Callee, Differentiator
from conformance.distances import distances
from conformance.dual_numbers import Number, plain
from gradwire.ir import Node, Program

OPERATORS = {**DERIVATIVES, **CONTROL}


class Interpreter(Differentiator):
    """One run of a program.

    Args:
        program: What to run.
        frozen: The ``constants`` of an earlier run, to be used again.

    Attributes:
        decisions: Which side of each kink, and every discrete value, in order.
        margin: The smallest distance from a kink, other than 0.
    """

    def __init__(self, program: Program, frozen: Sequence[Any] | None = None) -> None:
        super().__init__(frozen)
        self.program = program
        self.decisions: list[bytes] = []
        self.margin = np.inf

    def __call__(self, *inputs: Any) -> list[Number]:
        """Returns the results of the entry."""
        with np.errstate(all="ignore"):
            return self.run(self.program.entry, *inputs)

    def jvp(self, inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Returns the results of the entry, and their derivatives along the tangents."""
        with np.errstate(all="ignore"):
            return self.along(lambda *xs: self.run(self.program.entry, *xs), inputs, tangents)

    def run(self, index: int, *inputs: Number) -> list[Number]:
        """Returns the results of a function."""
        function = self.program.functions[index]
        values = {p.id: x for p, x in zip(function.params, inputs, strict=True)}
        values |= {constant.id: constant.value for constant in function.constants}
        for node in function.nodes:
            outputs = self._node(node, [values[name] for name in node.inputs])
            values |= zip(node.outputs, outputs, strict=True)
        return [values[name] for name in function.results]

    def _node(self, node: Node, inputs: list[Number]) -> list[Number]:
        if node.functions:
            callees = [self._callee(index) for index in node.functions]
            outputs = OPERATORS[node.op](self, callees, inputs, node.attrs)
        elif node.op == "stop_gradient":
            outputs = self.freeze(plain(inputs[0]))
        else:
            for distance in distances(node, [plain(x) for x in inputs]):
                self._decide(distance)
            outputs = APPLY[node.op](*inputs, **node.attrs)
        results = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        for x in map(plain, results):
            if x.dtype.kind in "biu":
                self.decisions.append(x.tobytes())
        return results

    def _callee(self, index: int) -> Callee:
        num_params = len(self.program.functions[index].params)
        return Callee(num_params, lambda *inputs: self.run(index, *inputs))

    def _decide(self, distance: Any) -> None:
        self.decisions.append(np.sign(distance).tobytes())
        apart = np.abs(distance[distance != 0])
        self.margin = min(self.margin, float(apart.min(initial=np.inf)))
