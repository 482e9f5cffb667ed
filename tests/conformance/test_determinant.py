"""The determinant at singular matrices, against the coefficients of a polynomial in integers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradwire.tensors import Array
from gradwire_server.compiler.lowering import LOWERINGS

RNG = np.random.default_rng(11)


def _det(x: Any) -> Any:
    return LOWERINGS["linalg.det"](x)


def _exact_det(x: Array) -> Fraction:
    """The determinant of a matrix of integers, by elimination in fractions."""
    rows, value = [[Fraction(v) for v in row] for row in x.tolist()], Fraction(1)
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            rows[pivot], rows[k], value = rows[k], rows[pivot], -value
        value *= rows[k][k]
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [v - factor * w for v, w in zip(rows[i], rows[k], strict=True)]
    return value


def _exact_derivative(a: Array, e: Array, order: int) -> float:
    """Of t ↦ det(a + t e) at 0: the determinant is linear in each row."""
    total = Fraction(0)
    for rows in combinations(range(len(a)), order):
        mixed = a.copy()
        mixed[list(rows)] = e[list(rows)]
        total += _exact_det(mixed)
    return float(factorial(order) * total)


def _matrices(n: int) -> list[Array]:
    """Integers of every rank, with zeros where elimination meets them first, too."""
    found = []
    for rank in range(n + 1):
        found.append(RNG.integers(-3, 4, (n, rank)) @ RNG.integers(-3, 4, (rank, n)))
        found.append(np.diag([2] * rank + [0] * (n - rank))[RNG.permutation(n)])
    first = RNG.integers(-3, 4, (n, n))
    first[:, 0] = 0
    return [*found, first]


def _derivatives(order: int) -> Callable[[Array, Array], Any]:
    """All derivatives along a line up to an order."""

    def slope(line: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda t: jax.jvp(line, (t,), (1.0,))[1]

    def along(a: Any, e: Any) -> Any:
        lines = [lambda t: _det(a + t * e)]
        for _ in range(order):
            lines.append(slope(lines[-1]))
        return jnp.stack([line(0.0) for line in lines])

    return along


@pytest.mark.parametrize(
    ("n", "order"),
    [(4, 4), (6, 2), *(pytest.param(n, 4, marks=pytest.mark.long) for n in (5, 6, 8))],
)
def test_derivatives_at_every_rank(n: int, order: int) -> None:
    """Exact to rounding, whatever the rank and wherever the zeros stand."""
    matrices = _matrices(n)
    directions = [RNG.integers(-3, 4, (n, n)) for _ in matrices]
    got = jax.jit(jax.vmap(_derivatives(order)))(
        np.array(matrices, float), np.array(directions, float)
    )
    for a, e, row in zip(matrices, directions, np.asarray(got), strict=True):
        for k, value in enumerate(row):
            wanted = _exact_derivative(a, e, k)
            scale = np.linalg.norm(a, 2) ** (n - k) * np.linalg.norm(e, 2) ** k
            assert abs(value - wanted) <= 1e-13 * max(scale, abs(wanted)), (a, k)


@pytest.mark.parametrize("dtype", ["complex128", pytest.param("float64", marks=pytest.mark.long)])
def test_the_hessian_at_a_singular_matrix(dtype: str) -> None:
    """Of five rows, forward over reverse: signed minors without two rows and columns."""
    n = 5
    x = RNG.normal(size=(n, 3)) @ RNG.normal(size=(3, n))
    if dtype == "complex128":
        x = x + 1j * RNG.normal(size=(n, 3)) @ RNG.normal(size=(3, n))
    complex_valued = dtype == "complex128"

    def gradient(x: Any) -> Any:
        return jax.grad(_det, holomorphic=complex_valued)(x)

    got = np.asarray(jax.jit(jax.jacfwd(gradient, holomorphic=complex_valued))(x))
    wanted = np.zeros((n,) * 4, dtype)
    for i, k in combinations(range(n), 2):
        for j, m in combinations(range(n), 2):
            left = np.delete(np.delete(x, (i, k), 0), (j, m), 1)
            minor = (-1) ** (i + j + k + m) * np.linalg.det(left)
            wanted[i, j, k, m] = wanted[k, m, i, j] = minor
            wanted[i, m, k, j] = wanted[k, j, i, m] = -minor
    np.testing.assert_allclose(got, wanted, 0, 1e-12 * np.abs(wanted).max())


def test_units_of_rows_and_columns_do_not_matter() -> None:
    """A matrix that is regular but for its units keeps all digits of its derivatives."""
    n = 7
    rows, columns = 10.0 ** RNG.integers(-30, 31, n), 10.0 ** RNG.integers(-30, 31, n)
    x, e = RNG.normal(size=(n, n)) + 3 * np.eye(n), RNG.normal(size=(n, n))
    derivatives = jax.jit(_derivatives(2))
    scales = rows[:, None] * columns
    got, plain = derivatives(x * scales, e * scales), derivatives(x, e)
    factor = np.prod(rows * columns[::-1])
    np.testing.assert_allclose(got, np.asarray(plain) * factor, 1e-9)
    slope = np.linalg.solve(x, e)
    wanted = np.linalg.det(x) * (np.trace(slope) ** 2 - np.trace(slope @ slope))
    np.testing.assert_allclose(plain[2], wanted, 1e-11)


@pytest.mark.long
def test_beyond_the_orders_that_are_offered_it_is_nan() -> None:
    """Of a 5 × 5 zero the first four derivatives are 0 and the fifth, 120 det e, isn't offered."""
    got = np.asarray(jax.jit(_derivatives(5))(np.zeros((5, 5)), np.eye(5)))
    np.testing.assert_array_equal(got, [0, 0, 0, 0, 0, np.nan])


@pytest.mark.parametrize("lead", [(), (2,), (0,)])
def test_no_rows(lead: tuple[int, ...]) -> None:
    """The determinant of nothing is 1, its derivative has no elements."""
    x = np.zeros((*lead, 0, 0))
    value, pull = jax.vjp(_det, x)
    np.testing.assert_array_equal(value, np.ones(lead))
    assert pull(value)[0].shape == x.shape
    np.testing.assert_array_equal(jax.jvp(_det, (x,), (x,))[1], np.zeros(lead))
