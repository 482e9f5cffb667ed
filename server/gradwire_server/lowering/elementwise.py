"""The elementwise family in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from gradwire_server.lowering.core import Lowering
from gradwire_server.lowering.norms import hypot, modulus


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


def _sign(x: jax.Array) -> jax.Array:
    if not jnp.iscomplexobj(x):
        return jnp.sign(x)
    # JAX's rule says that the derivative is 0, but a complex sign turns.
    zero = x == 0
    return jnp.where(zero, 0, x / jnp.abs(jnp.where(zero, 1, x)).astype(x.dtype))


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
    return jnp.power(x, y)


def _inexact_pow_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    # With whole y and x = 0, JAX's y * x**(y - 1) ends in 0 * inf. Operands that
    # are not differentiated are left out, for the logarithm of x < 0 is NaN.
    (x, y), (t_x, t_y) = primals, tangents
    value = _inexact_pow(x, y)
    tangent = jnp.zeros_like(value)
    if not isinstance(t_x, SymbolicZero):
        flat = y == 0
        power = _inexact_pow(x, jnp.where(flat, 1, y - 1))
        tangent += jnp.where(flat, 0, y) * power * t_x
    if not isinstance(t_y, SymbolicZero):
        tangent += jnp.log(jnp.where(x == 0, 1, x)) * value * t_y
    return value, tangent


_inexact_pow.defjvp(_inexact_pow_jvp, symbolic_zeros=True)


def _pow(x: jax.Array, y: jax.Array) -> jax.Array:
    return _inexact_pow(x, y) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.power(x, y)


def _heaviside(x: jax.Array, y: jax.Array) -> jax.Array:
    step = jnp.where(x == 0, y, (x > 0).astype(x.dtype))
    return jnp.where(jnp.isnan(x), jnp.nan, step)  # jnp.heaviside gives 0


def _floor_divide(x: jax.Array, y: jax.Array) -> jax.Array:
    quotient: jax.Array = _by_nonzero(jnp.floor_divide)(x, y)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return quotient
    # x // 0 is infinite in NumPy, NaN in JAX.
    return lax.stop_gradient(jnp.where(y == 0, x / y, quotient))


def _by_nonzero(function: Lowering) -> Lowering:
    """An integer divided by zero gives 0, as in NumPy; XLA gives -1 or the dividend."""

    def divide(x: jax.Array, y: jax.Array) -> jax.Array:
        zero = (y == 0) & (not jnp.issubdtype(x.dtype, jnp.floating))
        return jnp.where(zero, 0, function(x, jnp.where(zero, 1, y)))

    return divide


LOWERINGS: dict[str, Lowering] = {
    "abs": modulus,
    "acos": jnp.acos,
    "acosh": jnp.acosh,
    "add": jnp.add,
    "asin": jnp.asin,
    "asinh": jnp.asinh,
    "astype": _astype,
    "atan": jnp.atan,
    "atan2": jnp.atan2,
    "atanh": jnp.atanh,
    "bitcast": _bitcast,
    "bitwise_and": jnp.bitwise_and,
    "bitwise_invert": jnp.bitwise_invert,
    "bitwise_left_shift": jnp.bitwise_left_shift,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_right_shift": jnp.bitwise_right_shift,
    "bitwise_xor": jnp.bitwise_xor,
    "cbrt": jnp.cbrt,
    "ceil": jnp.ceil,
    "clip": jnp.clip,
    "complex": _complex,
    "conj": jnp.conj,
    "copysign": _copysign,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "divide": jnp.divide,
    "equal": jnp.equal,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "floor": jnp.floor,
    "floor_divide": _floor_divide,
    "fmod": _by_nonzero(jnp.fmod),
    "greater": jnp.greater,
    "greater_equal": jnp.greater_equal,
    "heaviside": _heaviside,
    "hypot": hypot,
    "imag": jnp.imag,
    "integer_pow": _integer_pow,
    "isfinite": jnp.isfinite,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "logaddexp": jnp.logaddexp,
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
    "reciprocal": jnp.reciprocal,
    "reduce_precision": lax.reduce_precision,
    "remainder": _by_nonzero(jnp.remainder),
    "round": jnp.round,
    "rsqrt": lax.rsqrt,
    "sign": _sign,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "subtract": jnp.subtract,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "trunc": jnp.trunc,
    "where": jnp.where,
}
