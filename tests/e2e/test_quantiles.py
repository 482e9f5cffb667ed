"""Derivatives of medians and quantiles, and of what leaves NaN out: to the elements that count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

NAN = np.nan
X = np.array([3.0, 1.0, NAN, 2.0, 10.0])
NUMBERS = X[[0, 1, 3, 4]]


def _both_ways(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """The Jacobian, forward and in reverse."""
    forward = gw.jacobian(function, mode="forward")(x)
    return forward, gw.jacobian(function, mode="reverse")(x)


def test_the_weights_of_quantiles() -> None:
    """Of sorted 1, 2, 3, 10 at q: those of the elements that the method takes."""

    def f(x: Any) -> Any:
        return np.stack(
            [
                np.median(x),
                np.quantile(x, 0.3),
                np.percentile(x, 90),
                np.quantile(x, 0.6, method="nearest"),
                np.quantile(x, 0.5, method="averaged_inverted_cdf"),
                np.quantile(x, 0.5, method="hazen"),
            ]
        )

    # The columns are those of 3, 1, 2, 10.
    wanted = [
        [0.5, 0, 0.5, 0],
        [0, 0.1, 0.9, 0],
        [0.3, 0, 0, 0.7],
        [1, 0, 0, 0],
        [0.5, 0, 0.5, 0],
        [0.5, 0, 0.5, 0],
    ]
    for jacobian in _both_ways(f, NUMBERS):
        np.testing.assert_allclose(jacobian, wanted, atol=1e-14)


def test_quantiles_of_numbers_alone() -> None:
    """NaN have no weight, and the others that of the quantiles without them."""

    def f(x: Any) -> Any:
        return np.stack([np.nanmedian(x), np.nanquantile(x, 0.3), np.nanpercentile(x, 90)])

    wanted = [[0.5, 0, 0, 0.5, 0], [0, 0.1, 0, 0.9, 0], [0.3, 0, 0, 0, 0.7]]
    for jacobian in _both_ways(f, X):
        np.testing.assert_allclose(jacobian, wanted, atol=1e-14)


def test_a_quantile_by_its_place() -> None:
    """The slope is the gap between the neighbours times n - 1; outside of [0, 1] all is NaN."""

    def f(q: Any) -> Any:
        return np.quantile(NUMBERS, q), np.nanpercentile(X, 100 * q)

    value, slope = gw.jvp(f, (np.array([0.3, 0.8]),), (np.ones(2),))
    np.testing.assert_allclose(value, [[1.9, 5.8]] * 2, 1e-12)
    np.testing.assert_allclose(slope, [[3, 21]] * 2, 1e-12)
    for q in (-0.1, 1.1, NAN):
        with pytest.warns(gw.NonFiniteWarning):
            value, slope = gw.jvp(f, (np.array([q]),), (np.ones(1),))
        assert np.isnan([value, slope]).all()


def test_sums_and_means_of_numbers_alone() -> None:
    """Closed forms over 3, 1, 2, 10, whose mean is 4 and variance 12.5; 0 for NaN."""

    def f(x: Any) -> Any:
        of_x = (np.nansum, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nanprod)
        return np.stack([function(x) for function in of_x])

    centred = np.where(np.isnan(X), 0, X - 4)
    ones = np.where(np.isnan(X), 0, 1)
    wanted = [
        ones,
        ones / 4,
        centred / 2,
        centred / (4 * np.sqrt(12.5)),
        [0, 0, 0, 0, 1],
        [0, 1, 0, 0, 0],
        np.where(np.isnan(X), 0, 60 / X),
    ]
    for jacobian in _both_ways(f, X):
        np.testing.assert_allclose(jacobian, wanted, 1e-13, 1e-14)


def test_without_any_number_derivatives_are_nan_too() -> None:
    """Where the result is NaN its gradient is, which may be all that is asked for."""

    def f(x: Any) -> Any:
        of_x = (np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nanmedian)
        return np.stack([function(x) for function in of_x])

    with pytest.warns(gw.NonFiniteWarning):
        jacobians = _both_ways(f, np.full(3, NAN))
    assert np.isnan(jacobians).all()
    with pytest.warns(gw.NonFiniteWarning):
        gradient = gw.grad(np.median)(X)
    assert np.isnan(gradient).any()


def test_the_spread_of_equal_numbers_has_a_derivative() -> None:
    """It is 0, as that of a norm is at 0."""
    np.testing.assert_array_equal(gw.grad(np.nanstd)(np.array([2.0, NAN, 2.0])), [0, 0, 0])


def test_residuals_of_least_squares() -> None:
    """|b - A x|² has the gradient 2 (b - A x) by b; NaN, and its derivative, where ranks fall."""
    a, b = np.array([[1.0, 2], [3, 4], [5, 7]]), np.array([1.0, -1, 2])

    def f(a: Any, b: Any) -> Any:
        return np.linalg.lstsq(a, b)[1][0]

    rest = b - a @ np.linalg.lstsq(a, b)[0]
    value, gradient = gw.value_and_grad(f, argnums=1)(a, b)
    np.testing.assert_allclose(value, rest @ rest, 1e-10)
    np.testing.assert_allclose(gradient, 2 * rest, 1e-10)
    with pytest.warns(gw.NonFiniteWarning):
        value, gradient = gw.value_and_grad(f, argnums=1)(np.ones((3, 2)), b)
    assert np.isnan(value)
    assert np.isnan(gradient).all()


@pytest.mark.parametrize("method", ["inverted_cdf", "averaged_inverted_cdf", "closest_observation"])
def test_places_where_a_quantile_jumps_are_numpys(method: str) -> None:
    """For every count up to 40 and q on and beside the jumps, which rounding could move."""
    count = 40
    ranks = np.arange(count, dtype=float)[:, None]
    x = np.where(ranks <= ranks.T, ranks, NAN)  # column j holds the numbers 0 to j
    q = np.concatenate([np.arange(21) / 20, np.arange(1, 12) / 12, [1e-17, 0.1 + 0.2, 1 - 1e-16]])

    def f(x: Any, q: Any) -> Any:
        return np.nanquantile(x, q, axis=0, method=method)

    wanted = f(x, q)
    np.testing.assert_array_equal(gw.remote(f)(x, q), wanted)
    np.testing.assert_array_equal(gw.remote(lambda x: f(x, q))(x), wanted)
