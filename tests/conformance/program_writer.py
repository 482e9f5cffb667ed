"""Writes well-typed programs whose values stay small. Draws its choices from a seed.

Every value carries a bound on its size, from which ``tame`` keeps the next ones
small: so no chain of exponentials overflows, and finite differences of the
whole remain good. Arguments of functions with poles are first brought inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import sketch
from gradwire.ir import Constant, Function, FunctionInfo, Node
from gradwire.ir.infer import FunctionTyper
from gradwire.tensors import TensorType, type_of
from gradwire_server.program.bounds import FunctionMeter, FunctionSize
from gradwire_server.program.limits import ProgramLimits

MAX_BOUND = 3.0
"""The size that parameters may have, and above which values are tamed."""

FLOAT = np.dtype(np.float64)
SHAPES: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3), (3, 3), (2, 2), (1, 3), (2, 1, 2))


@dataclass(frozen=True)
class Value:
    """A value of the function that is being written."""

    id: int
    type: TensorType
    bound: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape


class ProgramWriter:
    """Writes one program, function by function.

    Args:
        control: Whether choices and loops are used.
    """

    def __init__(self, control: bool) -> None:
        self._rng = np.random.default_rng()
        self.control = control
        self.functions: list[Function] = []
        self.infos: list[FunctionInfo] = []
        self.sizes: list[FunctionSize] = []

    def reseed(self, *seed: int) -> None:
        """Makes the next choices follow from a seed alone."""
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high, endpoint=True))

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.integer(0, len(choices) - 1)]

    def chance(self, one_in: int) -> bool:
        return self.integer(1, one_in) == one_in

    def write(self, types: Sequence[TensorType], steps: Callable[[Body], Sequence[Value]]) -> int:
        """Writes a function whose steps are given; returns its index."""
        body = Body(self, types)
        return self.close(body, steps(body))

    def close(self, body: Body, results: Sequence[Value]) -> int:
        function = body.finish([result.id for result in results])
        # Other functions may have been written meanwhile; ids are of this one alone.
        self.functions.append(function)
        self.infos.append(body.typer.finish(function))
        self.sizes.append(body.meter.finish())
        return len(self.functions) - 1


class Body(sketch.Body):
    """A function that is being written."""

    def __init__(self, writer: ProgramWriter, types: Sequence[TensorType]) -> None:
        super().__init__(types)
        self.writer = writer
        self.typer = FunctionTyper(1 << 20, writer.infos)
        self.meter = FunctionMeter(1 << 20, writer.sizes, ProgramLimits())
        self.values = [Value(param.id, param.type, MAX_BOUND) for param in self.params]
        for param in self.params:
            self.typer.define(param.id, param.type, "params")
            self.meter.define(param.type)

    def _new(self, tensor_type: TensorType, bound: float) -> Value:
        self.values.append(Value(self.new(), tensor_type, bound))
        return self.values[-1]

    # --- nodes ---

    def several(
        self,
        op: str,
        inputs: Sequence[Value],
        bound: float,
        functions: Sequence[int] = (),
        **attrs: Any,
    ) -> list[Value]:
        """Adds a node; its outputs have the types that the table infers."""
        node = Node(op, tuple(x.id for x in inputs), (), attrs, tuple(functions))
        call, types = self.typer.infer(node)
        outputs = [self._new(tensor_type, bound) for tensor_type in types]
        node = Node(op, node.inputs, tuple(x.id for x in outputs), attrs, node.functions)
        self.typer.add(node, call, types)
        self.meter.add(node, call, types)
        self.nodes.append(node)
        return outputs

    def op(self, op: str, *inputs: Value, bound: float = 1.0, **attrs: Any) -> Value:
        """Adds a node with one output."""
        return self.several(op, inputs, bound, **attrs)[0]

    def constant(self, value: Any) -> Value:
        """Adds a constant."""
        array = np.asarray(value)
        bound = float(np.abs(array).max(initial=0.0))
        made = self._new(type_of(array), bound)
        self.constants.append(Constant(made.id, array))
        self.typer.define(made.id, made.type, "constants")
        self.meter.define(made.type)
        # A constant is no candidate for later steps: those look for derivatives.
        self.values.remove(made)
        return made

    def random(self, shape: Sequence[int]) -> Value:
        """Adds a constant of random numbers from -1 to 1."""
        rng = np.random.default_rng(self.writer.integer(0, 255))
        return self.constant(rng.uniform(-1, 1, tuple(shape)))

    def call(
        self, op: str, index: int, inputs: Sequence[Value], bound: float = 30.0, **attrs: Any
    ) -> Value:
        """Adds a node that uses a function, and tames one of its outputs."""
        outputs = self.several(op, inputs, bound, [index], **attrs)
        # Derivatives stand after the values, aux results last.
        return self.tame(self.writer.pick([x for x in outputs if x.type.dtype == FLOAT][::-1]))

    # --- values ---

    def floats(self) -> list[Value]:
        return [
            x for x in self.values if x.type.dtype == FLOAT and x.type.size and x.bound <= MAX_BOUND
        ]

    def newest(self) -> Value:
        """One of the values, mostly a late one, so that few are dead."""
        floats = self.floats()
        return floats[-1 - min(self.writer.integer(0, 5) // 2, len(floats) - 1)]

    def any(self) -> Value:
        return self.writer.pick(self.floats()[::-1])

    def ranked(self, *ranks: int) -> Value:
        """A value with one of these numbers of axes."""
        floats = [x for x in self.floats() if x.type.ndim in ranks]
        if floats:
            return floats[-1 - self.writer.integer(0, len(floats) - 1)]
        return self.fit((2, 3) if 2 in ranks else (3,))

    def fit(self, shape: Sequence[int]) -> Value:
        """A value of a shape: there already, or made from another."""
        shape = tuple(shape)
        there = [x for x in self.floats() if x.shape == shape]
        if there and not self.writer.chance(4):
            return self.writer.pick(there[::-1])
        x = self.any()
        if x.shape != shape:
            if x.type.size == int(np.prod(shape)):
                x = self.op("reshape", x, bound=x.bound, shape=shape)
            else:
                x = self.op("broadcast_to", self.total(x), bound=x.bound, shape=shape)
        return self.op("multiply", x, self.random(shape), bound=x.bound)

    def tame(self, x: Value) -> Value:
        """The value, or one made from it that is not large."""
        if x.bound <= MAX_BOUND:
            return x
        return self.op(self.writer.pick(("atan", "tanh", "asinh", "sin")), x, bound=MAX_BOUND)

    def total(self, x: Value) -> Value:
        """A scalar that depends on each element differently."""
        if x.shape == ():
            return x
        weighted = self.op("multiply", x, self.random(x.shape), bound=x.bound)
        axes = tuple(range(x.type.ndim))
        return self.tame(
            self.op("sum", weighted, bound=x.bound * x.type.size, axis=axes, keepdims=False)
        )

    def positive(self, x: Value) -> Value:
        """A number from 0.5 to 0.5 + MAX_BOUND²."""
        square = self.op("square", x, bound=x.bound**2)
        return self.op("add", square, self.constant(0.5), bound=x.bound**2 + 0.5)

    def inside(self, x: Value) -> Value:
        """A number from -0.9 to 0.9."""
        return self.op("multiply", self.op("tanh", x), self.constant(0.9), bound=0.9)

    def matrix(self, near_identity: float) -> Value:
        """A square matrix, near a multiple of the identity if that is asked for."""
        n = self.writer.integer(1, 3)
        x = self.op("tanh", self.fit((n, n)))
        shift = self.constant(near_identity * np.eye(n))
        return self.op("add", x, shift, bound=near_identity + 1)
