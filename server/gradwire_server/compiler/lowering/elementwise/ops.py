"""The elementwise family in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise import (
    complex_functions,
    division,
    hyperbolic,
    planar,
)
from gradwire_server.compiler.lowering.elementwise.norms import modulus
from gradwire_server.compiler.lowering.elementwise.slopes import by_kind, tangent_of


def _integer_pow(x: jax.Array, *, exponent: int) -> jax.Array:
    return lax.integer_pow(x, exponent)


def _astype(x: jax.Array, *, dtype: jnp.dtype) -> jax.Array:
    if jnp.iscomplexobj(x) and dtype == jnp.bool_:
        return x != 0
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real  # what NumPy does too, without JAX's warning
    return x.astype(dtype)


def _complex(x: jax.Array, y: jax.Array) -> jax.Array:
    return lax.complex(*jnp.broadcast_arrays(x, y))


def _bitcast(x: jax.Array, *, dtype: jnp.dtype) -> jax.Array:
    return lax.bitcast_convert_type(x, dtype)


@jax.custom_jvp
def _copysign(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.copysign(x, y)


@_copysign.defjvp
def _copysign_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # It is ±|x|, whose derivative at 0 is the one to the right. JAX's second
    # derivative goes through the sign bit of x and is lost.
    (x, y), (t_x, _) = primals, tangents
    return _copysign(x, y), jnp.where(x < 0, -t_x, t_x) * jnp.copysign(jnp.ones_like(y), y)


@jax.custom_jvp
def _inexact_pow(x: jax.Array, y: jax.Array) -> jax.Array:
    power = jnp.power(x, y)
    if not jnp.iscomplexobj(x):
        return power
    return jnp.where((x == 0) & (jnp.real(y) > 0), 0, power)  # JAX's is NaN if y is not real


def _inexact_pow_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    # With whole y and x = 0, JAX's y * x**(y - 1) ends in 0 * inf. Operands that
    # are not differentiated are left out: the logarithm of x < 0 is NaN.
    (x, y), (t_x, t_y) = primals, tangents
    value = _inexact_pow(x, y)
    flat = y == 0
    by_x = jnp.where(flat, 0, y) * _inexact_pow(x, jnp.where(flat, 1, y - 1))
    return value, tangent_of(value, (by_x, t_x), (_log_times_pow(x, y), t_y))


_inexact_pow.defjvp(_inexact_pow_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _log_times_pow(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(x) * x**y, and 0 for x = 0."""
    return jnp.log(jnp.where(x == 0, 1, x)) * jnp.power(x, y)


def _log_times_pow_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    # By x, x**(y - 1) * (1 + y * log(x)): in x**y / x the power may have
    # underflowed where the quotient has not.
    (x, y), (t_x, t_y) = primals, tangents
    zero = x == 0
    logarithm = jnp.log(jnp.where(zero, 1, x))
    value = _log_times_pow(x, y)
    power = _inexact_pow(jnp.where(zero, 1, x), y - 1)
    by_x = jnp.where(zero, 0, power * (1 + y * logarithm))
    return value, tangent_of(value, (by_x, t_x), (logarithm * value, t_y))


_log_times_pow.defjvp(_log_times_pow_jvp, symbolic_zeros=True)


_Powers = tuple[jax.Array, jax.Array, jax.Array]
"""A power, a square of the base, and what is left of the exponent."""


def _exact_pow(x: jax.Array, y: jax.Array) -> jax.Array:
    """The power of integers, modulo 2**bits. JAX's reads six bits of the exponent: 0**64 is 1."""
    x, y = jnp.broadcast_arrays(x, y)

    def step(state: _Powers) -> _Powers:
        power, square, exponent = state
        return jnp.where(exponent & 1 == 1, power * square, power), square * square, exponent >> 1

    start = (jnp.ones_like(x), x, y)
    power: jax.Array = lax.while_loop(lambda state: jnp.any(state[2] > 0), step, start)[0]
    return power


def _pow(x: jax.Array, y: jax.Array) -> jax.Array:
    return _inexact_pow(x, y) if jnp.issubdtype(x.dtype, jnp.inexact) else _exact_pow(x, y)


def _sign(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 0, jnp.sign(x))  # JAX's sign of -0.0 is -0.0


def _heaviside(x: jax.Array, y: jax.Array) -> jax.Array:
    step = jnp.where(x == 0, y, (x > 0).astype(x.dtype))
    return jnp.where(jnp.isnan(x), jnp.nan, step)  # jnp.heaviside gives 0


LOWERINGS: dict[str, Lowering] = {
    "abs": modulus,
    "add": jnp.add,
    "astype": _astype,
    "bitcast": _bitcast,
    "bitwise_and": jnp.bitwise_and,
    "bitwise_invert": jnp.bitwise_invert,
    "bitwise_left_shift": jnp.bitwise_left_shift,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_right_shift": jnp.bitwise_right_shift,
    "bitwise_xor": jnp.bitwise_xor,
    "cbrt": hyperbolic.cbrt,
    "ceil": jnp.ceil,
    "clip": jnp.clip,
    "complex": _complex,
    "conj": jnp.conj,
    "copysign": _copysign,
    "equal": jnp.equal,
    "floor": jnp.floor,
    "greater": jnp.greater,
    "greater_equal": jnp.greater_equal,
    "heaviside": _heaviside,
    "imag": jnp.imag,
    "integer_pow": _integer_pow,
    "isfinite": jnp.isfinite,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "logical_and": jnp.logical_and,
    "logical_not": jnp.logical_not,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "multiply": jnp.multiply,
    "negative": jnp.negative,
    "nextafter": jnp.nextafter,
    "not_equal": jnp.not_equal,
    "pow": _pow,
    "real": jnp.real,
    "reduce_precision": lax.reduce_precision,
    "round": jnp.round,
    "sign": by_kind(_sign, complex_functions.sign),
    "square": jnp.square,
    "subtract": jnp.subtract,
    "trunc": jnp.trunc,
    "where": jnp.where,
    **division.LOWERINGS,
    **hyperbolic.LOWERINGS,
    **planar.LOWERINGS,
}
