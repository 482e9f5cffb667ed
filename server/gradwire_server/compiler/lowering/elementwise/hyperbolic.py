"""tanh, the logistic function and the like, with derivatives that are accurate in the tails."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise import complex_functions as complex_
from gradwire_server.compiler.lowering.elementwise.slopes import (
    Unary,
    by_kind,
    epsilon_of,
    with_slope,
)


def _sech_squared(x: jax.Array) -> jax.Array:
    """1 / cosh² = 4e / (1 + e)² with e = exp(-2|x|), where 1 - tanh² has lost its digits."""
    e = jnp.exp(-2 * jnp.abs(x))
    return 4 * e / ((1 + e) * (1 + e))


# tanh' = sech², (sech²)' = -2 tanh sech².
tanh: Unary = with_slope(lax.tanh, lambda x: _real_sech_squared(x))
_real_sech_squared: Unary = with_slope(
    _sech_squared, lambda x: -2 * tanh(x) * _real_sech_squared(x)
)


def _logistic_slope(x: jax.Array) -> jax.Array:
    """expit(x) expit(-x) = e / (1 + e)² with e = exp(-|x|)."""
    e = jnp.exp(-jnp.abs(x))
    return e / ((1 + e) * (1 + e))


# expit' = expit(x) expit(-x), and its derivative is -expit' tanh(x / 2).
expit: Unary = with_slope(lax.logistic, lambda x: expit_slope(x))
expit_slope: Unary = with_slope(_logistic_slope, lambda x: -expit_slope(x) * tanh(x / 2))


def _softplus_value(x: jax.Array) -> jax.Array:
    """log(1 + exp(x)), which is x where exp(-x) is below x's last digit. Without a kink at 0."""
    large = x > 1 - math.log(epsilon_of(x))
    return jnp.where(large, x, jnp.log1p(jnp.exp(jnp.where(large, 0, x))))


softplus: Unary = with_slope(_softplus_value, expit)


def _cbrt(x: jax.Array) -> jax.Array:
    # XLA's, of a subnormal number in float32, is a constant of the wrong sign.
    return (
        jnp.cbrt(x.astype(jnp.float64)).astype(x.dtype) if x.dtype == jnp.float32 else jnp.cbrt(x)
    )


cbrt: Unary = with_slope(_cbrt, lambda x: _cbrt_slope(x))
_cbrt_slope: Unary = with_slope(
    lambda x: 1 / (3 * jnp.cbrt(x) ** 2), lambda x: -2 * _cbrt_slope(x) * (1 / (3 * x))
)

# expm1' = exp, where JAX's expm1 + 1 is 0 below -37.
expm1: Unary = with_slope(jnp.expm1, jnp.exp)


def _logit(x: jax.Array) -> jax.Array:
    """log(x / (1 - x)); near 1/2 by log1p, for log has lost the digits of a quotient near 1."""
    near = jnp.abs(x - 0.5) < 0.25
    middle = jnp.where(near, x, 0.5)
    excess = 2 * middle - 1  # exact
    return jnp.where(near, jnp.log1p(excess) - jnp.log1p(-excess), jnp.log(x / (1 - x)))


logit: Unary = with_slope(_logit, lambda x: 1 / (x * (1 - x)))


def _asinh_slope(x: jax.Array) -> jax.Array:
    """1 / sqrt(1 + x²), without overflow of x²."""
    # From here on 1 + x² is x² in x's own precision, up to an eighth of its epsilon.
    large = jnp.abs(x) > 2 / math.sqrt(epsilon_of(x))
    return jnp.where(
        large,
        1 / jnp.abs(jnp.where(large, x, 1)),
        lax.rsqrt(1 + jnp.square(jnp.where(large, 1, x))),
    )


# The slopes s of the inverse functions have s' = ±x s³ or ±2x s². Their factors
# stand in an order in which none underflows before the product does.
_real_asinh: Unary = with_slope(jnp.asinh, lambda x: _asinh_slopes(x))
_asinh_slopes: Unary = with_slope(
    _asinh_slope, lambda x: -(x * _asinh_slopes(x)) * _asinh_slopes(x) ** 2
)

_real_acosh: Unary = with_slope(jnp.acosh, lambda x: _acosh_slopes(x))
_acosh_slopes: Unary = with_slope(
    lambda x: 1 / (jnp.sqrt(x - 1) * jnp.sqrt(x + 1)),
    lambda x: -(x * _acosh_slopes(x)) * _acosh_slopes(x) ** 2,
)

_real_asin: Unary = with_slope(jnp.asin, lambda x: _asin_slopes(x))
_real_acos: Unary = with_slope(jnp.acos, lambda x: -_asin_slopes(x))
_asin_slopes: Unary = with_slope(
    lambda x: lax.rsqrt((1 - x) * (1 + x)),
    lambda x: (x * _asin_slopes(x)) * _asin_slopes(x) ** 2,
)

_real_atan: Unary = with_slope(jnp.atan, lambda x: _atan_slopes(x))
_atan_slopes: Unary = with_slope(
    lambda x: 1 / (1 + x * x), lambda x: -2 * (x * _atan_slopes(x)) * _atan_slopes(x)
)

_real_atanh: Unary = with_slope(jnp.atanh, lambda x: _atanh_slopes(x))
_atanh_slopes: Unary = with_slope(
    lambda x: 1 / ((1 - x) * (1 + x)), lambda x: 2 * (x * _atanh_slopes(x)) * _atanh_slopes(x)
)

LOWERINGS: dict[str, Lowering] = {
    "acos": by_kind(_real_acos, complex_.acos),
    "acosh": by_kind(_real_acosh, complex_.acosh),
    "asin": by_kind(_real_asin, complex_.asin),
    "asinh": by_kind(_real_asinh, complex_.asinh),
    "atan": by_kind(_real_atan, complex_.atan),
    "atanh": by_kind(_real_atanh, complex_.atanh),
    "cos": by_kind(jnp.cos, complex_.cos),
    "cosh": by_kind(jnp.cosh, complex_.cosh),
    "exp": by_kind(jnp.exp, complex_.exp),
    "exp2": by_kind(jnp.exp2, complex_.exp2),
    "expm1": by_kind(expm1, complex_.expm1),
    "log": by_kind(jnp.log, complex_.log),
    "log10": by_kind(jnp.log10, complex_.log10),
    "log1p": by_kind(jnp.log1p, complex_.log1p),
    "log2": by_kind(jnp.log2, complex_.log2),
    "rsqrt": by_kind(lax.rsqrt, complex_.rsqrt),
    "sin": by_kind(jnp.sin, complex_.sin),
    "sinh": by_kind(jnp.sinh, complex_.sinh),
    "sqrt": by_kind(jnp.sqrt, complex_.sqrt),
    "tan": by_kind(jnp.tan, complex_.tan),
    "tanh": by_kind(tanh, complex_.tanh),
}
