"""Moduli, norms and standard deviations in JAX: roots of sums of squares. See ``roots``."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.planar import hypot
from gradwire_server.compiler.lowering.elementwise.roots import root


def modulus(x: jax.Array) -> jax.Array:
    """Returns |x|. The derivative of a real |x| at 0 is 1, the one to the right.

    So |x| is ±x to all orders, and a smooth function of it, such as |x|², has the
    right derivatives at 0.
    """
    return hypot(x.real, x.imag) if jnp.iscomplexobj(x) else jnp.abs(x)


def squares(x: jax.Array) -> jax.Array:
    """Returns |x|²."""
    return jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else x * x


def _in_float32(x: jax.Array) -> jax.Array:
    """Squares of half precision overflow from 256 on."""
    return x.astype(jnp.float32) if x.real.dtype.itemsize < 4 else x


def euclidean_norm(x: jax.Array, axis: tuple[int, ...], keepdims: bool) -> jax.Array:
    """Returns the root of the sum of |x|² over axes."""
    return root(jnp.sum(squares(x), axis, keepdims=keepdims))


def _flat_where(
    zero: jax.Array, x: jax.Array, norm: Lowering, axis: tuple[int, ...], keepdims: bool
) -> jax.Array:
    """Returns a norm with the derivatives of a root where it is 0, as ``zero`` says."""
    value = norm(jnp.where(zero, 1, x))
    moving = jnp.where(jnp.isinf(x), 0, x - lax.stop_gradient(x))  # 0, or NaN for NaN
    flat = euclidean_norm(jnp.where(zero, moving, 0), axis, keepdims)
    return jnp.where(zero if keepdims else jnp.squeeze(zero, axis), flat, value)


def _power_sum(x: jax.Array, order: float, axis: tuple[int, ...], keepdims: bool) -> jax.Array:
    if jnp.iscomplexobj(x):  # |x|² is smooth, |x| is not
        powers = squares(x) ** (order / 2) if order != 1 else modulus(x)
    else:
        powers = jnp.abs(x) ** order
    return jnp.sum(powers, axis, keepdims=keepdims) ** (1 / order)


def vector_norm(x: jax.Array, *, axis: tuple[int, ...], ord: float, keepdims: bool) -> jax.Array:
    """Returns (Σ|x|^ord)^(1/ord) over axes."""
    dtype = x.real.dtype
    x = _in_float32(x)
    if ord == 2:
        return euclidean_norm(x, axis, keepdims).astype(dtype)
    if ord == 0:
        return jnp.sum((x != 0).astype(dtype), axis, keepdims=keepdims)

    def norm(x: jax.Array) -> jax.Array:
        if ord == math.inf:
            return jnp.max(modulus(x), axis, keepdims=keepdims, initial=0)
        if ord == -math.inf:
            return jnp.min(modulus(x), axis, keepdims=keepdims)
        return _power_sum(x, ord, axis, keepdims)

    # A negative order is 0 as soon as one element is.
    zero = (jnp.all if ord > 0 else jnp.any)(x == 0, axis, keepdims=True)
    return _flat_where(zero, x, norm, axis, keepdims).astype(dtype)


def sum_norm(x: jax.Array, *, rows: bool, least: bool, keepdims: bool) -> jax.Array:
    """Returns the largest, or the least, of the sums of |x| over the rows or columns."""

    def norm(x: jax.Array) -> jax.Array:
        sums = jnp.sum(modulus(x), -1 if rows else -2, keepdims=True)
        return (jnp.min if least else jnp.max)(sums, (-2, -1), keepdims=keepdims)

    zero = jnp.all(x == 0, (-2, -1), keepdims=True)
    return _flat_where(zero, x, norm, (-2, -1), keepdims)


def _shifted(x: jax.Array, axis: tuple[int, ...]) -> jax.Array:
    """Returns x minus its first element along axes, which is constant to all derivatives."""
    axes = {a % x.ndim for a in axis}
    first = x[tuple(slice(1) if a in axes else slice(None) for a in range(x.ndim))]
    return x - lax.stop_gradient(first) if first.size else x


def _variance(x: jax.Array, axis: tuple[int, ...], correction: float, keepdims: bool) -> jax.Array:
    """Returns Σ|x − mean|² over axes, divided by the count less ``correction``.

    The shift changes nothing but the rounding: equal elements have the variance 0, and
    not that of the last digit of their mean.
    """
    x = _shifted(x, axis)
    total = jnp.sum(squares(x - jnp.mean(x, axis, keepdims=True)), axis, keepdims=keepdims)
    divisor = math.prod(x.shape[a] for a in axis) - correction
    return total / divisor if divisor > 0 else total * jnp.nan


def variance(
    x: jax.Array, *, axis: tuple[int, ...], correction: float, keepdims: bool
) -> jax.Array:
    """Returns the variance over axes."""
    return _variance(_in_float32(x), axis, correction, keepdims).astype(x.real.dtype)


def deviation(
    x: jax.Array, *, axis: tuple[int, ...], correction: float, keepdims: bool
) -> jax.Array:
    """Returns the standard deviation, the root of the variance."""
    return root(_variance(_in_float32(x), axis, correction, keepdims)).astype(x.real.dtype)
