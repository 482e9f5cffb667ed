"""The incomplete gamma functions P and Q for parameters up to 10**300, in float64.

Each way to compute them is one that forward mode differentiates however often,
also by the parameter. Near x = a for large a, where series and continued
fraction need √a terms, it is Temme's expansion; elsewhere 200 terms are enough.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from gradwire_server.compiler.lowering.elementwise.widths import in_double
from gradwire_server.compiler.lowering.special.gamma import (
    gammaln,
    gammaln_of_1_plus,
    stirling_series,
)
from gradwire_server.compiler.lowering.special.integrals import continued_fraction, integral
from gradwire_server.compiler.lowering.special.log1pmx import log1p_ratio, minus_log1p
from gradwire_server.compiler.lowering.special.temme import COEFFICIENTS

_LARGE = 100
"""The parameter from which Temme's expansion serves, for \\|x/a - 1\\| < ``_NEAR``."""

_NEAR = 0.3


def _count(a: jax.Array) -> jax.Array:
    """Returns how many terms of the series or the fraction give double precision.

    Decided beforehand: derivatives converge later than the value, and at whole
    parameters the fraction ends while its derivatives go on. The terms of the
    series for x = a fall like exp(-n²/2a); past a = 100 it serves for x/a < 0.7
    only, and like 0.7ⁿ.
    """
    terms = 60 + 12 * jnp.sqrt(jnp.clip(a, 0, _LARGE))
    return jnp.nan_to_num(terms).astype(jnp.int32)


