"""A Hypothesis strategy for programs: well typed, in float64, and kept where they are smooth.

Every value carries a bound on its size, from which ``tame`` keeps the next ones
small: so no chain of exponentials overflows, and finite differences of the
whole remain good. Arguments of functions with poles are first brought inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradwire.ir import Constant, Function, FunctionInfo, Node, Param, Program, ProgramLimits
from gradwire.ir.infer import FunctionChecker
from gradwire.opset.core import At, ByArray, NewAxis, Range
from gradwire.tensors import Array, TensorType, type_of

MAX_ORDER = 2
"""Orders of differentiation inside the program; the tests add one."""

MAX_BOUND = 3.0
"""The size that parameters may have, and above which values are tamed."""

FLOAT = np.dtype(np.float64)
SHAPES = ((), (2,), (3,), (2, 3), (3, 3), (2, 2), (1, 3), (2, 1, 2))


@dataclass(frozen=True)
class Value:
    """A value of the function that is being written."""

    id: int
    type: TensorType
    bound: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape


@dataclass(frozen=True)
class Case:
    """A program, and the seed of the point at which it is looked at."""

    program: Program
    seed: int

    def point(self) -> list[Array]:
        """Returns numbers of size 1.5 at most for the entry's parameters."""
        rng = np.random.default_rng(self.seed)
        entry = self.program.functions[self.program.entry]
        return [np.asarray(rng.uniform(-1.5, 1.5, p.type.shape)) for p in entry.params]


_SEEDS = st.integers(0, 2**20 - 1)
_STEPS = st.lists(_SEEDS, min_size=1, max_size=4)


def random_programs(most: int, *, control: bool = True) -> st.SearchStrategy[Case]:
    """Draws programs of two functions or more, derivatives nested to depth two.

    One seed is drawn for each step, so that what fails shrinks by losing steps.

    Args:
        most: The most functions, those that loops are written for not counted.
        control: Whether choices and loops are used.
    """
    return st.builds(
        lambda functions, seed: write_program(functions, seed, control),
        st.lists(_STEPS, min_size=2, max_size=most),
        _SEEDS,
    )


def write_program(functions: Sequence[Sequence[int]], seed: int, control: bool) -> Case:
    """Writes a program with a function for each list of seeds, and a step for each seed."""
    writer = ProgramWriter(control)
    for place, seeds in enumerate(functions, 1):
        writer.add_function(seeds, final=place == len(functions))
    mapped = (False,) * len(writer.functions[-1].params)
    return Case(Program(tuple(writer.functions), len(writer.functions) - 1, mapped), seed)


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

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high, endpoint=True))

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.integer(0, len(choices) - 1)]

    def chance(self, one_in: int) -> bool:
        return self.integer(1, one_in) == one_in

    def add_function(self, seeds: Sequence[int], *, final: bool) -> int:
        """Writes a function of random steps; the final one begins with a derivative."""
        self._rng = np.random.default_rng([len(self.functions), len(seeds), seeds[0], 0])
        types = [float_type(self.pick(SHAPES)) for _ in range(self.integer(1, 3))]
        body = Body(self, types)
        for place, seed in enumerate(seeds):
            # Equal seeds, which are drawn often, give different steps at different places.
            self._rng = np.random.default_rng([len(self.functions), place, seed])
            body.step(differentiate=final and place == 0)
        first = body.newest()
        if self.chance(2):
            both = body.op("add", body.total(body.newest()), body.total(first), bound=6.0)
            first = body.tame(both)
        results = [first, *(body.newest() for _ in range(self.integer(0, 1)))]
        return self.close(body, results)

    def write(self, types: Sequence[TensorType], steps: Callable[[Body], Sequence[Value]]) -> int:
        """Writes a function whose steps are given; returns its index."""
        body = Body(self, types)
        return self.close(body, steps(body))

    def close(self, body: Body, results: Sequence[Value]) -> int:
        function = Function(
            "f",
            tuple(body.params),
            tuple(body.constants),
            tuple(body.nodes),
            tuple(result.id for result in results),
        )
        # Other functions may have been written meanwhile; ids are of this one alone.
        self.functions.append(function)
        self.infos.append(body.checker.finish(function))
        return len(self.functions) - 1


