"""Division by the gap between two values of a spectrum, not finite where the gap is rounding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

_LEAST_GAP = 1e3 * float(np.finfo(np.float64).eps)
"""As a part of the largest value. A gap is wrong by epsilon times that value, so that
above this a quotient has three digits or more."""


def least_gap(values: jax.Array) -> jax.Array:
    """Returns what a gap between such values must exceed, with a last axis of length 1."""
    sizes = jnp.abs(jax.lax.stop_gradient(values))
    return _LEAST_GAP * jnp.max(sizes, -1, keepdims=True, initial=0)


def is_lost(gap: jax.Array, least: jax.Array) -> jax.Array:
    """Says where a gap is nothing but rounding."""
    return ~(jnp.abs(gap) > least)


def divide_by_gap(x: jax.Array, gap: jax.Array, least: jax.Array) -> jax.Array:
    """Returns x / gap in double precision, not finite where the gap is lost, unless x is 0."""
    lost = is_lost(gap, least)
    return non_finite_where(
        lost, x * jnp.where(lost, 1, 1 / jnp.where(lost, 1, gap)).astype(x.dtype)
    )


def non_finite_where(lost: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x, but where ``lost`` 0 if x is 0, else infinity or NaN.

    A factor NaN would affect more than that: the gradient of a simple eigenvector
    holds a 0 for each of the others, equal or not. No rule of JAX's may depend on
    whether a tangent is 0, so x is multiplied by 1e299 (float32: 2e37), twice.
    """
    huge = float(np.finfo(x.dtype).max) ** 0.97
    factor = jnp.where(lost, huge, 1).astype(x.dtype)
    return x * factor * factor
