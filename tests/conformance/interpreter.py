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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance import dual_numbers as d
from conformance.array_functions import APPLY, distances
from conformance.dual_numbers import Dual, Number, linear, plain
from gradwire.ir import Node, Program

Attrs = Mapping[str, Any]
Run = Callable[..., list[Number]]
"""Called with numbers, returns numbers."""


@dataclass(frozen=True)
class Callee:
    """A function that a node uses."""

    num_params: int
    run: Run

    def __call__(self, *inputs: Number) -> list[Number]:
        return self.run(*inputs)


class Interpreter:
    """One run of a program.

    Args:
        program: What to run.
        frozen: The constants of an earlier run, see below, to be used again.

    Attributes:
        decisions: Which side of each kink, and every discrete value, in order.
        margin: The smallest distance from a kink, other than 0.
        constants: What ``stop_gradient`` and the like made, in order. A finite
            difference must not move them.
    """

    def __init__(self, program: Program, frozen: Sequence[Any] | None = None) -> None:
        self.program = program
        self.decisions: list[bytes] = []
        self.margin = np.inf
        self.constants: list[Any] = []
        self._frozen = frozen
        self._level = 0

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

    def freeze(self, value: Any) -> Any:
        """Returns a value that no derivative sees: that of the earlier run, if there was one."""
        self.constants.append(value)
        return value if self._frozen is None else self._frozen[len(self.constants) - 1]

    # --- derivatives ---

    def along(
        self, f: Run, leaves: Sequence[Number], tangents: Sequence[Number]
    ) -> tuple[list[Number], list[Number]]:
        """Returns values and their derivatives along one direction."""
        self._level += 1
        level = self._level
        outputs = f(*(Dual(level, x, t) for x, t in zip(leaves, tangents, strict=True)))
        return (
            [d.primal_of(level, x) for x in outputs],
            [d.tangent_of(level, x) for x in outputs],
        )

    def jacobians(self, f: Run, leaves: Sequence[Number]) -> list[list[Number]]:
        """Returns ``(*out, *in)`` for each value and each leaf."""
        by_leaf = []
        for place, leaf in enumerate(leaves):
            columns = []
            for index in np.ndindex(plain(leaf).shape):
                tangents = [np.zeros_like(plain(x)) for x in leaves]
                tangents[place][index] = 1
                columns.append(self.along(f, leaves, tangents)[1])
            by_leaf.append([_columns(c, plain(leaf).shape) for c in zip(*columns, strict=True)])
        return [list(row) for row in zip(*by_leaf, strict=True)]


def _columns(columns: Sequence[Number], shape: tuple[int, ...]) -> Number:
    return linear(lambda *c: np.stack(c, -1).reshape(np.shape(c[0]) + shape), *columns)


# --- operators -----------------------------------------------------------------------


class Point:
    """A function of the differentiated leaves alone, and what else a node gives."""

    def __init__(self, run: Interpreter, f: Callee, inputs: Sequence[Number], attrs: Attrs) -> None:
        places = [attrs.get("num_captures", 0) + i for i in attrs.get("wrt", (0,))]
        self.run = run
        self.f = f
        self.operands = list(inputs[: f.num_params])
        self.places = places
        self.leaves = [inputs[place] for place in places]
        self.extras = list(inputs[f.num_params :])
        results = f(*self.operands)
        split = len(results) - attrs.get("num_aux", 0)
        self.values, self.aux = results[:split], results[split:]

    def __call__(self, *leaves: Number) -> list[Number]:
        operands = list(self.operands)
        for place, leaf in zip(self.places, leaves, strict=True):
            operands[place] = leaf
        return self.f(*operands)[: len(self.values)]

    def along(self, tangents: Sequence[Number]) -> list[Number]:
        """The derivatives of the values along a direction."""
        return self.run.along(self, self.leaves, tangents)[1]

    def second_along(self, tangents: Sequence[Number]) -> list[Number]:
        """The second derivatives of the values along a direction."""

        def first(*leaves: Number) -> list[Number]:
            return self.run.along(self, leaves, tangents)[1]

        return self.run.along(first, self.leaves, tangents)[1]

    def jacobians(self, *leaves: Number) -> list[Number]:
        """``(*out, *in)`` for each value, and for each leaf of it."""
        rows = self.run.jacobians(self, leaves or self.leaves)
        return [x for row in rows for x in row]

    def pulled_back(self, cotangents: Sequence[Number], *leaves: Number) -> list[Number]:
        """uᵀJ for each leaf."""
        rows = self.run.jacobians(self, leaves or self.leaves)
        products = [
            [_over_values(u, x) for x in row] for u, row in zip(cotangents, rows, strict=True)
        ]
        return [linear(lambda *a: sum(a), *column) for column in zip(*products, strict=True)]


