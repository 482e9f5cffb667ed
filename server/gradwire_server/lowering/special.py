"""Special functions in JAX, with rules of our own where JAX's lose digits."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from gradwire_server.lowering import hyperbolic, incomplete
from gradwire_server.lowering.core import Lowering
from gradwire_server.lowering.division import divide
from gradwire_server.lowering.incomplete import in_float32


def _polygamma(x: jax.Array, *, n: int) -> jax.Array:
    return special.polygamma(jnp.asarray(n), x)


def _passing_nan(function: Lowering) -> Lowering:
    """JAX gives 0 for x = 0 even where y is NaN; SciPy gives NaN."""
    return lambda x, y: function(x, y) + jnp.where(jnp.isnan(y), y, 0)


def _sinc(x: jax.Array) -> jax.Array:
    """sin(πx) / πx, by its series for |x| < 1/2, where the quotient's derivatives cancel."""
    near = jnp.abs(x) < 0.5
    square = jnp.where(near, (math.pi * x) ** 2, 0)
    series = jnp.zeros_like(x)
    for k in range(13, -1, -1):
        series = (-1) ** k / math.factorial(2 * k + 1) + series * square

    # sin(πx) = ±sin(π(x - n)) for the nearest integer n: a product πx of a large x
    # has no digit of its fraction.
    away = jnp.where(near, 1, x)
    whole = lax.stop_gradient(jnp.round(jnp.real(away)))
    sign = 1 - 2 * jnp.abs(jnp.remainder(whole, 2)).astype(x.dtype)
    sine = jnp.sin(math.pi * (away - whole.astype(x.dtype)))
    return jnp.where(near, series, divide(sign * sine, math.pi * away))


@jax.custom_jvp
def _log_ndtr(x: jax.Array) -> jax.Array:
    above = jnp.log1p(-special.ndtr(-jnp.maximum(x, 0)))
    # The default of 3 terms is good to 4e-9 only, at -20.
    below = special.log_ndtr(jnp.minimum(x, 0), series_order=10)
    return jnp.where(x > 0, above, below)


@_log_ndtr.defjvp
def _log_ndtr_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    value = _log_ndtr(x)
    return value, jnp.exp(-x * x / 2 - 0.5 * math.log(2 * math.pi) - value) * t_x


# The modified Bessel functions. i0' = i1 and i1' = i0 - i1/x, whose own
# derivatives cancel near 0: there i1' comes from the series of i1. JAX's rules
# differentiate through |x|, which loses the even derivatives at 0.


def _i1_slope_series(x: jax.Array) -> jax.Array:
    """i1'(x) = Σ (2k+1) (x/2)^2k / (2 k! (k+1)!), for |x| < 2."""
    quarter = x * x / 4
    series = jnp.zeros_like(x)
    for k in range(14, -1, -1):
        coefficient = (2 * k + 1) / (2 * math.factorial(k) * math.factorial(k + 1))
        series = coefficient + series * quarter
    return series


@jax.custom_jvp
def _i0(x: jax.Array) -> jax.Array:
    return special.i0(x)


@_i0.defjvp
def _i0_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    return _i0(x), _i1(x) * t_x


@jax.custom_jvp
def _i1(x: jax.Array) -> jax.Array:
    return special.i1(x)


@_i1.defjvp
def _i1_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    near = jnp.abs(x) < 2
    away = jnp.where(near, 2, x)
    far = _i0(away) - _i1(away) / away
    return _i1(x), jnp.where(near, _i1_slope_series(jnp.where(near, x, 0)), far) * t_x


@jax.custom_jvp
def _i0e(x: jax.Array) -> jax.Array:
    return special.i0e(x)


@_i0e.defjvp
def _i0e_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    value = _i0e(x)
    return value, (_i1e(x) - jnp.sign(x) * value) * t_x


@jax.custom_jvp
def _i1e(x: jax.Array) -> jax.Array:
    return special.i1e(x)


@_i1e.defjvp
def _i1e_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    near = jnp.abs(x) < 2
    inside, away = jnp.where(near, x, 0), jnp.where(near, 2, x)
    scaled = jnp.exp(-jnp.abs(inside)) * _i1_slope_series(inside)
    slope = jnp.where(near, scaled, _i0e(away) - _i1e(away) / away)
    value = _i1e(x)
    return value, (slope - jnp.sign(x) * value) * t_x


LOWERINGS: dict[str, Lowering] = {
    "special.betainc": incomplete.betainc,
    "special.betaln": incomplete.betaln,
    "special.digamma": special.digamma,
    "special.entr": special.entr,
    "special.erf": special.erf,
    "special.erfc": special.erfc,
    "special.erfinv": special.erfinv,
    "special.expit": hyperbolic.expit,
    "special.gammainc": incomplete.gammainc,
    "special.gammaincc": incomplete.gammaincc,
    "special.gammaln": special.gammaln,
    "special.i0": _i0,
    "special.i0e": _i0e,
    "special.i1": _i1,
    "special.i1e": _i1e,
    "special.log_ndtr": in_float32(_log_ndtr),
    "special.logit": hyperbolic.logit,
    "special.ndtr": in_float32(special.ndtr),
    "special.ndtri": in_float32(special.ndtri),
    "special.polygamma": _polygamma,
    "special.sinc": _sinc,
    "special.xlog1py": _passing_nan(special.xlog1py),
    "special.xlogy": _passing_nan(special.xlogy),
    "special.zeta": special.zeta,
}
