"""The width in which a function of narrow numbers is computed."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Function = Callable[..., jax.Array]


def in_double(function: Function) -> Function:
    """Computes in float64 and rounds once.

    The third derivative of a function whose formula cancels by a factor of c
    loses c³; float32 doesn't have enough digits for that.
    """

    def computed(*operands: jax.Array) -> jax.Array:
        dtype = operands[0].dtype
        wide = (x.astype(jnp.float64) for x in jnp.broadcast_arrays(*operands))
        return function(*wide).astype(dtype)

    return computed
