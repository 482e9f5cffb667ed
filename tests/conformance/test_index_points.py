"""Ops on positions where elements tie, repeat or are not numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradwire.opset.core import ByArray
from gradwire_server.compiler.lowering import LOWERINGS

NAN = np.nan


def _at(op: str, *positions: int) -> Callable[..., Any]:
    """The op at positions of a vector, as a function of the vector and the value."""

    def run(x: Any, value: Any) -> Any:
        return LOWERINGS[op](x, value, jnp.asarray(positions), index=(ByArray(),))

    return run


def _gradients(function: Callable[..., Any], x: list[float], value: list[float]) -> Any:
    """Of the sum of the result."""
    return jax.grad(lambda x, v: function(x, v).sum(), (0, 1))(jnp.asarray(x), jnp.asarray(value))


@pytest.mark.parametrize("op", ["index_max", "index_min"])
def test_ties_share_the_derivative(op: str) -> None:
    """Evenly between x and all values that reach it."""
    of_x, of_value = _gradients(_at(op, 1), [1.0, 5.0], [5.0])
    np.testing.assert_array_equal(of_x, [1, 0.5])
    np.testing.assert_array_equal(of_value, [0.5])
    of_x, of_value = _gradients(_at(op, 0, 0, 1), [2.0, 3.0], [2.0, 2.0, 3.0])
    np.testing.assert_allclose(of_x, [1 / 3, 1 / 2], 1e-15)
    np.testing.assert_allclose(of_value, [1 / 3, 1 / 3, 1 / 2], 1e-15)


def test_products_at_repeated_positions_with_zeros() -> None:
    """The derivative by a factor is the product of the others, also where that is 0."""
    x, value = [2.0, 3.0, 7.0], [0.0, 5.0, 0.0, 4.0]
    multiply = _at("index_multiply", 0, 1, 1, 1)
    np.testing.assert_array_equal(multiply(jnp.asarray(x), jnp.asarray(value)), [0, 0, 7])
    of_x, of_value = _gradients(multiply, x, value)
    np.testing.assert_array_equal(of_x, [0, 0, 1])
    np.testing.assert_array_equal(of_value, [2, 0, 60, 0])


def test_the_value_that_wins_has_the_derivative() -> None:
    """Of repeated positions, ``index_set`` differentiates the one that it kept."""
    value = [10.0, 20.0, 30.0]
    write = _at("index_set", 1, 1, 0)
    result = np.asarray(write(jnp.zeros(3), jnp.asarray(value)))
    of_x, of_value = _gradients(write, [0.0, 0.0, 0.0], value)
    np.testing.assert_array_equal(of_x, [0, 0, 1])
    np.testing.assert_array_equal(of_value, [result[1] == 10, result[1] == 20, 1])
    assert result[1] in (10, 20)


def test_reads_at_clamped_positions_have_their_derivative() -> None:
    """A position beyond the end reads, and differentiates, the last element."""

    def read(x: Any) -> Any:
        return LOWERINGS["getitem"](x, jnp.array([7, -9, 1]), index=(ByArray(),)) ** 2

    slopes = jax.grad(lambda x: read(x).sum())(jnp.array([1.0, 2, 3]))
    np.testing.assert_array_equal(slopes, [2, 4, 6])


@pytest.mark.parametrize("descending", [False, True])
def test_nan_counts_as_the_largest(descending: bool) -> None:
    """In sort, argsort and top_k alike."""
    x = jnp.array([2.0, NAN, -1.0, jnp.inf])
    order = [2, 0, 3, 1][:: -1 if descending else 1]
    attrs = {"axis": 0, "descending": descending, "stable": True}
    np.testing.assert_array_equal(LOWERINGS["sort"](x, **attrs), np.asarray(x)[order])
    np.testing.assert_array_equal(LOWERINGS["argsort"](x, **attrs), order)
    values, positions = LOWERINGS["top_k"](x, k=2)
    np.testing.assert_array_equal(values, [NAN, np.inf])
    np.testing.assert_array_equal(positions, [1, 3])


def test_searchsorted_places_nan_as_numpy_does() -> None:
    """Behind all numbers."""
    x, values = np.array([0.0, 1, NAN]), np.array([NAN, 0.5, 9])
    for side in ("left", "right"):
        got = LOWERINGS["searchsorted"](jnp.asarray(x), jnp.asarray(values), side=side)
        np.testing.assert_array_equal(got, np.searchsorted(x, values, side))  # type: ignore[call-overload]


def test_interpolation_of_nan_is_nan_and_its_ends_are_constant() -> None:
    """The derivative beyond the ends is 0."""
    xp, fp = jnp.array([0.0, 1, 2]), jnp.array([1.0, 5, 3])

    def at(x: Any) -> Any:
        return LOWERINGS["interp"](x, xp, fp)

    np.testing.assert_array_equal(at(jnp.array([NAN, -3.0, 7.0])), [NAN, 1, 3])
    slopes = jax.vmap(jax.grad(at))(jnp.array([-3.0, 0.5, 1.5, 7.0]))
    np.testing.assert_array_equal(slopes, [0, 4, -2, 0])


def _interp_weights(x: list[float], xp: list[float]) -> Any:
    """The matrix of ``interp`` as a linear function of fp, by both modes."""

    def f(fp: Any) -> Any:
        return LOWERINGS["interp"](jnp.asarray(x), jnp.asarray(xp), fp)

    fp = jnp.array([1.0, 4.0, 2.0])
    forward, reverse = jax.jit(jax.jacfwd(f))(fp), jax.jit(jax.jacrev(f))(fp)
    np.testing.assert_array_equal(forward, reverse)
    return forward


def test_interpolation_beyond_all_points_is_constant() -> None:
    """At infinity, too, the nearest point has the whole derivative."""
    weights = _interp_weights([-np.inf, np.inf, 0.5, -1.0, 9.0], [0.0, 1.0, 3.0])
    first, last = [1, 0, 0], [0, 0, 1]
    np.testing.assert_array_equal(weights, [first, last, [0.5, 0.5, 0], first, last])


def test_the_last_of_repeated_points_counts() -> None:
    """For x on them; on either side it is the nearest of them that the line meets."""
    weights = _interp_weights([0.0, 0.5, 1.0, 2.0], [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(weights, [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 1]])
    weights = _interp_weights([0.0, 0.5, -1.0], [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(weights, [[0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]])


def test_interpolation_slopes_by_x_and_by_the_points() -> None:
    """Between two points the line's slope, at a point that to its right, at the last the last."""

    def f(x: Any, xp: Any) -> Any:
        return LOWERINGS["interp"](x, xp, jnp.array([1.0, 4.0, 2.0])).sum()

    x, xp = jnp.array([0.5, 1.0, 3.0, np.inf, -np.inf]), jnp.array([0.0, 1.0, 3.0])
    of_x, of_xp = jax.jit(jax.grad(f, (0, 1)))(x, xp)
    np.testing.assert_array_equal(of_x, [3, -1, -1, 0, 0])
    # d/dxp of y0 + (x - x0) (y1 - y0) / (x1 - x0).
    np.testing.assert_array_equal(of_xp, [-1.5, -1.5 + 1, 1])


def test_an_infinite_level_leaves_other_derivatives_finite() -> None:
    """Only elements whose line ends there have a derivative that isn't finite."""

    def f(x: Any, fp: Any) -> Any:
        return LOWERINGS["interp"](x, jnp.array([0.0, 1.0, 2.0]), fp)

    x, fp = jnp.array([0.25, 1.0]), jnp.array([1.0, 2.0, jnp.inf])
    np.testing.assert_array_equal(f(x, fp), [1.25, 2])
    of_fp = jax.jit(jax.jacrev(f, 1))(x, fp)
    np.testing.assert_array_equal(of_fp, [[0.75, 0.25, 0], [0, 1, 0]])
