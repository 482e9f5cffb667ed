"""The modified Bessel functions of order 0 and 1, with derivatives of every order, in float64.

i0' = i1 and i1' = i0 - i1/x; the second cancels near 0, where i1' comes from
the series of i1. i0e' = i1e - i0e and i1e' = i0e - i1e/x - i1e cancel far out,
where the asymptotic series is differentiated. JAX's rules go through |x|, which
loses the even derivatives at 0.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy import special

from gradwire_server.compiler.lowering.elementwise.slopes import with_slope

_FAR = 30.0


def _i1_slope_series(x: jax.Array) -> jax.Array:
    """i1'(x) = Σ (2k+1) (x/2)^2k / (2 k! (k+1)!), for |x| < 2."""
    quarter = x * x / 4
    series = jnp.zeros_like(x)
    for k in range(14, -1, -1):
        coefficient = (2 * k + 1) / (2 * math.factorial(k) * math.factorial(k + 1))
        series = coefficient + series * quarter
    return series


def _asymptotic(x: jax.Array, order: int) -> jax.Array:
    """exp(-x) I_order(x) for x >= 30, DLMF 10.40.1: Σ Π (1-2k)² - 4·order² / (8k x) / √(2πx)."""
    series = jnp.ones_like(x)
    inverse = 1 / x
    for k in range(22, 0, -1):
        series = 1 + series * (((2 * k - 1) ** 2 - 4 * order**2) / (8 * k)) * inverse
    return series / jnp.sqrt(2 * math.pi * x)


def _near(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(x) < _FAR, x, 1)


def _far(x: jax.Array, order: int) -> jax.Array:
    """The asymptotic series where it holds; the caller applies the sign of odd functions."""
    size = jnp.abs(x)
    return _asymptotic(jnp.where(size < _FAR, _FAR, size), order)


def _i1_slope(x: jax.Array) -> jax.Array:
    near = jnp.abs(x) < 2
    away = jnp.where(near, 2, x)
    far = i0(away) - i1(away) / away
    return jnp.where(near, _i1_slope_series(jnp.where(near, x, 0)), far)


i1 = with_slope(special.i1, _i1_slope)
"""I_1(x)."""

i0 = with_slope(special.i0, i1)
"""I_0(x)."""


def _side(x: jax.Array) -> jax.Array:
    """Returns the derivative of |x|; at 0 that to the right, as everywhere in the opset."""
    return jnp.where(x < 0, -1, 1).astype(x.dtype)


@jax.custom_jvp
def _inner_i0e(x: jax.Array) -> jax.Array:
    return special.i0e(x)


@_inner_i0e.defjvp
def _inner_i0e_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    value = _inner_i0e(x)
    return value, (_inner_i1e(x) - _side(x) * value) * t_x


@jax.custom_jvp
def _inner_i1e(x: jax.Array) -> jax.Array:
    return special.i1e(x)


@_inner_i1e.defjvp
def _inner_i1e_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    near = jnp.abs(x) < 2
    inside, away = jnp.where(near, x, 0), jnp.where(near, 2, x)
    scaled = jnp.exp(-jnp.abs(inside)) * _i1_slope_series(inside)
    slope = jnp.where(near, scaled, _inner_i0e(away) - _inner_i1e(away) / away)
    value = _inner_i1e(x)
    return value, (slope - _side(x) * value) * t_x


def i0e(x: jax.Array) -> jax.Array:
    """Returns exp(-|x|) I_0(x); the derivative at 0, where it has a kink, is -1."""
    return jnp.where(jnp.abs(x) < _FAR, _inner_i0e(_near(x)), _far(x, 0))


def i1e(x: jax.Array) -> jax.Array:
    """Returns exp(-|x|) I_1(x)."""
    far = jnp.where(x < 0, -1, 1) * _far(x, 1)
    return jnp.where(jnp.abs(x) < _FAR, _inner_i1e(_near(x)), far)