def _over_values(u: Number, jacobian: Number) -> Number:
    ndim = plain(u).ndim
    return d.multilinear(lambda a, b: np.tensordot(a, b, ndim), u, jacobian)


def _jvp(point: Point, attrs: Attrs) -> list[Number]:
    return point.along(point.extras)


def _vjp(point: Point, attrs: Attrs) -> list[Number]:
    return point.pulled_back(point.extras)


def _grad(point: Point, attrs: Attrs) -> list[Number]:
    return point.pulled_back([np.ones(())])


def _jacobian(point: Point, attrs: Attrs) -> list[Number]:
    return point.jacobians()


def _batched_jacobian(point: Point, attrs: Attrs) -> list[Number]:
    flags = [attrs["mapped"][i] for i in attrs.get("wrt", (0,))]
    blocks = []
    for value, row in zip(point.values, point.run.jacobians(point, point.leaves), strict=True):
        batch_of_leaf = plain(value).ndim
        for jacobian, flag in zip(row, flags, strict=True):
            blocks.append(_diagonal_blocks(jacobian, batch_of_leaf) if flag else jacobian)
    return blocks


def _diagonal_blocks(jacobian: Number, axis: int) -> Number:
    return linear(lambda a: np.moveaxis(np.diagonal(a, axis1=0, axis2=axis), -1, 0), jacobian)


def _hessian(point: Point, attrs: Attrs) -> list[Number]:
    rows = point.run.jacobians(point.jacobians, point.leaves)
    return [x for row in rows for x in row]


def _unit_vectors(point: Point) -> list[list[list[Any]]]:
    """The unit vectors of each leaf."""
    units = []
    for place, leaf in enumerate(point.leaves):
        of_leaf = []
        for index in np.ndindex(plain(leaf).shape):
            unit = [np.zeros_like(plain(x)) for x in point.leaves]
            unit[place][index] = 1
            of_leaf.append(unit)
        units.append(of_leaf)
    return units


def _hessian_diagonal(point: Point, attrs: Attrs) -> list[Number]:
    by_leaf = []
    for leaf, units in zip(point.leaves, _unit_vectors(point), strict=True):
        columns = zip(*(point.second_along(unit) for unit in units), strict=True)
        by_leaf.append([_columns(c, plain(leaf).shape) for c in columns])
    return [x for row in zip(*by_leaf, strict=True) for x in row]


def _laplacian(point: Point, attrs: Attrs) -> list[Number]:
    seconds = [point.second_along(unit) for units in _unit_vectors(point) for unit in units]
    sums = [linear(lambda *a: sum(a), *of_value) for of_value in zip(*seconds, strict=True)]
    return [*(point.jacobians() if attrs.get("with_grad") else []), *sums]


def _hvp(point: Point, attrs: Attrs) -> list[Number]:
    def gradient(*leaves: Number) -> list[Number]:
        return point.pulled_back([np.ones(())], *leaves)

    return point.run.along(gradient, point.leaves, point.extras)[1]


def _jacobian_trace(point: Point, attrs: Attrs) -> list[Number]:
    terms = []
    for place, units in enumerate(_unit_vectors(point)):
        for unit in units:
            terms.append(_dot([unit[place]], [point.along(unit)[place]]))
    return [linear(lambda *a: sum(a), *terms)]


def _dot(x: Sequence[Number], y: Sequence[Number]) -> Number:
    products = [d.total(a * b, tuple(range(plain(a).ndim))) for a, b in zip(x, y, strict=True)]
    return linear(lambda *a: sum(a), *products)


def _products(point: Point, attrs: Attrs) -> list[tuple[list[Number], list[Number]]]:
    """Each probe, and the matrix times it."""
    pairs = []
    for sample in range(attrs["num_samples"]):
        probe = [linear(lambda a, i=sample: a[i], x) for x in point.extras]
        if attrs["operator"] == "jacobian":
            pairs.append((probe, point.along(probe)))
        else:

            def gradient(*leaves: Number) -> list[Number]:
                return point.pulled_back([np.ones(())], *leaves)

            pairs.append((probe, point.run.along(gradient, point.leaves, probe)[1]))
    return pairs


def _mean_and_error(point: Point, samples: Sequence[Number]) -> list[Number]:
    count = len(samples)
    mean = linear(lambda *a: sum(a) / count, *samples)
    if count == 1:
        return [mean, np.full_like(plain(mean), np.inf)]
    fixed = np.stack([plain(x) for x in samples])
    return [mean, point.run.freeze(np.std(fixed, axis=0, ddof=1) / np.sqrt(count))]


