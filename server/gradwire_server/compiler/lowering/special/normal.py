"""The normal distribution's functions and the error functions behind them, in float64."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy import special


def _fraction_of_mills() -> tuple[list[int], list[int]]:
    """Returns the coefficients of 1/(1 + 2w/(1 + 3w/(1 + … 36w))), both polynomials in w.

    None is negative, so nothing cancels in them nor in the derivatives by w.
    """
    top, bottom = [1], [1]
    for k in range(36, 1, -1):
        raised = [0, *(k * c for c in bottom)]
        size = max(len(top), len(raised))
        padded = [[*p, *[0] * (size - len(p))] for p in (top, raised)]
        top, bottom = [a + b for a, b in zip(*padded, strict=True)], top
    return bottom, top


_NUMERATOR, _DENOMINATOR = _fraction_of_mills()


def _polynomial(coefficients: list[int], w: jax.Array) -> jax.Array:
    value = jnp.zeros_like(w)
    for coefficient in reversed(coefficients):
        value = float(coefficient) + value * w
    return value


def _inverse_mills(z: jax.Array) -> jax.Array:
    """Returns φ(z) / Φ(-z) = z + 1/(z + 2/(z + 3/(z + …))) for z >= 4, DLMF 7.9.1.

    The rest after n steps of the fraction is near exp(-2z√n). Its derivatives are
    as accurate as itself, where r' = r (r - z) loses z².
    """
    inverse = 1 / z
    w = inverse * inverse
    return z + inverse * (_polynomial(_NUMERATOR, w) / _polynomial(_DENOMINATOR, w))


def log_ndtr(x: jax.Array) -> jax.Array:
    """Returns log Φ(x): below -4 as -x²/2 - log √2π - log(φ/Φ)."""
    far = x < -4
    tail = jnp.where(far, -x, 4)
    below = -tail * tail / 2 - 0.5 * math.log(2 * math.pi) - jnp.log(_inverse_mills(tail))
    near = jnp.log(_ndtr(jnp.where(far | (x >= 0), -1, x)))
    above = jnp.log1p(-_ndtr(jnp.where(x < 0, -1, -x)))
    return jnp.where(far, below, jnp.where(x < 0, near, above)) + jnp.where(jnp.isnan(x), x, 0)


def _ndtr(x: jax.Array) -> jax.Array:
    return special.erfc(-x * math.sqrt(0.5)) / 2


def erfcx(x: jax.Array) -> jax.Array:
    """Returns exp(x²) erfc(x): above 2.9 as √(2/π) / (φ/Φ)(√2 x)."""
    far = x > 2.9
    tail = jnp.where(far, x, 3) * math.sqrt(2)
    near = jnp.where(far, 0, x)
    value = jnp.exp(near * near) * special.erfc(near)
    return jnp.where(far, math.sqrt(2 / math.pi) / _inverse_mills(tail), value)


@jax.custom_jvp
def ndtri(p: jax.Array) -> jax.Array:
    """Returns the inverse of Φ."""
    return special.ndtri(p)


@ndtri.defjvp
def _ndtri_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (p,), (t_p,) = primals, tangents
    value = ndtri(p)
    return value, math.sqrt(2 * math.pi) * jnp.exp(value * value / 2) * t_p


def erfcinv(y: jax.Array) -> jax.Array:
    """Returns the inverse of erfc, -Φ⁻¹(y/2)/√2."""
    return -math.sqrt(0.5) * ndtri(y / 2)
