"""The incomplete gamma and beta functions, with derivatives of every order.

JAX has their values, and the first derivative of gammainc by its parameter; it
refuses the others. Here a derivative by a parameter is computed from a series
or a continued fraction, which forward mode differentiates however often; one
by x is elementary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.scipy import special
from jax.scipy.special import digamma, gammaln, xlog1py, xlogy

Function = Callable[..., jax.Array]

MAX_TERMS = 10_000
"""Enough for parameters up to 10**6; beyond, derivatives by them lose digits."""


def _gammaln_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns log Γ(b) - log Γ(a + b) for 0 < a <= b, b >= 8, without cancellation.

    Stirling's series of both, as in DiDonato and Morris, Algorithm 708, ALGDIV.
    """
    series = (
        0.833333333333333e-01,
        -0.277777777760991e-02,
        0.793650666825390e-03,
        -0.595202931351870e-03,
        0.837308034031215e-03,
        -0.165322962780713e-02,
    )
    h = a / b
    x = 1 / (1 + h)
    correction, power, geometric = jnp.zeros_like(h), jnp.ones_like(h), jnp.ones_like(h)
    for coefficient in series:  # geometric is 1 + x + ... + x^(2k)
        correction += coefficient * geometric * power
        power /= b * b
        geometric = 1 + x + x * x * geometric
    correction *= h / (1 + h) / b
    return correction - (b + (a - 0.5)) * jnp.log1p(h) - a * (jnp.log(b) - 1)


