"""Ops on positions where elements tie, repeat or are not numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradwire.opset.core import ByArray
from gradwire_server.lowering import LOWERINGS

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
