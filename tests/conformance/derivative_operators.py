"""What the derivative operators give, from directional derivatives alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance import dual_numbers as d
from conformance.differentiator import Attrs, Callee, Differentiator, columns_of
from conformance.dual_numbers import Number, linear, plain


class Point:
    """A function of the differentiated leaves alone, and what else a node gives."""

    def __init__(
        self, run: Differentiator, f: Callee, inputs: Sequence[Number], attrs: Attrs
    ) -> None:
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
        by_leaf.append([columns_of(c, plain(leaf).shape) for c in columns])
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
        run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
    ) -> list[Number]:
        point = Point(run, callees[0], inputs, attrs)
        return [*point.values, *rule(point, attrs), *point.aux]

    return apply


DERIVATIVES: dict[str, Callable[..., list[Number]]] = {
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
}
"""Called with (interpreter, functions, operands, attributes)."""
