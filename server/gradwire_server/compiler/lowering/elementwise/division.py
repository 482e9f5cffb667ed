"""Quotients, remainders, reciprocals: no intermediate overflows, zeros have NumPy's signs."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.slopes import (
    Unary,
    by_kind,
    tangent_of,
    with_slope,
)


@cache
def _quotient(power: int) -> Lowering:
    """Returns x / y**power, computed step by step: JAX's y**-2 overflows for y = 1e-160.

    Its derivatives are 1 / y**power and -power * x / y**(power + 1), of the same family.
    """

    @jax.custom_jvp
    def quotient(x: jax.Array, y: jax.Array) -> jax.Array:
        value = jnp.divide(x, y)
        for _ in range(power - 1):
            value *= 1 / y  # XLA makes x / (y * y) of x / y / y, which overflows
        return value

    def rule(
        primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
    ) -> tuple[jax.Array, jax.Array]:
        (x, y), (t_x, t_y) = primals, tangents
        value = quotient(x, y)
        by_x, by_y = quotient(jnp.ones_like(y), y), -power * _quotient(power + 1)(x, y)
        return value, tangent_of(value, (by_x, t_x), (by_y, t_y))

    quotient.defjvp(rule, symbolic_zeros=True)
    return quotient


divide = _quotient(1)


def _complex_reciprocal(z: jax.Array) -> jax.Array:
    return jnp.reciprocal(z)


# Of real numbers JAX's x**-1, x**-2 and so on are right wherever they are numbers.
reciprocal: Unary = by_kind(
    jnp.reciprocal, with_slope(_complex_reciprocal, lambda z: -reciprocal(z) * reciprocal(z))
)


def by_nonzero(function: Lowering) -> Lowering:
    """An integer divided by zero gives 0, as in NumPy; XLA gives -1 or the dividend."""

    def divided(x: jax.Array, y: jax.Array) -> jax.Array:
        zero = y == 0
        return jnp.where(zero, 0, function(x, jnp.where(zero, 1, y)))

    return divided


def _for_floats(function: Lowering, integers: Lowering) -> Lowering:
    whole = by_nonzero(integers)

    def divided(x: jax.Array, y: jax.Array) -> jax.Array:
        result: jax.Array = (function if jnp.issubdtype(x.dtype, jnp.floating) else whole)(x, y)
        return result

    return divided


def _whole_quotient(x: jax.Array, y: jax.Array, rest: jax.Array) -> jax.Array:
    """(x - rest) / y, which is whole but for rounding. Better than floor or trunc of x / y.

    Where x / y lies just below a whole number, it may be rounded to that.
    """
    return lax.stop_gradient(jnp.round((x - rest) / y))


def _remainder_value(x: jax.Array, y: jax.Array) -> jax.Array:
    # NumPy's algorithm, that of Python: fmod, moved to the side of y. A zero has
    # the sign of y.
    rest = jnp.fmod(x, y)
    rest = jnp.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)
    return jnp.where(rest == 0, jnp.copysign(rest, y), rest)


def _as_sawtooth(value: Lowering) -> Lowering:
    """A remainder, x - q * y for a whole q: q is constant between the steps."""

    @jax.custom_jvp
    def remainder(x: jax.Array, y: jax.Array) -> jax.Array:
        result: jax.Array = value(x, y)
        return result

    @remainder.defjvp
    def _rule(
        primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        (x, y), (t_x, t_y) = primals, tangents
        rest = remainder(x, y)
        return rest, t_x - _whole_quotient(x, y, lax.stop_gradient(rest)) * t_y

    return remainder


def _floor_divide(x: jax.Array, y: jax.Array) -> jax.Array:
    rest = jnp.fmod(x, y)
    quotient = (x - rest) / y
    quotient = jnp.where((rest != 0) & ((rest < 0) != (y < 0)), quotient - 1, quotient)
    quotient = jnp.where(quotient == 0, jnp.copysign(jnp.zeros_like(x), x / y), quotient)
    return lax.stop_gradient(jnp.where(y == 0, x / y, jnp.round(quotient)))


LOWERINGS: dict[str, Lowering] = {
    "divide": divide,
    "floor_divide": _for_floats(_floor_divide, jnp.floor_divide),
    "fmod": _for_floats(_as_sawtooth(jnp.fmod), jnp.fmod),
    "reciprocal": reciprocal,
    "remainder": _for_floats(_as_sawtooth(_remainder_value), jnp.remainder),
}