def float_type(shape: Sequence[int]) -> TensorType:
    """The type of float64 arrays."""
    return TensorType(FLOAT, tuple(shape))


@dataclass
class Body:
    """A function that is being written."""

    writer: ProgramWriter
    types: Sequence[TensorType]
    params: list[Param] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checker = FunctionChecker(1 << 20, self.writer.infos, ProgramLimits())
        self._count = 0
        for tensor_type in self.types:
            value = self._new(tensor_type, MAX_BOUND)
            self.params.append(Param(value.id, tensor_type))
            self.checker.define(value.id, tensor_type, "params")

    def _new(self, tensor_type: TensorType, bound: float) -> Value:
        self.values.append(Value(self._count, tensor_type, bound))
        self._count += 1
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
        call, types = self.checker.infer(node)
        outputs = [self._new(tensor_type, bound) for tensor_type in types]
        node = Node(op, node.inputs, tuple(x.id for x in outputs), attrs, node.functions)
        self.checker.add(node, call, types)
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
        self.checker.define(made.id, made.type, "constants")
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

    # --- steps ---

    def step(self, *, differentiate: bool = False) -> None:
        """Adds what one random step makes; a derivative operator if asked for."""
        if differentiate:
            self.tame(self.differentiate())
            return
        steps = [
            self.unary, self.unary, self.binary, self.binary, self.reduce, self.reshape,
            self.move, self.join, self.index, self.update, self.contract, self.solve,
            self.choose, self.activate,
        ]  # fmt: skip
        if self.writer.functions:
            steps += [self.use, *[self.differentiate] * 6]
        if self.writer.control:
            steps.append(self.loop)
        self.tame(self.writer.pick(steps)())

    def unary(self) -> Value:
        x = self.newest()
        op, domain, bound = self.writer.pick(UNARY)
        if domain == "positive":
            y = self.positive(x)
            if op == "acosh":
                y = self.op("add", y, self.constant(0.7), bound=y.bound + 0.7)
            order = {"n": self.writer.integer(0, 2)} if op == "special.polygamma" else {}
            return self.op(op, y, bound=bound(y.bound), **order)
        if domain == "inside":
            return self.op(op, self.inside(x), bound=bound(0.9))
        if domain == "unit":
            half = self.op("multiply", self.inside(x), self.constant(0.5), bound=0.45)
            unit = self.op("add", half, self.constant(0.5), bound=0.95)
            return self.op(op, unit, bound=bound(0.95))
        attrs: dict[str, Any] = {}
        if op == "integer_pow":
            attrs = {"exponent": self.writer.integer(0, 3)}
        if op == "nn.gelu":
            attrs = {"approximate": self.writer.chance(2)}
        return self.op(op, x, bound=bound(x.bound), **attrs)

    def binary(self) -> Value:
        x = self.newest()
        y = self.partner(x)
        if self.writer.chance(2):
            x, y = y, x
        b, c = x.bound, y.bound
        op = self.writer.pick(BINARY)
        if op in (
            "divide",
            "remainder",
            "fmod",
            "floor_divide",
            "special.xlogy",
            "special.xlog1py",
        ):
            y = self.positive(y)
            bound = {"divide": 2 * b, "remainder": y.bound, "fmod": b}.get(op, b * 3)
        elif op in ("pow", "hypot", "atan2"):
            x = self.positive(x)
            bound = {"pow": x.bound**c, "hypot": x.bound + c, "atan2": 4.0}[op]
            if op == "atan2":
                x, y = y, x
        elif op in ("special.betaln", "special.gammainc"):
            x, y = self.positive(x), self.positive(y)
            if op == "special.gammainc":
                # Derivatives by the first argument are not the interpreter's.
                x = self.op("stop_gradient", x, bound=x.bound)
            bound = x.bound * 3
        else:
            bound = b * c if op == "multiply" else b + c
        return self.op(op, x, y, bound=bound)

    def partner(self, x: Value) -> Value:
        """A value that broadcasts with x."""
        keeps = self.writer.integer(0, 3)
        if keeps == 0:
            return self.fit(())
        if keeps == 1 and x.type.ndim > 1:
            return self.fit(x.shape[1:])
        if keeps == 2 and x.type.ndim:
            return self.fit((*x.shape[:-1], 1))
        return self.fit(x.shape)

    def axes(self, x: Value) -> tuple[int, ...]:
        """Some of the axes, at least one if there is one, negative at times."""
        chosen = [a for a in range(x.type.ndim) if self.writer.chance(2)] or [0][: x.type.ndim]
        return tuple(a - x.type.ndim if self.writer.chance(3) else a for a in chosen)

    def axis(self, x: Value) -> int:
        return self.writer.integer(-x.type.ndim, x.type.ndim - 1)

    def reduce(self) -> Value:
        x = self.ranked(1, 2, 3)
        op = self.writer.pick(REDUCTIONS)
        if op.startswith("cumulative"):
            grown = x.bound**3 if op == "cumulative_prod" else 3 * x.bound
            return self.op(op, x, bound=grown, axis=self.axis(x))
        axes = self.axes(x)
        count = int(np.prod([x.shape[a] for a in axes]))
        attrs: dict[str, Any] = {"axis": axes, "keepdims": self.writer.chance(2)}
        if op in ("var", "std"):
            attrs["correction"] = float(self.writer.integer(0, count - 1)) if count > 1 else 0.0
        if op == "std":
            # Away from the root's branch point: one element has no spread at all.
            y = self.op("add", x, self.constant(4.0 * np.arange(x.type.size).reshape(x.shape)))
            return self.op(op, y, bound=30.0, **attrs) if count > 1 else self.tame(y)
        if op == "linalg.vector_norm":
            return self.op(op, self.positive(x), bound=x.bound**2 * count, **attrs)
        if op == "prod" and count > 4:
            op = "sum"
        bound = x.bound ** max(count, 2) if op in ("prod", "var") else x.bound * count
        return self.op(op, x, bound=bound, **attrs)

    def reshape(self) -> Value:
        x, w = self.newest(), self.writer
        ndim = x.type.ndim
        op = w.pick(("reshape", "expand_dims", "permute_dims", "broadcast_to", "tile", "squeeze"))
        if op == "reshape":
            size = x.type.size
            shapes = [(size,), (1, size), (size, 1), *(s for s in SHAPES if np.prod(s) == size)]
            return self.op(op, x, bound=x.bound, shape=w.pick(shapes))
        if op == "expand_dims" and ndim < 3:
            return self.op(op, x, bound=x.bound, axis=(w.integer(-ndim - 1, ndim),))
        if op == "squeeze" and 1 in x.shape:
            return self.op(op, x, bound=x.bound, axis=(x.shape.index(1),))
        if op == "broadcast_to" and ndim < 3:
            return self.op(op, x, bound=x.bound, shape=(2, *x.shape))
        if op == "tile" and x.type.size <= 6:
            times = (2, 1) if w.chance(2) else (1,) * max(ndim - 1, 0) + (2,)
            return self.op(op, x, bound=x.bound, repetitions=times)
        order = list(range(ndim))
        if ndim:
            first = w.integer(0, ndim - 1)
            order = order[first:] + order[:first]
        return self.op("permute_dims", x, bound=x.bound, axes=tuple(order))

    def move(self) -> Value:
        x, w = self.ranked(1, 2, 3), self.writer
        op = w.pick(("flip", "roll", "repeat", "pad", "sort", "tril", "diag", "top_k", "median"))
        if op == "flip":
            return self.op(op, x, bound=x.bound, axis=self.axes(x))
        if op == "roll":
            return self.op(op, x, bound=x.bound, axis=(self.axis(x),), shift=(w.integer(-2, 2),))
        if op == "repeat" and x.type.size <= 6:
            return self.op(op, x, bound=x.bound, axis=self.axis(x), repeats=2)
        if op == "pad" and x.type.size <= 6:
            mode = w.pick(("constant", "edge", "wrap", "symmetric"))
            widths = tuple(w.integer(0, 1) for _ in range(2 * x.type.ndim))
            inputs = [x, self.fit(())] if mode == "constant" and w.chance(2) else [x]
            return self.op(op, *inputs, bound=MAX_BOUND, pad_width=widths, mode=mode)
        if op == "tril" and x.type.ndim >= 2:
            return self.op(w.pick(("tril", "triu", "matrix_transpose")), x, bound=x.bound)
        if op == "diag" and x.type.size <= 3:
            return self.op(op, x, bound=x.bound, k=w.integer(-1, 1))
        if op == "top_k" and x.shape[-1]:
            k = w.integer(1, x.shape[-1])
            return self.several(op, [x], x.bound, k=k)[0]
        descending = w.chance(2)
        return self.op("sort", x, bound=x.bound, axis=self.axis(x), descending=descending)

    def join(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(("concat", "stack", "split", "unstack", "where", "full", "linspace"))
        if op in ("concat", "stack") and x.type.size <= 6:
            axis = w.integer(0, x.type.ndim - (op == "concat"))
            return self.op(op, x, self.fit(x.shape), bound=MAX_BOUND, axis=axis)
        if op == "split":
            axis = self.axis(x)
            cut = w.integer(0, x.shape[axis] - 1)
            return self.several(op, [x], x.bound, axis=axis, indices=(cut,))[1]
        if op == "unstack":
            return w.pick(self.several(op, [x], x.bound, axis=self.axis(x)))
        if op == "full":
            return self.op(op, self.fit(()), bound=MAX_BOUND, shape=(2, 2))
        if op == "linspace":
            return self.op(op, self.fit(()), self.fit(()), bound=MAX_BOUND, num=3)
        return self.choose()

    def choose(self) -> Value:
        x, w = self.newest(), self.writer
        y = self.fit(x.shape)
        compare = w.pick(COMPARISONS)
        mask = self.op(compare, x, self.random(x.shape))
        if w.chance(3):
            mask = self.op("logical_not", mask)
        if w.chance(3):
            mask = self.op(w.pick(("logical_and", "logical_or")), mask, self.op("less", x, y))
        if w.chance(4) and x.type.ndim:
            mask = self.op(w.pick(("any", "all")), mask, axis=(0,), keepdims=True)
        op = w.pick(("where", "where", "clip", "stop_gradient", "interp", "astype", "searchsorted"))
        if op == "astype":
            count = self.op("count_nonzero", mask, axis=(), keepdims=False)
            factor = self.op("astype", count, bound=1.0, dtype=FLOAT)
            return self.op("multiply", x, factor, bound=x.bound)
        if op == "searchsorted":
            knots = self.constant(np.array([-0.8, 0.1, 0.7]))
            place = self.op(op, knots, x, side=w.pick(("left", "right")))
            return self.op("take", self.fit((4,)), place, bound=MAX_BOUND, axis=0)
        if op == "clip":
            low, high = self.constant(-0.77), self.fit(())
            return self.op(op, x, low, self.positive(high), bound=x.bound)
        if op == "stop_gradient":
            fixed = self.op(op, y, bound=y.bound)
            return self.op("multiply", x, fixed, bound=x.bound * y.bound)
        if op == "interp":
            knots = self.constant(np.array([-1.1, -0.3, 0.2, 0.9]))
            return self.op(op, x, knots, self.fit((4,)), bound=MAX_BOUND)
        return self.op("where", mask, x, y, bound=MAX_BOUND)

    def positions(self, length: int) -> Value:
        """A constant of positions, some from the end, some outside."""
        places = [self.writer.integer(-length, length) for _ in range(self.writer.integer(1, 3))]
        return self.constant(np.array(places))

    def index(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(
            ("getitem", "array", "take", "take_along_axis", "dynamic_slice", "argmax", "argmin")
        )
        if op == "take":
            axis = self.axis(x)
            return self.op(op, x, self.positions(x.shape[axis]), bound=x.bound, axis=axis)
        if op == "take_along_axis":
            axis = self.axis(x)
            order = self.op("argsort", self.fit(x.shape), axis=axis)
            return self.op(op, x, order, bound=x.bound, axis=axis)
        if op == "dynamic_slice":
            starts = [self.constant(np.int64(w.integer(-1, n))) for n in x.shape]
            sizes = tuple(w.integer(1, n) for n in x.shape)
            return self.op(op, x, *starts, bound=x.bound, slice_sizes=sizes)
        if op == "array":
            index = (
                (ByArray(),)
                if w.chance(2)
                else (Range(None, None, -1),) * (x.type.ndim - 1) + (ByArray(),)
            )
            length = x.shape[0 if index[0] == ByArray() else -1]
            return self.op("getitem", x, self.positions(length), bound=x.bound, index=index)
        if op.startswith("arg"):
            place = self.op(op, self.fit(x.shape), axis=0)
            return self.op("getitem", x, place, bound=x.bound, index=(ByArray(),))
        return self.op("getitem", x, bound=x.bound, index=self.static_index(x))

    def static_index(self, x: Value) -> tuple[Any, ...]:
        items: list[Any] = []
        for length in x.shape:
            kind = self.writer.integer(0, 3)
            if kind == 0:
                items.append(Range(None, None, None))
            elif kind == 1:
                items.append(At(self.writer.integer(-length, length - 1)))
            elif kind == 2:
                items.append(Range(None, None, self.writer.pick((-1, 2))))
            else:
                items += [NewAxis(), Range(self.writer.integer(0, length - 1), None, None)]
        return tuple(items)

    def update(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        index = (At(w.integer(-x.shape[0], x.shape[0] - 1)),)
        op = w.pick(("set", "add", "multiply", "max", "min"))
        value = self.fit(x.shape[1:])
        if w.chance(4):
            starts = [self.constant(np.int64(w.integer(-1, n))) for n in x.shape]
            corner = self.fit((1,) * x.type.ndim)
            return self.op("dynamic_update_slice", x, corner, *starts, bound=MAX_BOUND)
        if op == "add" and w.chance(2):
            places = self.positions(x.shape[0])
            return self.op("index_add", x, value, places, bound=10.0, index=(ByArray(),))
        return self.op(f"index_{op}", x, value, bound=10.0, index=index)

    def contract(self) -> Value:
        x, w = self.ranked(1, 2), self.writer
        op = w.pick(("matmul", "matmul", "outer", "einsum", "tensordot", "vecdot", "kron", "cross"))
        n = x.shape[-1]
        bound = 9 * x.bound
        if op == "outer" and x.type.ndim == 1:
            return self.op(op, x, self.fit((2,)), bound=bound)
        if op == "einsum" and x.type.ndim == 2:
            a, b = x.shape
            third = [self.fit((b,))] if w.chance(2) else []
            text = "ab,cb,b->ac" if third else "ab,ab->b"
            other = self.fit((2, b) if third else (a, b))
            return self.op(op, x, other, *third, bound=3 * bound, subscripts=text)
        if op == "tensordot":
            return self.op(op, x, self.fit((2, n)), bound=bound, x_axes=(-1,), y_axes=(1,))
        if op == "vecdot":
            return self.op(op, x, self.fit((n,)), bound=bound, axis=-1)
        if op == "kron" and x.type.size <= 3:
            return self.op(op, x, self.fit((2,) * x.type.ndim), bound=bound)
        if op == "cross" and n == 3:
            return self.op(op, x, self.fit((3,)), bound=bound, axis=-1)
        shape = w.pick(((n,), (n, 2), (2, n, 1)))
        return self.op("matmul", x, self.fit(shape), bound=bound)

    def solve(self) -> Value:
        op = self.writer.pick(
            ("eye", "inv", "det", "slogdet", "solve", "cholesky", "expm", "trace", "diagonal",
             "matrix_power", "solve_triangular", "toeplitz")
        )  # fmt: skip
        name = f"linalg.{op}"
        if op == "toeplitz":
            return self.op(name, self.fit((2,)), self.fit((3,)), bound=MAX_BOUND)
        if op == "eye":
            unit = self.op("eye", dtype=FLOAT, n_rows=2, n_cols=3, k=self.writer.integer(-1, 1))
            return self.op("multiply", unit, self.fit((3,)), bound=MAX_BOUND)
        if op == "expm":
            return self.op(name, self.matrix(0.0), bound=30.0)
        a = self.matrix(4.0)
        n = a.shape[0]
        if op == "cholesky":
            return self.op(name, a, bound=MAX_BOUND, upper=self.writer.chance(2))
        if op in ("solve", "solve_triangular"):
            b = self.fit(self.writer.pick(((n,), (n, 2))))
            lower = {"lower": self.writer.chance(2)} if op == "solve_triangular" else {}
            return self.op(name, a, b, bound=MAX_BOUND, **lower)
        if op == "slogdet":
            return self.several(name, [a], 5.0)[1]
        power = {"n": self.writer.integer(-2, 3)} if op == "matrix_power" else {}
        return self.op(name, a, bound=100.0, **power)

    def activate(self) -> Value:
        x = self.ranked(1, 2, 3)
        op = self.writer.pick(("nn.softmax", "nn.log_softmax", "attention"))
        if op == "attention":
            q, k, v = (self.fit((2, 1, 2)) for _ in range(3))
            causal = self.writer.chance(2)
            return self.op(
                "nn.dot_product_attention", q, k, v, bound=MAX_BOUND, scale=0.7, is_causal=causal
            )
        return self.op(op, x, bound=2 * x.bound + 2, axis=(self.axis(x),))

    # --- functions ---

    def callee(self, order: int, usable: Callable[[FunctionInfo], bool] = lambda _: True) -> Any:
        """The index of a function that may be differentiated so often; None if there is none."""
        infos = self.writer.infos
        indices = [
            i
            for i, info in enumerate(infos)
            if info.order + order <= MAX_ORDER
            and all(t.dtype == FLOAT for t in info.signature.params + info.signature.results)
            and usable(info)
        ]
        return self.writer.pick(indices[::-1]) if indices else None

    def arguments(self, index: int) -> list[Value]:
        return [self.fit(t.shape) for t in self.writer.infos[index].signature.params]

    def use(self) -> Value:
        op = self.writer.pick(("call", "checkpoint", "vmap", "vmap"))
        index = self.callee(0)
        if index is None:
            return self.unary()
        if op != "vmap":
            return self.call(op, index, self.arguments(index))
        shapes = [t.shape for t in self.writer.infos[index].signature.params]
        flags = self.flags(len(shapes))
        operands = [self.fit((2, *s) if flag else s) for s, flag in zip(shapes, flags, strict=True)]
        return self.call("vmap", index, operands, mapped=flags)

    def flags(self, count: int) -> tuple[int, ...]:
        flags = [int(self.writer.chance(2)) for _ in range(count)]
        flags[self.writer.integer(0, count - 1)] = 1
        return tuple(flags)

    def differentiate(self) -> Value:
        """Adds a derivative operator, at any of its layouts."""
        w = self.writer
        op = w.pick(tuple(DIFFERENTIALS))
        order, scalar = DIFFERENTIALS[op]
        operator = {}
        if op.endswith("estimate"):
            operator = {"operator": w.pick(("jacobian", "hessian"))}
            scalar = operator["operator"] == "hessian"
            order = 2 if scalar else 1
        square = op == "jacobian_trace" or (op.endswith("estimate") and not scalar)
        index = self.callee(
            order,
            lambda info: (
                info.signature.results[0] in info.signature.params
                if square
                else not scalar or info.signature.results[0].shape == ()
            ),
        )
        if index is None:
            return self.use()
        if op == "batched_jacobian":
            return self.batched_jacobian(index)
        params, results = (getattr(w.infos[index].signature, n) for n in ("params", "results"))
        if square:
            position = params.index(results[0])
            captures = w.integer(0, position)
            wrt: tuple[int, ...] = (position - captures,)
        else:
            captures = w.integer(0, len(params) - 1)
            free = range(len(params) - captures)
            wrt = tuple(i for i in free if w.chance(2)) or (free[-1],)
            wrt = wrt[::-1] if w.chance(3) else wrt
        num_aux = len(results) - 1 if scalar or square or w.chance(2) else 0
        attrs: dict[str, Any] = {
            "num_captures": captures, "wrt": wrt, "num_aux": num_aux, **operator,
        }  # fmt: skip
        leaves = [params[captures + i] for i in wrt]
        extras: list[TensorType] = []
        if op in ("jvp", "hvp"):
            extras = leaves
        elif op == "vjp":
            extras = list(results[: len(results) - num_aux])
        elif op.endswith("estimate"):
            attrs |= {"num_samples": w.integer(1, 3), "probes": True}
            extras = [float_type((attrs["num_samples"], *leaf.shape)) for leaf in leaves]
        elif op in ("jacobian", "hessian", "hessian_diagonal", "laplacian"):
            attrs["chunk"] = w.integer(0, 2)
        if op == "jacobian":
            attrs["mode"] = w.pick(("auto", "forward", "reverse"))
        if op == "laplacian":
            attrs["with_grad"] = w.chance(2)
        operands = [*self.arguments(index), *(self.fit(t.shape) for t in extras)]
        outputs = self.several(op, operands, 30.0, [index], **attrs)
        if op.endswith("estimate") and attrs["num_samples"] == 1:
            # The errors are infinite.
            outputs = [x for place, x in enumerate(outputs) if place == 1]
        return self.tame(w.pick(outputs[: len(outputs) - num_aux or None][::-1]))

    def batched_jacobian(self, index: int) -> Value:
        """Of a function that is seen to keep samples apart, since it maps over them."""
        w = self.writer
        params = w.infos[index].signature.params
        flags = self.flags(len(params))
        types = [float_type((2, *t.shape)) if f else t for t, f in zip(params, flags, strict=True)]
        batched = w.write(
            types,
            lambda body: body.several("vmap", body.values[:], 30.0, [index], mapped=flags),
        )
        wrt = (w.integer(0, len(params) - 1),)
        mode = w.pick(("auto", "forward", "reverse"))
        return self.call(
            "batched_jacobian", batched, self.arguments(batched), mapped=flags, wrt=wrt, mode=mode
        )

    # --- control ---

    def loop(self) -> Value:
        """Adds a choice or a loop over a function that is written for it."""
        w, x = self.writer, self.fit(self.writer.pick(((), (2,))))
        captured = self.newest()
        op = w.pick(("cond", "switch", "fori_loop", "scan", "while_loop", "map"))
        types = [captured.type, x.type]

        def run(body: Body) -> list[Value]:
            state = body.fit(x.shape)
            product = body.op("multiply", state, body.total(body.values[0]), bound=9.0)
            return [body.op(w.pick(("tanh", "sin", "atan")), product)]

        if op == "cond":
            branches = [w.write(types, run), w.write(types, run)]
            choice = self.op("less", self.total(x), self.random(()))
            inputs = [captured, captured, choice, x]
            return self.several(op, inputs, 2.0, branches, captures=(1, 1))[0]
        if op == "switch":
            branches = [w.write(t, run) for t in (types, [x.type], types)]
            choice = self.constant(np.int32(w.integer(-1, 3)))
            inputs = [captured, captured, choice, x]
            return self.several(op, inputs, 2.0, branches, captures=(1, 0, 1))[0]
        if op == "fori_loop":
            count = TensorType(np.dtype(np.int64), ())
            body = w.write([captured.type, count, x.type], run)
            low = w.integer(-1, 2)
            bounds = {"lower": low, "upper": low + w.integer(0, 3)}
            return self.several(op, [captured, x], 2.0, [body], captures=(1,), **bounds)[0]
        if op == "while_loop":
            body = w.write(types, run)
            far = w.write(
                [x.type], lambda b: [b.op("greater", b.total(b.values[0]), b.constant(0.31))]
            )
            inputs = [captured, x]
            return self.several(
                op, inputs, MAX_BOUND, [far, body], captures=(0, 1), max_iterations=3
            )[0]
        if op == "map":
            body = w.write(types, run)
            rows = self.fit((3, *x.shape))
            size = w.integer(0, 2)
            return self.several(op, [captured, rows], 2.0, [body], captures=(1,), batch_size=size)[
                0
            ]

        def advance(body: Body) -> list[Value]:
            _, carry, row = body.values[:3]
            body.op("add", carry, row, bound=MAX_BOUND)
            return [*run(body), body.fit((2,))]

        body = w.write([*types, x.type], advance)
        attrs = {"num_carry": 1, "length": 3, "reverse": w.chance(2)}
        inputs = [captured, x, self.fit((3, *x.shape))]
        return w.pick(self.several(op, inputs, MAX_BOUND, [body], captures=(1,), **attrs))


_same = lambda b: b  # noqa: E731
_one = lambda b: 1.6  # noqa: E731
_exp = lambda b: float(np.exp(b))  # noqa: E731
_more = lambda b: b + 1.0  # noqa: E731

UNARY: tuple[tuple[str, str, Callable[[float], float]], ...] = (
    *((op, "", _one) for op in (
        "sin", "cos", "tanh", "atan", "asinh", "special.erf", "special.erfc", "special.expit",
        "special.ndtr", "special.i0e", "sign", "floor",
    )),
    *((op, "", _same) for op in (
        "abs", "negative", "nn.relu", "nn.elu", "nn.leaky_relu", "nn.silu", "nn.gelu", "nn.mish",
    )),
    *((op, "", _more) for op in ("nn.softplus", "nn.log_sigmoid", "nn.selu", "round", "trunc")),
    *((op, "", _exp) for op in ("exp", "expm1", "exp2", "sinh", "cosh", "special.i0")),
    ("square", "", lambda b: b * b),
    ("integer_pow", "", lambda b: b**3),
    ("special.log_ndtr", "", lambda b: b * b + 1),
    *((op, "positive", lambda b: 3.0) for op in (
        "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "cbrt", "special.digamma",
        "ceil",
    )),
    *((op, "positive", lambda b: 30.0) for op in (
        "special.gammaln", "special.entr", "acosh", "special.polygamma",
    )),
    ("special.i1", "positive", _exp),
    *((op, "inside", _one) for op in ("asin", "acos", "atanh", "tan", "special.erfinv")),
    *((op, "unit", lambda b: 3.0) for op in ("special.logit", "special.ndtri")),
)  # fmt: skip
"""Op, what its operand is brought into, and the bound of its result."""

BINARY = (
    "add", "subtract", "multiply", "multiply", "maximum", "minimum", "divide", "atan2", "hypot",
    "logaddexp", "pow", "remainder", "fmod", "floor_divide", "copysign", "special.xlogy",
    "special.xlog1py",
    "special.betaln", "special.gammainc",
)  # fmt: skip

COMPARISONS = ("less", "greater_equal", "not_equal", "equal", "greater", "less_equal")

REDUCTIONS = (
    "sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "linalg.vector_norm",
    "cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min",
    "cumulative_logsumexp",
)  # fmt: skip

DIFFERENTIALS = {
    "jvp": (1, False),
    "vjp": (1, False),
    "grad": (1, True),
    "jacobian": (1, False),
    "batched_jacobian": (1, False),
    "hessian": (2, False),
    "hessian_diagonal": (2, False),
    "laplacian": (2, False),
    "hvp": (2, True),
    "jacobian_trace": (1, False),
    "trace_estimate": (1, False),
    "diagonal_estimate": (1, False),
}
"""Operator: the orders it differentiates, and whether it takes scalar functions alone."""