@jax.custom_jvp
def _betaln(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns log B(a, b). JAX's is off by 5e-9 at (30, 40), its second derivative at a = b."""
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    large = high >= 8
    far = _gammaln_difference(low, jnp.where(large, high, 8))
    return gammaln(low) + jnp.where(large, far, gammaln(high) - gammaln(low + high))


@_betaln.defjvp
def _betaln_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (a, b), (t_a, t_b) = primals, tangents
    both = digamma(a + b)
    return _betaln(a, b), (digamma(a) - both) * t_a + (digamma(b) - both) * t_b


def _number_of_terms(parameter: jax.Array) -> jax.Array:
    """Returns how many terms give double precision.

    Decided beforehand: derivatives converge later than the value, and at whole
    parameters the fractions end while their derivatives go on. The terms of
    the series for x = a fall like exp(-n**2 / 2a), below 1e-17 at n = 9 sqrt(a).
    """
    terms = 60 + 10 * jnp.sqrt(jnp.maximum(parameter, 0))
    return jnp.minimum(jnp.nan_to_num(terms), MAX_TERMS).astype(jnp.int32)


def _gamma_series(a: jax.Array, x: jax.Array) -> jax.Array:
    """P(a, x), for x < a + 1: x^a e^-x / Γ(a+1) · Σ x^n / ((a+1) ... (a+n))."""
    count = _number_of_terms(a)

    def step(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        n, term, total = carry
        term = jnp.where(n < count, term * x / (a + (n + 1).astype(a.dtype)), 0)
        return n + 1, term, total + term

    one = jnp.ones_like(a * x)
    start = (jnp.zeros((), jnp.int32), one, one)
    _, _, total = lax.while_loop(lambda c: jnp.any(c[0] < count), step, start)
    return jnp.exp(xlogy(a, x) - x - gammaln(a + 1)) * total


def _fraction(
    first: jax.Array,
    coefficients: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    count: jax.Array,
) -> jax.Array:
    """Returns b0 + a1/(b1 + a2/(b2 + ...)) by the modified method of Lentz."""
    tiny = float(np.finfo(first.dtype).tiny) ** 0.5

    def away(value: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(value) < tiny, tiny, value)

    def step(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        n, value, c, d = carry
        numerator, denominator = coefficients((n + 1).astype(first.dtype))
        next_d = 1 / away(denominator + numerator * d)
        next_c = away(denominator + numerator / c)
        going = n < count
        return (
            n + 1,
            jnp.where(going, value * next_c * next_d, value),
            jnp.where(going, next_c, c),
            jnp.where(going, next_d, d),
        )

    start = (jnp.zeros((), jnp.int32), away(first), away(first), jnp.zeros_like(first))
    result: jax.Array = lax.while_loop(lambda c: jnp.any(c[0] < count), step, start)[1]
    return result


def _gamma_fraction(a: jax.Array, x: jax.Array) -> jax.Array:
    """Q(a, x), for x > a + 1: x^a e^-x / Γ(a) / (x+1-a - 1(1-a)/(x+3-a - ...))."""

    def coefficients(n: jax.Array) -> tuple[jax.Array, jax.Array]:
        return n * (a - n), x + 1 - a + 2 * n

    fraction = _fraction(x + 1 - a, coefficients, _number_of_terms(a))
    return jnp.exp(xlogy(a, x) - x - gammaln(a)) / fraction


def _gammainc(a: jax.Array, x: jax.Array) -> jax.Array:
    low = x < a + 1
    inside = jnp.where(low, x, 1)
    outside = jnp.where(low, a + 2, x)
    return jnp.where(low, _gamma_series(a, inside), 1 - _gamma_fraction(a, outside))


def _gamma_density(a: jax.Array, x: jax.Array) -> jax.Array:
    infinite = x == jnp.inf
    finite = jnp.where(infinite, 1, x)
    return jnp.where(infinite, 0, jnp.exp(xlogy(a - 1, finite) - finite - gammaln(a)))


def _beta_fraction(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """I_x(a, b), for x < (a+1)/(a+b+2), by the fraction of DLMF 8.17.22."""

    def coefficients(n: jax.Array) -> tuple[jax.Array, jax.Array]:
        m = jnp.floor(n / 2)
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        numerator = jnp.where(n % 2 == 0, even, odd)
        return numerator, jnp.ones_like(numerator)

    count = _number_of_terms(jnp.maximum(a, b))
    fraction = _fraction(jnp.ones_like(a * b * x), coefficients, count)
    return jnp.exp(xlogy(a, x) + xlog1py(b, -x) - _betaln(a, b)) / a / fraction


def _betainc(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    low = x < (a + 1) / (a + b + 2)
    half = jnp.asarray(0.5, x.dtype)
    near = _beta_fraction(jnp.where(low, a, 1), jnp.where(low, b, 1), jnp.where(low, x, half))
    far = _beta_fraction(jnp.where(low, 1, b), jnp.where(low, 1, a), jnp.where(low, half, 1 - x))
    return jnp.where(low, near, 1 - far)


def _beta_density(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - _betaln(a, b))


def _partial(function: Function, place: int) -> Function:
    """Returns the partial derivative of an elementwise function."""

    def derivative(*operands: jax.Array) -> jax.Array:
        def moved(value: jax.Array) -> jax.Array:
            return function(*operands[:place], value, *operands[place + 1 :])

        x = operands[place]
        result: jax.Array = jax.jvp(moved, (x,), (jnp.ones_like(x),))[1]
        return result

    return derivative


def _integral(value: Function, expansion: Function, density: Function) -> Function:
    """Makes value(parameters ..., x) differentiable, the integral of a density from 0 to x.

    Args:
        value: The function.
        expansion: The same, differentiable by its parameters in forward mode.
        density: Its derivative by x.
    """

    @jax.custom_jvp
    def function(*operands: jax.Array) -> jax.Array:
        return value(*operands)

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, Any]:
        out = function(*primals)
        t_out = jnp.zeros_like(out)
        if not isinstance(tangents[-1], SymbolicZero):
            t_out += density(*primals) * tangents[-1]
        for place, tangent in enumerate(tangents[:-1]):
            if not isinstance(tangent, SymbolicZero):
                by_parameter = _partial(expansion, place)
                t_out += (
                    _integral(by_parameter, by_parameter, _partial(density, place))(*primals)
                    * tangent
                )
        return out, t_out

    function.defjvp(rule, symbolic_zeros=True)
    return function


def _with_ends(expansion: Function, last: float) -> Function:
    """At the ends 0 and ``last`` of x's range the value is 0 or 1 for all parameters."""

    def inside(*operands: jax.Array) -> jax.Array:
        *parameters, x = operands
        end = (x <= 0) | (x >= last)
        return jnp.where(
            end, (x > 0).astype(x.dtype), expansion(*parameters, jnp.where(end, 0.5, x))
        )

    return inside


def in_float32(function: Function) -> Function:
    """Computes half precision in float32."""

    def computed(*operands: jax.Array) -> jax.Array:
        dtype = operands[0].dtype
        wide = dtype if dtype.itemsize >= 4 else jnp.float32
        operands = tuple(x.astype(wide) for x in jnp.broadcast_arrays(*operands))
        return function(*operands).astype(dtype)

    return computed


betaln = in_float32(_betaln)
gammainc = in_float32(_integral(special.gammainc, _with_ends(_gammainc, jnp.inf), _gamma_density))
gammaincc = in_float32(
    _integral(
        special.gammaincc,
        lambda a, x: 1 - _with_ends(_gammainc, jnp.inf)(a, x),
        lambda a, x: -_gamma_density(a, x),
    )
)
betainc = in_float32(_integral(special.betainc, _with_ends(_betainc, 1), _beta_density))
