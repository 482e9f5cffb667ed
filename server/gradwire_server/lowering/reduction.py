"""The reduction family in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.lowering.core import Lowering, of_unfolded, unfolded


def _in_own_dtype(function: Lowering) -> Lowering:
    """JAX, as NumPy, would widen small integers."""

    def reduce(x: jax.Array, **attrs: Any) -> jax.Array:
        result: jax.Array = function(x, dtype=x.dtype, **attrs)
        return result

    return reduce


def _counting(function: Lowering) -> Lowering:
    def reduce(x: jax.Array, **attrs: Any) -> jax.Array:
        result: jax.Array = function(unfolded(x), **attrs).astype(jnp.int64)
        return result

    return reduce


def _running(function: Lowering) -> Lowering:
    def accumulate(x: jax.Array, *, axis: int) -> jax.Array:
        result: jax.Array = function(unfolded(x), axis % x.ndim)  # lax takes no negative axis
        return result

    return accumulate


LOWERINGS: dict[str, Lowering] = {
    "all": jnp.all,
    "any": jnp.any,
    "argmax": _counting(jnp.argmax),
    "argmin": _counting(jnp.argmin),
    "count_nonzero": _counting(jnp.count_nonzero),
    "cumulative_logsumexp": _running(lax.cumlogsumexp),
    "cumulative_max": _running(lax.cummax),
    "cumulative_min": _running(lax.cummin),
    "cumulative_prod": of_unfolded(_in_own_dtype(jnp.cumulative_prod)),
    "cumulative_sum": of_unfolded(_in_own_dtype(jnp.cumulative_sum)),
    "logsumexp": jax.nn.logsumexp,
    "max": jnp.max,
    "mean": jnp.mean,
    "min": jnp.min,
    "prod": _in_own_dtype(jnp.prod),
    "std": jnp.std,
    "sum": _in_own_dtype(jnp.sum),
    "var": jnp.var,
}