def _scaled_power(a: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x^a e^-x / Γ(a+1).

    For a > 10 as exp(-a (μ - log(1+μ))) / √(2πa), with μ = x/a - 1, and Stirling's
    correction: the logarithms of the factors would cancel.
    """
    large = a > 10
    big, small = jnp.where(large, a, 20), jnp.where(large, 1, a)
    value = jnp.where(large, x, 1)
    ratio = jnp.maximum(value / big, 1e-300)  # or its logarithm were infinite for a = 1e300
    far = jnp.exp(-big * minus_log1p((value - big) / big, ratio) - stirling_series(big))
    near = jnp.exp(special.xlogy(small, x) - x - gammaln_of_1_plus(small))
    return jnp.where(large, far / jnp.sqrt(2 * math.pi * big), near)


def _series(a: jax.Array, x: jax.Array) -> jax.Array:
    """P(a, x), for x < a + 1: x^a e^-x / Γ(a+1) · Σ x^n / ((a+1) … (a+n)), DLMF 8.11.4."""
    count = _count(a)

    def step(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        n, term, total = carry
        term = jnp.where(n < count, term * (x / (a + (n + 1).astype(a.dtype))), 0)
        return n + 1, term, total + term

    one = jnp.ones_like(a)
    start = (jnp.zeros((), jnp.int32), one, one)
    _, _, total = lax.while_loop(lambda c: jnp.any(c[0] < count), step, start)
    return _scaled_power(a, x) * total


def _fraction(a: jax.Array, x: jax.Array) -> jax.Array:
    """Q(a, x), for x > a + 1: x^a e^-x / Γ(a) / (x+1-a - 1(1-a)/(x+3-a - …)), DLMF 8.9.2."""

    def coefficients(n: jax.Array) -> tuple[jax.Array, jax.Array]:
        return n * (a - n), x + 1 - a + 2 * n

    return _scaled_power(a, x) * (a / continued_fraction(x + 1 - a, coefficients, _count(a)))


def _small_upper(a: jax.Array, x: jax.Array) -> jax.Array:
    """Q(a, x) for x < 1.1 without taking P from 1, which is close for small a.

    1 - x^a/Γ(a+1) - x^a/Γ(a) Σ (-x)^n / ((a+n) n!) over n >= 1, DLMF 8.7.3.
    """
    total = jnp.zeros_like(x)
    for n in range(24, 0, -1):
        total = (1 / (a + n) + total) * (-x / n)
    log_power = special.xlogy(a, x) - gammaln_of_1_plus(a)
    return -jnp.expm1(log_power) - a * jnp.exp(log_power) * total


def _temme(a: jax.Array, x: jax.Array, sign: float) -> jax.Array:
    """P (sign -1) or Q (sign 1) for a large and x near it, DLMF 8.12.3 and 8.12.4."""
    mu = (x - a) / a
    eta = mu * jnp.sqrt(log1p_ratio(mu))
    table = jnp.asarray(COEFFICIENTS)
    rows = jnp.zeros((*eta.shape, table.shape[0]))
    for column in reversed(table.T):
        rows = column + rows * eta[..., None]
    total = jnp.zeros_like(eta)
    for k in reversed(range(table.shape[0])):
        total = rows[..., k] + total / a
    tail = special.erfc(sign * eta * jnp.sqrt(a / 2)) / 2
    return tail + sign * jnp.exp(-a * minus_log1p(mu, 1 + mu)) * (total / jnp.sqrt(2 * math.pi * a))


def _inner(a: jax.Array, x: jax.Array, *, upper: bool) -> jax.Array:
    """P or Q for 0 < a and 0 < x < inf."""
    temme = (a >= _LARGE) & (jnp.abs(x - a) < _NEAR * a)
    low = (x < a + 1) & ~temme
    high = ~low & ~temme
    tiny = low & (x < 1.1) & (a < 1.5)

    series = _series(jnp.where(low, a, 1), jnp.where(low, x, 1))
    fraction = _fraction(jnp.where(high, a, 1), jnp.where(high, x, 3))
    near = _temme(jnp.where(temme, a, _LARGE), jnp.where(temme, x, _LARGE), 1.0 if upper else -1.0)
    if not upper:
        return jnp.where(temme, near, jnp.where(low, series, 1 - fraction))
    small = _small_upper(jnp.where(tiny, a, 1), jnp.where(tiny, x, 1))
    below = jnp.where(tiny & (series > 0.3), small, 1 - series)
    return jnp.where(temme, near, jnp.where(low, below, fraction))


def _domain(a: jax.Array, x: jax.Array) -> jax.Array:
    """Returns 1 inside of the domain; NaN outside, which a derivative of a product keeps."""
    inside = (a >= 0) & (x >= 0)
    corner = ((a == 0) & (x == 0)) | ((a == jnp.inf) & (x == jnp.inf))
    return jnp.where(inside & ~corner, 1.0, jnp.nan)


def _with_ends(upper: bool) -> Any:
    """At x = 0 and inf, and at a = 0, the value is 0 or 1; outside of the domain NaN."""

    def function(a: jax.Array, x: jax.Array) -> jax.Array:
        domain = _domain(a, x)
        end = jnp.isnan(domain) | (x <= 0) | (x == jnp.inf) | (a <= 0) | (a == jnp.inf)
        inside = _inner(jnp.where(end, 1, a), jnp.where(end, 1, x), upper=upper)
        one = ((x > 0) & (a < jnp.inf)) != upper
        return jnp.where(end, one.astype(x.dtype), inside) * domain

    return function


def _density(a: jax.Array, x: jax.Array) -> jax.Array:
    """x^(a-1) e^-x / Γ(a), the derivative of P by x."""
    large = a > 10
    inside = (x > 0) & (x < jnp.inf)
    value = jnp.where(large & inside, x, 1)
    far = _scaled_power(jnp.where(large, a, 20), value) * (a / value)
    far = jnp.where(inside, far, 0)
    # The power itself, or the derivatives of x^a/x would cancel for small x.
    small, finite = jnp.where(large, 1, a), jnp.where(x == jnp.inf, 1, x)
    near = jnp.exp(special.xlogy(small - 1, finite) - finite - gammaln(small))
    near = jnp.where(x == jnp.inf, 0, near)
    return jnp.where(large, far, near) * _domain(a, x)


gammainc = in_double(integral(_with_ends(False), _density))
gammaincc = in_double(integral(_with_ends(True), lambda a, x: -_density(a, x)))
