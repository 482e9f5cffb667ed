"""The incomplete beta function for parameters up to 10**6, in float64."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import xlog1py, xlogy

from gradwire_server.compiler.lowering.elementwise.widths import in_double
from gradwire_server.compiler.lowering.special.gamma import betaln, stirling_series
from gradwire_server.compiler.lowering.special.integrals import continued_fraction, integral
from gradwire_server.compiler.lowering.special.log1pmx import minus_log1p

_LARGEST = 1e6
"""The largest parameter: the fraction takes ten terms for each unit of its root."""


def _count(parameter: jax.Array) -> jax.Array:
    """Returns how many terms of the fraction give double precision, in derivatives too."""
    terms = 60 + 10 * jnp.sqrt(jnp.clip(parameter, 0, _LARGEST))
    return jnp.nan_to_num(terms).astype(jnp.int32)


def _scaled_powers(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x^a (1-x)^b / B(a, b).

    For a, b > 10 with m = a + b, μ = x m/a - 1 and ν = (1-x) m/b - 1 as
    exp(-a (μ - log(1+μ)) - b (ν - log(1+ν))) √(ab / 2πm) and Stirling's corrections,
    since a μ + b ν = 0: the logarithms of the factors would cancel.
    """
    large = (a > 10) & (b > 10)
    p, q = jnp.where(large, a, 20), jnp.where(large, b, 20)
    total = p + q
    inside = jnp.where(large, x, 0.5)
    shift = inside * q - (1 - inside) * p
    mu, nu = shift / p, -shift / q
    exponent = p * minus_log1p(mu, inside * total / p)
    exponent += q * minus_log1p(nu, (1 - inside) * total / q)
    exponent += stirling_series(p) + stirling_series(q) - stirling_series(total)
    far = jnp.exp(-exponent) * jnp.sqrt(p * (q / total) / (2 * math.pi))
    s, t = jnp.where(large, 1, a), jnp.where(large, 1, b)
    near = jnp.exp(xlogy(s, x) + xlog1py(t, -x) - betaln(s, t))
    return jnp.where(large, far, near)


def _fraction(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """I_x(a, b), for x < (a+1)/(a+b+2), by the fraction of DLMF 8.17.22."""

    def coefficients(n: jax.Array) -> tuple[jax.Array, jax.Array]:
        m = jnp.floor(n / 2)
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        numerator = jnp.where(n % 2 == 0, even, odd)
        return numerator, jnp.ones_like(numerator)

    count = _count(jnp.maximum(a, b))
    return _scaled_powers(a, b, x) / a / continued_fraction(jnp.ones_like(a), coefficients, count)


def _domain(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """Returns 1 inside of the domain; NaN outside, which a derivative of a product keeps."""
    inside = (a >= 0) & (b >= 0) & (a <= _LARGEST) & (b <= _LARGEST) & (x >= 0) & (x <= 1)
    return jnp.where(inside & ~((a == 0) & (b == 0)), 1.0, jnp.nan)


def _value(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """I_x(a, b); 0 or 1 at the ends of x and of the parameters, NaN outside of the domain."""
    domain = _domain(a, b, x)
    end = jnp.isnan(domain) | (x <= 0) | (x >= 1) | (a <= 0) | (b <= 0)
    one = (x >= 1) | ((a == 0) & (x > 0))
    one &= ~((b == 0) & (x < 1))
    p, q = jnp.where(end, 1, a), jnp.where(end, 1, b)
    inside = jnp.where(end, 0.5, x)

    low = inside < (p + 1) / (p + q + 2)
    first, second = jnp.where(low, p, q), jnp.where(low, q, p)
    near = _fraction(first, second, jnp.where(low, inside, 1 - inside))
    value = jnp.where(low, near, 1 - near)
    return jnp.where(end, one.astype(x.dtype), value) * domain


def _density(a: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """x^(a-1) (1-x)^(b-1) / B(a, b)."""
    large = (a > 10) & (b > 10)
    inside = (x > 0) & (x < 1)
    value = jnp.where(large & inside, x, 0.5)
    far = _scaled_powers(jnp.where(large, a, 20), jnp.where(large, b, 20), value)
    far = jnp.where(inside, far / value / (1 - value), 0)
    # The powers themselves, or the derivatives of x^a/x would cancel for small x.
    p, q = jnp.where(large, 1, a), jnp.where(large, 1, b)
    near = jnp.exp(xlogy(p - 1, x) + xlog1py(q - 1, -x) - betaln(p, q))
    return jnp.where(large, far, near) * _domain(a, b, x)


betainc = in_double(integral(_value, _density))
