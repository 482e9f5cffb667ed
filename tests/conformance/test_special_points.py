"""Special functions where a sweep does not come: huge parameters, kinks, lost rules."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from gradwire_server.compiler.lowering import LOWERINGS
from gradwire_server.compiler.lowering.special import gamma, incomplete_gamma

HUGE = [1e10, 1e14, 1e18, 1e100, 1e300]


def _slope(function: Any, place: int, *operands: Any) -> Any:
    """Returns the derivative along one operand."""

    def along(x: jax.Array) -> Any:
        return function(*operands[:place], x, *operands[place + 1 :])

    x = operands[place]
    return jax.jit(lambda x: jax.jvp(along, (x,), (jnp.ones_like(x),))[1])(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("op", "sign"), [("special.gammainc", 1), ("special.gammaincc", -1)])
def test_incomplete_gamma_of_huge_parameters(op: str, sign: int, dtype: str) -> None:
    """P(a, a) = 1/2 + 1/(3 √(2πa)) to first order, DLMF 8.11.12; its slope in x is 1/√(2πa)."""
    a = jnp.asarray([x for x in HUGE if x < float(np.finfo(dtype).max)], dtype)
    wide = np.asarray(a, np.float64)
    density = 1 / np.sqrt(2 * np.pi * wide)
    rtol = 1e-13 if dtype == "float64" else 1e-7
    value = jax.jit(LOWERINGS[op])(a, a)
    np.testing.assert_allclose(value, 0.5 + sign * density / 3, rtol)
    np.testing.assert_allclose(_slope(LOWERINGS[op], 1, a, a), sign * density, 1e2 * rtol)


def test_slope_of_incomplete_gamma_by_a_huge_parameter() -> None:
    """dP/da at x = a is -1/√(2πa) to first order, since P depends on (x - a)/√a."""
    a = jnp.asarray([x for x in HUGE if x > 1e12])
    want = -1 / np.sqrt(2 * np.pi * np.asarray(a))
    np.testing.assert_allclose(_slope(LOWERINGS["special.gammainc"], 0, a, a), want, 1e-11)


def test_incomplete_gamma_takes_a_bounded_number_of_terms() -> None:
    """Whatever the parameter is, be it none."""
    counts = incomplete_gamma._count(jnp.asarray([0, 1, 1e6, 1e18, 1e300, np.inf, np.nan]))
    assert int(counts.max()) <= 200


@pytest.mark.parametrize("x", [-1.0, -1e-300, np.nan, 0.0, 2.0])
def test_entropy_has_one_derivative_in_both_modes(x: float) -> None:
    """NaN where it is -inf or NaN, and infinite at 0."""
    function, point = LOWERINGS["special.entr"], jnp.asarray(x)
    forward = jax.jvp(function, (point,), (jnp.ones_like(point),))[1]
    reverse = jax.grad(function)(point)
    with np.errstate(all="ignore"):
        want = -np.log(x) - 1
    np.testing.assert_allclose([forward, reverse], want)


def test_derivatives_of_gamma_do_not_depend_on_custom_rules() -> None:
    """Some loops lose them: the ordinary rules give the same on the left."""
    x = np.array([-8.5, -0.25, 3.0, -100.5])
    second = jax.jit(jax.vmap(jax.grad(jax.grad(gamma._gammaln_value))))(jnp.asarray(x))
    np.testing.assert_allclose(second, scipy.special.polygamma(1, x), 1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_polygamma_at_infinity(n: int) -> None:
    """ψ grows like log x, ψ' falls like 1/x, and the others are 0."""
    x = jnp.asarray([1e300, np.inf])
    got = jax.jit(lambda x: LOWERINGS["special.polygamma"](x, n=n))(x)
    want = {0: [np.log(1e300), np.inf], 1: [1e-300, 0]}.get(n, [0, 0])
    np.testing.assert_allclose(got, want, 1e-14)