def _trace_estimate(point: Point, attrs: Attrs) -> list[Number]:
    return _mean_and_error(point, [_dot(v, p) for v, p in _products(point, attrs)])


def _diagonal_estimate(point: Point, attrs: Attrs) -> list[Number]:
    pairs = _products(point, attrs)
    by_leaf = [
        _mean_and_error(point, [v[place] * p[place] for v, p in pairs])
        for place in range(len(point.leaves))
    ]
    return [x[0] for x in by_leaf] + [x[1] for x in by_leaf]


def _derivative(rule: Callable[[Point, Attrs], list[Number]]) -> Callable[..., list[Number]]:
    def apply(
        run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
    ) -> list[Number]:
        point = Point(run, callees[0], inputs, attrs)
        return [*point.values, *rule(point, attrs), *point.aux]

    return apply


# --- functions without derivatives ---------------------------------------------------


def _call(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    return callees[0](*inputs)


def _slice(x: Number, row: int) -> Number:
    return linear(lambda a: a[row], x)


def _stack(parts: Sequence[Sequence[Number]]) -> list[Number]:
    """Stacks the results of several runs on axis 0."""
    return [linear(lambda *a: np.stack(a), *results) for results in zip(*parts, strict=True)]


def _vmap(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    flags = attrs["mapped"]
    (size,) = {plain(x).shape[0] for x, flag in zip(inputs, flags, strict=True) if flag}
    pairs = list(zip(inputs, flags, strict=True))
    return _stack(
        [callees[0](*(_slice(x, i) if flag else x for x, flag in pairs)) for i in range(size)]
    )


def _divide(
    callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> tuple[list[Run], list[Number]]:
    """Returns the functions with their captured values filled in, and the other operands."""
    counts = attrs.get("captures") or (0,) * len(callees)
    closed: list[Run] = []
    first = 0
    for f, count in zip(callees, counts, strict=True):
        captured = inputs[first : first + count]
        closed.append(lambda *xs, f=f, captured=captured: f(*captured, *xs))
        first += count
    return closed, list(inputs[first:])


def _cond(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (on_true, on_false), (predicate, *operands) = _divide(callees, inputs, attrs)
    return (on_true if plain(predicate) else on_false)(*operands)


def _switch(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    branches, (index, *operands) = _divide(callees, inputs, attrs)
    return branches[min(max(int(plain(index)), 0), len(branches) - 1)](*operands)


def _while_loop(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (condition, body), state = _divide(callees, inputs, attrs)
    trips = 0
    while plain(condition(*state)[0]) and trips < (attrs.get("max_iterations", 0) or np.inf):
        state = body(*state)
        trips += 1
    return state


def _fori_loop(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (body,), state = _divide(callees, inputs, attrs)
    for index in range(attrs["lower"], attrs["upper"]):
        state = body(np.int64(index), *state)
    return state


def _scan(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (body,), own = _divide(callees, inputs, attrs)
    carry, sequences = own[: attrs["num_carry"]], own[attrs["num_carry"] :]
    steps = range(attrs["length"])
    outputs = []
    for step in reversed(steps) if attrs.get("reverse") else steps:
        results = body(*carry, *(_slice(x, step) for x in sequences))
        carry = results[: len(carry)]
        outputs.append(results[len(carry) :])
    return [*carry, *_stack(outputs[::-1] if attrs.get("reverse") else outputs)]


def _map(
    run: Interpreter, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (f,), own = _divide(callees, inputs, attrs)
    return _stack([f(*(_slice(x, i) for x in own)) for i in range(plain(own[0]).shape[0])])


OPERATORS: dict[str, Callable[..., list[Number]]] = {
    "call": _call,
    "checkpoint": _call,
    "vmap": _vmap,
    "jvp": _derivative(_jvp),
    "vjp": _derivative(_vjp),
    "grad": _derivative(_grad),
    "jacobian": _derivative(_jacobian),
    "batched_jacobian": _derivative(_batched_jacobian),
    "hessian": _derivative(_hessian),
    "hessian_diagonal": _derivative(_hessian_diagonal),
    "laplacian": _derivative(_laplacian),
    "hvp": _derivative(_hvp),
    "jacobian_trace": _derivative(_jacobian_trace),
    "trace_estimate": _derivative(_trace_estimate),
    "diagonal_estimate": _derivative(_diagonal_estimate),
    "cond": _cond,
    "switch": _switch,
    "while_loop": _while_loop,
    "fori_loop": _fori_loop,
    "scan": _scan,
    "map": _map,
}
"""The ops with functions: called with (interpreter, functions, operands, attributes)."""
